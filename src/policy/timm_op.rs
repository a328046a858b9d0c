//! timm's names of ops, and what a magnitude means for each (`LEVEL_TO_ARG` and `AugmentOp`, timm
//! 1.0.31 `data/auto_augment.py`).

use super::scope::Scope;
use crate::ops::{
    AutoContrast, Brightness, Color, Contrast, Equalize, GaussianBlur, Invert, Op, Posterize,
    Rotate, Sharpness, ShearX, ShearY, Solarize, SolarizeAdd, TranslateX, TranslateY,
};
use crate::rng::Stream;

/// An op by timm's name: which [`Op`] it is, and how its arguments follow from a magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimmOp {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    PosterizeIncreasing,
    PosterizeOriginal,
    Solarize,
    SolarizeIncreasing,
    SolarizeAdd,
    Color,
    ColorIncreasing,
    Contrast,
    ContrastIncreasing,
    Brightness,
    BrightnessIncreasing,
    Sharpness,
    SharpnessIncreasing,
    ShearX,
    ShearY,
    TranslateXRel,
    TranslateYRel,
    Desaturate,
    GaussianBlur,
    GaussianBlurRand,
}

/// How the magnitude of an op is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Magnitude {
    /// Its mean, or its upper bound if it is uniform.
    pub value: f64,
    /// Its standard deviation. 0 makes it constant, infinity makes it uniform from 0.
    pub std: f64,
    /// The bound to which it is clamped.
    pub max: f64,
}

impl Magnitude {
    /// The magnitude at which an op has its full strength.
    pub const FULL: f64 = 10.0;

    fn draw(self, stream: &mut Stream) -> f64 {
        let magnitude = if self.std == f64::INFINITY {
            stream.uniform(0.0, self.value)
        } else if self.std > 0.0 {
            self.value + self.std * stream.normal()
        } else {
            self.value
        };
        magnitude.min(self.max).max(0.0)
    }
}

impl TimmOp {
    /// Whether it interpolates.
    pub(super) fn interpolates(self) -> bool {
        matches!(
            self,
            Self::Rotate | Self::ShearX | Self::ShearY | Self::TranslateXRel | Self::TranslateYRel
        )
    }

    /// Appends what one call of timm's `AugmentOp` applies: with probability `prob`, this op at a
    /// newly drawn magnitude.
    pub(super) fn draw(
        self,
        prob: f64,
        magnitude: Magnitude,
        scope: &Scope<'_>,
        stream: &mut Stream,
        ops: &mut Vec<Op>,
    ) {
        if prob < 1.0 && !stream.chance(prob) {
            return;
        }
        let part = magnitude.draw(stream) / Magnitude::FULL;
        ops.push(self.op(part, scope, stream));
    }

    /// The op at `part` times the full magnitude.
    fn op(self, part: f64, scope: &Scope<'_>, stream: &mut Stream) -> Op {
        let (height, width) = (f64::from(scope.size.0), f64::from(scope.size.1));
        let fill = scope.fill;
        match self {
            Self::AutoContrast => AutoContrast {}.into(),
            Self::Equalize => Equalize {}.into(),
            Self::Invert => Invert {}.into(),
            Self::Posterize => posterize((part * 4.0).trunc()),
            Self::PosterizeIncreasing => posterize(4.0 - (part * 4.0).trunc()),
            Self::PosterizeOriginal => posterize((part * 4.0).trunc() + 4.0),
            Self::Solarize => Solarize { threshold: solarize(part) }.into(),
            Self::SolarizeIncreasing => Solarize { threshold: 256.0 - solarize(part) }.into(),
            Self::SolarizeAdd => {
                SolarizeAdd { add: (part * 110.0).trunc().min(128.0) as u8, threshold: 128 }.into()
            }
            Self::Color => Color { factor: enhance(part) }.into(),
            Self::Contrast => Contrast { factor: enhance(part) }.into(),
            Self::Brightness => Brightness { factor: enhance(part) }.into(),
            Self::Sharpness => Sharpness { factor: enhance(part) }.into(),
            Self::ColorIncreasing => Color { factor: increasing(part, stream) }.into(),
            Self::ContrastIncreasing => Contrast { factor: increasing(part, stream) }.into(),
            Self::BrightnessIncreasing => Brightness { factor: increasing(part, stream) }.into(),
            Self::SharpnessIncreasing => Sharpness { factor: increasing(part, stream) }.into(),
            Self::Rotate => {
                let degrees = signed(part * 30.0, stream);
                Rotate { degrees, interpolation: scope.filter(stream), fill }.into()
            }
            Self::ShearX => {
                let factor = signed(part * 0.3, stream);
                ShearX { factor, interpolation: scope.filter(stream), fill }.into()
            }
            Self::ShearY => {
                let factor = signed(part * 0.3, stream);
                ShearY { factor, interpolation: scope.filter(stream), fill }.into()
            }
            Self::TranslateXRel => {
                let pixels = signed(part * scope.translate_pct, stream) * width;
                TranslateX { pixels, interpolation: scope.filter(stream), fill }.into()
            }
            Self::TranslateYRel => {
                let pixels = signed(part * scope.translate_pct, stream) * height;
                TranslateY { pixels, interpolation: scope.filter(stream), fill }.into()
            }
            // timm's `desaturate` takes 0.5 to 1 and keeps the rest of the colour.
            Self::Desaturate => {
                Color { factor: (1.0 - within(0.5, 1.0, part)).clamp(0.0, 1.0) }.into()
            }
            Self::GaussianBlur => GaussianBlur { radius: within(0.1, 2.0, part) }.into(),
            Self::GaussianBlurRand => {
                GaussianBlur { radius: stream.uniform(0.1, 2.0 * within(0.0, 1.0, part)) }.into()
            }
        }
    }
}

/// Negated with probability one half.
fn signed(value: f64, stream: &mut Stream) -> f64 {
    if stream.chance(0.5) { -value } else { value }
}

/// More than 8 bits change nothing, like 8. Fewer than 0 bits give black, like 0.
fn posterize(bits: f64) -> Op {
    Posterize { bits: bits.clamp(0.0, 8.0) as u32 }.into()
}

fn solarize(part: f64) -> f64 {
    (part * 256.0).trunc().min(256.0)
}

fn enhance(part: f64) -> f64 {
    part * 1.8 + 0.1
}

fn increasing(part: f64, stream: &mut Stream) -> f64 {
    (1.0 + signed(part * 0.9, stream)).max(0.1)
}

/// timm's `_minmax_level_to_arg`.
fn within(low: f64, high: f64, part: f64) -> f64 {
    (low + (high - low) * part).min(high).max(low)
}
