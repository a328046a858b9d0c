//! [`Erase`].

use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Scratch};
use crate::image::{Planes, Rect};
use crate::rng::{Key, Stream};

/// A box filled: random erasing and Cutout. The part outside the image is ignored.
///
/// timm's `RandomErasing` fills normalised floats. Here bytes are filled, so noise is rounded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "EraseArguments", into = "EraseArguments")]
pub struct Erase {
    /// The box.
    pub area: Rect,
    /// What it is filled with.
    pub fill: Fill,
}

/// What an erased box is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fill {
    /// One colour.
    Colour([u8; 3]),
    /// Normal noise, independent for each pixel and channel, rounded and clamped to 0..=255.
    Noise {
        /// The noise's mean per channel, in the image's 0 to 255.
        mean: [f32; 3],
        /// Its standard deviation per channel.
        std: [f32; 3],
        /// The seed of the noise. The plan draws it, so that the plan stays data.
        seed: u64,
    },
}

impl Kernel for Erase {
    fn validate(&self) -> Result<(), String> {
        let Rect { w, h, .. } = self.area;
        if w.max(h) > 1 << 15 {
            return Err(format!("w and h must be at most 32768, not {w} and {h}"));
        }
        Ok(())
    }

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        let (height, width) = (planes.height(), planes.width());
        let Some(part) = self.area.clip(width as u32, height as u32) else { return };
        let skipped = (part.x - self.area.x) as usize;
        for (channel, plane) in planes.channels().into_iter().enumerate() {
            for y in part.y as usize..part.y as usize + part.h as usize {
                let row = &mut plane[y * width + part.x as usize..][..part.w as usize];
                match self.fill {
                    Fill::Colour(colour) => row.fill(colour[channel]),
                    Fill::Noise { mean, std, seed } => {
                        // A stream for each row and channel of the box: the noise that is seen does
                        // not depend on how much of the box is outside the image.
                        let index = (y as i64 - i64::from(self.area.y)) as u64;
                        let key = Key { seed, epoch: 0, index, view: channel as u16 };
                        let (mean, std) = (f64::from(mean[channel]), f64::from(std[channel]));
                        noise(row, skipped, Stream::new(key), mean, std);
                    }
                }
            }
        }
    }
}

/// Fills `row` with normal numbers, without the first `skipped` of them.
fn noise(row: &mut [u8], skipped: usize, mut stream: Stream, mean: f64, std: f64) {
    // They come in pairs.
    let mut second = None;
    let mut normal = || {
        second.take().unwrap_or_else(|| {
            let pair = stream.normals();
            second = Some(pair[1]);
            pair[0]
        })
    };
    for _ in 0..skipped {
        normal();
    }
    for v in row {
        // The half rounds, as the cast truncates. The cast also clamps.
        *v = (mean + std * normal() + 0.5) as u8;
    }
}

/// The op as plans store it: the fields of the box and of the noise stand side by side.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EraseArguments {
    x: i32,
    y: i32,
    w: u32,
    h: u32,
    fill: FillArgument,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean: Option<[f32; 3]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    std: Option<[f32; 3]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "must be a colour (three integers from 0 to 255) or 'noise'")]
enum FillArgument {
    Colour([u8; 3]),
    Noise(NoiseName),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NoiseName {
    Noise,
}

impl TryFrom<EraseArguments> for Erase {
    type Error = &'static str;

    fn try_from(arguments: EraseArguments) -> Result<Self, Self::Error> {
        let EraseArguments { x, y, w, h, fill, mean, std, seed } = arguments;
        let fill = match (fill, mean, std, seed) {
            (FillArgument::Colour(colour), None, None, None) => Fill::Colour(colour),
            (FillArgument::Colour(_), ..) => return Err("a colour has no mean, std or seed"),
            (FillArgument::Noise(NoiseName::Noise), Some(mean), Some(std), Some(seed)) => {
                Fill::Noise { mean, std, seed }
            }
            (FillArgument::Noise(NoiseName::Noise), ..) => {
                return Err("noise needs mean, std and seed");
            }
        };
        Ok(Self { area: Rect { x, y, w, h }, fill })
    }
}

impl From<Erase> for EraseArguments {
    fn from(Erase { area: Rect { x, y, w, h }, fill }: Erase) -> Self {
        let (fill, mean, std, seed) = match fill {
            Fill::Colour(colour) => (FillArgument::Colour(colour), None, None, None),
            Fill::Noise { mean, std, seed } => {
                (FillArgument::Noise(NoiseName::Noise), Some(mean), Some(std), Some(seed))
            }
        };
        Self { x, y, w, h, fill, mean, std, seed }
    }
}
