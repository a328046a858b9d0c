//! timm's names of ops, and what a magnitude means for each (`LEVEL_TO_ARG` and `AugmentOp`, timm
//! 1.0.31 `data/auto_augment.py`).

use super::Scope;
use crate::ops::Op;
use crate::rng::Stream;

/// An op by timm's name: a kind of [`Op`] and a meaning of magnitudes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are timm's")]
pub enum Name {
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
    TranslateX,
    TranslateY,
    TranslateXRel,
    TranslateYRel,
    Desaturate,
    GaussianBlur,
    GaussianBlurRand,
}

/// How the magnitude of an op is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Its mean, or its upper bound where it is uniform.
    pub magnitude: f64,
    /// Its standard deviation: 0 for none, infinite for uniform from 0.
    pub std: f64,
    /// The bound to which it is clamped.
    pub max: f64,
}

impl Level {
    /// The magnitude that means 'in full'.
    pub const DENOMINATOR: f64 = 10.0;

    fn draw(self, stream: &mut Stream) -> f64 {
        let magnitude = if self.std == f64::INFINITY {
            stream.uniform(0.0, self.magnitude)
        } else if self.std > 0.0 {
            self.magnitude + self.std * stream.normal()
        } else {
            self.magnitude
        };
        magnitude.min(self.max).max(0.0)
    }
}

impl Name {
    /// Whether it looks pixels up between pixels.
    pub(super) fn samples(self) -> bool {
        matches!(
            self,
            Self::Rotate
                | Self::ShearX
                | Self::ShearY
                | Self::TranslateX
                | Self::TranslateY
                | Self::TranslateXRel
                | Self::TranslateYRel
        )
    }

    /// Appends what one call of timm's `AugmentOp` does: with probability `prob`, this op at a
    /// magnitude of its own.
    pub(super) fn draw(
        self,
        prob: f64,
        level: Level,
        scope: &Scope<'_>,
        stream: &mut Stream,
        ops: &mut Vec<Op>,
    ) {
        if prob < 1.0 && !stream.chance(prob) {
            return;
        }
        let part = level.draw(stream) / Level::DENOMINATOR;
        ops.push(self.op(part, scope, stream));
    }

    /// The op at a magnitude of `part` of the full one.
    fn op(self, part: f64, scope: &Scope<'_>, stream: &mut Stream) -> Op {
        let (height, width) = (f64::from(scope.size.0), f64::from(scope.size.1));
        match self {
            Self::AutoContrast => Op::AutoContrast,
            Self::Equalize => Op::Equalize,
            Self::Invert => Op::Invert,
            Self::Posterize => posterize((part * 4.0).trunc()),
            Self::PosterizeIncreasing => posterize(4.0 - (part * 4.0).trunc()),
            Self::PosterizeOriginal => posterize((part * 4.0).trunc() + 4.0),
            Self::Solarize => Op::Solarize { threshold: solarize(part) },
            Self::SolarizeIncreasing => Op::Solarize { threshold: 256.0 - solarize(part) },
            Self::SolarizeAdd => {
                Op::SolarizeAdd { add: (part * 110.0).trunc().min(128.0) as u8, threshold: 128 }
            }
            Self::Color => Op::Color { factor: enhance(part) },
            Self::Contrast => Op::Contrast { factor: enhance(part) },
            Self::Brightness => Op::Brightness { factor: enhance(part) },
            Self::Sharpness => Op::Sharpness { factor: enhance(part) },
            Self::ColorIncreasing => Op::Color { factor: enhance_increasing(part, stream) },
            Self::ContrastIncreasing => Op::Contrast { factor: enhance_increasing(part, stream) },
            Self::BrightnessIncreasing => {
                Op::Brightness { factor: enhance_increasing(part, stream) }
            }
            Self::SharpnessIncreasing => Op::Sharpness { factor: enhance_increasing(part, stream) },
            Self::Rotate => {
                let degrees = signed(part * 30.0, stream);
                Op::Rotate { degrees, sampling: scope.sampling(stream) }
            }
            Self::ShearX => {
                let factor = signed(part * 0.3, stream);
                Op::ShearX { factor, sampling: scope.sampling(stream) }
            }
            Self::ShearY => {
                let factor = signed(part * 0.3, stream);
                Op::ShearY { factor, sampling: scope.sampling(stream) }
            }
            Self::TranslateX => {
                let pixels = signed(part * scope.translate_const(), stream);
                Op::TranslateX { pixels, sampling: scope.sampling(stream) }
            }
            Self::TranslateY => {
                let pixels = signed(part * scope.translate_const(), stream);
                Op::TranslateY { pixels, sampling: scope.sampling(stream) }
            }
            Self::TranslateXRel => {
                let pixels = signed(part * scope.translate_pct, stream) * width;
                Op::TranslateX { pixels, sampling: scope.sampling(stream) }
            }
            Self::TranslateYRel => {
                let pixels = signed(part * scope.translate_pct, stream) * height;
                Op::TranslateY { pixels, sampling: scope.sampling(stream) }
            }
            // timm's `desaturate` takes 0.5 to 1 and keeps the rest of the colour.
            Self::Desaturate => {
                Op::Color { factor: (1.0 - within(0.5, 1.0, part)).clamp(0.0, 1.0) }
            }
            Self::GaussianBlur => Op::GaussianBlur { radius: within(0.1, 2.0, part) },
            Self::GaussianBlurRand => {
                Op::GaussianBlur { radius: stream.uniform(0.1, 2.0 * within(0.0, 1.0, part)) }
            }
        }
    }
}

/// Negated with probability one half.
fn signed(value: f64, stream: &mut Stream) -> f64 {
    if stream.chance(0.5) { -value } else { value }
}

/// 8 bits and more change nothing; 0 and less are black, as they were in Pillow before it refused.
fn posterize(bits: f64) -> Op {
    Op::Posterize { bits: bits.clamp(0.0, 8.0) as u32 }
}

fn solarize(part: f64) -> f64 {
    (part * 256.0).trunc().min(256.0)
}

fn enhance(part: f64) -> f64 {
    part * 1.8 + 0.1
}

fn enhance_increasing(part: f64, stream: &mut Stream) -> f64 {
    (1.0 + signed(part * 0.9, stream)).max(0.1)
}

/// timm's `_minmax_level_to_arg`.
fn within(low: f64, high: f64, part: f64) -> f64 {
    (low + (high - low) * part).min(high).max(low)
}
