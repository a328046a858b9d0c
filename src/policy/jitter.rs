//! torchvision's `ColorJitter`, `RandomGrayscale` and `GaussianBlur` as timm composes them
//! (`transforms_imagenet_train`, timm 1.0.31 `data/transforms_factory.py`).

use crate::error::{Error, Result};
use crate::ops::Op;
use crate::rng::Stream;

/// The kernel of timm's blur.
const KERNEL: u32 = 23;

/// Bounds of the factors; `None` for what is not changed.
#[derive(Clone, Debug, PartialEq)]
pub struct ColorJitter {
    brightness: Option<(f64, f64)>,
    contrast: Option<(f64, f64)>,
    saturation: Option<(f64, f64)>,
    hue: Option<(f64, f64)>,
    prob: f64,
}

impl ColorJitter {
    /// `RandomApply([ColorJitter(brightness, contrast, saturation, hue)], prob)`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a negative value or a hue above 0.5, or no probability.
    pub fn new(values: [f64; 4], prob: f64) -> Result<Self> {
        let refuse = |message| Err(Error::Argument(message));
        if let Some(value) = values.iter().find(|v| !(v.is_finite() && **v >= 0.0)) {
            return refuse(format!("color_jitter must be of values from 0 up, not {value}"));
        }
        if values[3] > 0.5 {
            return refuse(format!("color_jitter's hue must be at most 0.5, not {}", values[3]));
        }
        if !(0.0..=1.0).contains(&prob) {
            return refuse(format!("color_jitter_prob must be from 0 to 1, not {prob}"));
        }
        let factor = |v: f64| (v > 0.0).then(|| ((1.0 - v).max(0.0), 1.0 + v));
        let [brightness, contrast, saturation, hue] = values;
        Ok(Self {
            brightness: factor(brightness),
            contrast: factor(contrast),
            saturation: factor(saturation),
            hue: (hue > 0.0).then_some((-hue, hue)),
            prob,
        })
    }

    /// Appends the ops of one draw, in random order.
    pub(super) fn draw(&self, stream: &mut Stream, ops: &mut Vec<Op>) {
        if self.prob < 1.0 && !stream.chance(self.prob) {
            return;
        }
        let mut order = [0, 1, 2, 3];
        for last in (1..4).rev() {
            order.swap(last, stream.below(last as u32 + 1) as usize);
        }
        for kind in order {
            let bounds = [self.brightness, self.contrast, self.saturation, self.hue][kind];
            let Some((low, high)) = bounds else { continue };
            let factor = stream.uniform(low, high);
            ops.push(match kind {
                0 => Op::Brightness { factor },
                1 => Op::Contrast { factor },
                2 => Op::Color { factor },
                _ => Op::Hue { factor },
            });
        }
    }
}

/// Appends `RandomGrayscale(prob)`.
pub(super) fn grayscale(prob: f64, stream: &mut Stream, ops: &mut Vec<Op>) {
    if prob > 0.0 && stream.chance(prob) {
        ops.push(Op::Grayscale);
    }
}

/// Appends `RandomApply([GaussianBlur(kernel_size=23)], prob)`.
pub(super) fn gaussian_blur(prob: f64, stream: &mut Stream, ops: &mut Vec<Op>) {
    if prob > 0.0 && stream.chance(prob) {
        ops.push(Op::GaussianKernel { kernel_size: KERNEL, sigma: stream.uniform(0.1, 2.0) });
    }
}

/// Says whether an image of `size` is too small for the blur, which mirrors half a kernel.
pub(super) fn check_blur(prob: f64, size: (u32, u32)) -> Result<()> {
    if prob > 0.0 && size.0.min(size.1) <= KERNEL / 2 {
        return Err(Error::Argument(format!(
            "gaussian_blur_prob needs a size of at least {} a side, not {size:?}",
            KERNEL / 2 + 1
        )));
    }
    Ok(())
}
