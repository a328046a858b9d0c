//! torchvision's `ColorJitter` and `RandomGrayscale` as timm composes them
//! (`transforms_imagenet_train`, timm 1.0.31 `data/transforms_factory.py`), and `RandomSolarize`.

use crate::error::{Error, Result};
use crate::ops::{Brightness, Color, Contrast, Grayscale, Hue, Op, Solarize};
use crate::rng::Stream;

/// torchvision's `RandomApply([ColorJitter(...)], prob)`: the bounds of each factor, or `None` for
/// what is not changed.
#[derive(Clone, Debug, PartialEq)]
pub struct ColorJitter {
    brightness: Option<(f64, f64)>,
    contrast: Option<(f64, f64)>,
    saturation: Option<(f64, f64)>,
    hue: Option<(f64, f64)>,
    prob: f64,
}

impl ColorJitter {
    /// Colour jitter with the strengths brightness, contrast, saturation and hue.
    ///
    /// # Errors
    /// [`Error::Argument`] for a negative strength, a hue above 0.5, or a `prob` that is not a
    /// probability.
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
                0 => Brightness { factor }.into(),
                1 => Contrast { factor }.into(),
                2 => Color { factor }.into(),
                _ => Hue { factor }.into(),
            });
        }
    }
}

/// Appends `RandomGrayscale(prob)`.
pub(super) fn grayscale(prob: f64, stream: &mut Stream, ops: &mut Vec<Op>) {
    if prob > 0.0 && stream.chance(prob) {
        ops.push(Grayscale {}.into());
    }
}

/// torchvision's `RandomSolarize(threshold, prob)`.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomSolarize {
    /// The probability of a solarized image.
    pub prob: f64,
    /// The lowest value that is inverted.
    pub threshold: f64,
}

impl Default for RandomSolarize {
    /// Nothing is solarized. The threshold is Pillow's default.
    fn default() -> Self {
        Self { prob: 0.0, threshold: 128.0 }
    }
}

impl RandomSolarize {
    /// Appends the op, if it is drawn.
    pub(super) fn draw(&self, stream: &mut Stream, ops: &mut Vec<Op>) {
        if self.prob > 0.0 && stream.chance(self.prob) {
            ops.push(Solarize { threshold: self.threshold }.into());
        }
    }
}
