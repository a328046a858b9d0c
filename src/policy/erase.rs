//! Boxes that are erased: timm's `RandomErasing` and the Cutout of DeVries and Taylor 2017.
//!
//! The originals fill normalised floats, where 0 is the mean. Here bytes are filled: the mean is
//! rounded, and noise is rounded and clamped.

use crate::image::Rect;
use crate::ops::{Erase, Fill, Op};
use crate::rng::Stream;

/// What timm's `RandomErasing` fills a box with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EraseMode {
    /// The mean.
    Const,
    /// One random colour, normal about the mean.
    Rand,
    /// A random colour per pixel, normal about the mean.
    Pixel,
}

impl EraseMode {
    /// The mode by timm's name; the empty name is `const`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "" | "const" => Some(Self::Const),
            "rand" => Some(Self::Rand),
            "pixel" => Some(Self::Pixel),
            _ => None,
        }
    }
}

/// timm's `RandomErasing` (`data/random_erasing.py`, timm 1.0.31) with its default areas and
/// aspects.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomErasing {
    /// The probability of erasing at all.
    pub prob: f64,
    /// The filling.
    pub mode: EraseMode,
    /// The greatest number of boxes.
    pub max_count: u32,
    /// Whether view 0 is spared, as timm's `num_splits` spares the first split.
    pub skip_first: bool,
}

/// Bounds of the erased area as a fraction of the image's.
const AREA: (f64, f64) = (0.02, 1.0 / 3.0);
/// Bounds of a box's height over its width.
const ASPECT: (f64, f64) = (0.3, 1.0 / 0.3);
const ATTEMPTS: usize = 10;

/// The normalisation of the model's input: means and standard deviations in 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Per channel.
    pub mean: [f64; 3],
    /// Per channel.
    pub std: [f64; 3],
}

impl Normalization {
    /// The mean as timm rounds it: half to even, at most 255.
    pub(crate) fn fill(&self) -> [u8; 3] {
        self.mean.map(|mean| (255.0 * mean).round_ties_even() as u8)
    }
}

impl RandomErasing {
    pub(super) fn draw(
        &self,
        size: (u32, u32),
        normalization: &Normalization,
        stream: &mut Stream,
        ops: &mut Vec<Op>,
    ) {
        if !stream.chance(self.prob) {
            return;
        }
        let count = 1 + stream.below(self.max_count);
        for _ in 0..count {
            let Some(area) = place(size, count, stream) else { continue };
            let fill = self.fill(normalization, stream);
            ops.push(Erase { area, fill }.into());
        }
    }

    fn fill(&self, normalization: &Normalization, stream: &mut Stream) -> Fill {
        let Normalization { mean, std } = normalization;
        match self.mode {
            EraseMode::Const => Fill::Colour(normalization.fill()),
            EraseMode::Rand => Fill::Colour([0, 1, 2].map(|c| {
                let value = 255.0 * (mean[c] + std[c] * stream.normal());
                value.round_ties_even().clamp(0.0, 255.0) as u8
            })),
            EraseMode::Pixel => Fill::Noise {
                mean: mean.map(|mean| (255.0 * mean) as f32),
                std: std.map(|std| (255.0 * std) as f32),
                seed: stream.bits(),
            },
        }
    }
}

/// A box of one `count`th of a drawn area; `None` if none of ten draws fits.
fn place((height, width): (u32, u32), count: u32, stream: &mut Stream) -> Option<Rect> {
    let area = f64::from(height) * f64::from(width);
    let log_aspect = (libm::log(ASPECT.0), libm::log(ASPECT.1));
    for _ in 0..ATTEMPTS {
        let target = stream.uniform(AREA.0, AREA.1) * area / f64::from(count);
        let aspect = libm::exp(stream.uniform(log_aspect.0, log_aspect.1));
        let h = (target * aspect).sqrt().round_ties_even() as u32;
        let w = (target / aspect).sqrt().round_ties_even() as u32;
        if w < width && h < height {
            let y = stream.below(height - h + 1) as i32;
            let x = stream.below(width - w + 1) as i32;
            return Some(Rect { x, y, w, h });
        }
    }
    None
}

/// Appends Cutout: a square with sides of `length` about a random pixel, filled with the mean.
///
/// `Cutout(length=length)` of the code of Kurtulus et al. 2023: an odd length is one less, and the
/// part outside the image is cut off.
pub(super) fn cutout(
    length: u32,
    size: (u32, u32),
    normalization: &Normalization,
    stream: &mut Stream,
    ops: &mut Vec<Op>,
) {
    let half = length / 2;
    if half == 0 {
        return;
    }
    let y = stream.below(size.0) as i32 - half as i32;
    let x = stream.below(size.1) as i32 - half as i32;
    let fill = Fill::Colour(normalization.fill());
    let area = Rect { x, y, w: 2 * half, h: 2 * half };
    ops.push(Erase { area, fill }.into());
}
