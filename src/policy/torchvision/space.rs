//! torchvision's ops by name, and what their magnitudes are.
//!
//! Magnitudes are f32, since torchvision keeps them in tensors. They are used as f64, as `item()`
//! returns them.

use crate::ops::{
    AutoContrast, Brightness, Color, Contrast, Equalize, Interpolation, Invert, Op, Posterize,
    Rotate, Sharpness, ShearX, ShearY, Solarize, TranslateX, TranslateY,
};
use crate::rng::Stream;

/// torchvision's names of ops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TorchvisionOp {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

impl TorchvisionOp {
    /// Whether its magnitude has a random sign.
    pub fn signed(self) -> bool {
        !matches!(
            self,
            Self::Identity
                | Self::Posterize
                | Self::Solarize
                | Self::AutoContrast
                | Self::Equalize
                | Self::Invert
        )
    }
}

/// An `_augmentation_space`: the magnitudes of the ops. A magnitude is chosen by the number of its
/// bin. The first bin is 0, or the weakest magnitude, and the last has the values in the fields.
pub struct Space {
    bins: u32,
    shear: f64,
    /// In x and y, in pixels.
    translate: (f64, f64),
    rotate: f64,
    /// Of brightness, colour, contrast and sharpness.
    tone: f64,
    /// Bits kept in the first bin.
    bits: u32,
    /// How many bits fewer are kept in the last bin.
    bits_less: u32,
    filter: Interpolation,
}

impl Space {
    /// The space of `RandAugment` and `AutoAugment`.
    pub fn new(bins: u32, (height, width): (u32, u32), filter: Interpolation) -> Self {
        let translate = (150.0 / 331.0 * f64::from(width), 150.0 / 331.0 * f64::from(height));
        Self { bins, shear: 0.3, translate, rotate: 30.0, tone: 0.9, bits: 8, bits_less: 4, filter }
    }

    /// The space of `TrivialAugmentWide`.
    pub fn wide(bins: u32, filter: Interpolation) -> Self {
        let translate = (32.0, 32.0);
        Self {
            bins,
            shear: 0.99,
            translate,
            rotate: 135.0,
            tone: 0.99,
            bits: 8,
            bits_less: 6,
            filter,
        }
    }

    /// The space of `AugMix`.
    pub fn augmix((height, width): (u32, u32), filter: Interpolation) -> Self {
        let translate = (f64::from(width) / 3.0, f64::from(height) / 3.0);
        Self { translate, bits: 4, bits_less: 4, ..Self::new(10, (height, width), filter) }
    }

    /// One of `names`, with the magnitude of one of the first `bins` and a sign.
    pub fn draw(&self, names: &[TorchvisionOp], bins: u32, stream: &mut Stream) -> Option<Op> {
        let name = stream.choose(names);
        let bin = stream.below(bins);
        let negative = name.signed() && stream.chance(0.5);
        self.op(name, bin, negative)
    }

    /// What torchvision's `_apply_op` does for this name, bin and sign; `None` for nothing.
    pub fn op(&self, name: TorchvisionOp, bin: u32, negative: bool) -> Option<Op> {
        let up_to = |end: f64| {
            let magnitude = linspace(0.0, end as f32, self.bins, bin);
            f64::from(if negative { -magnitude } else { magnitude })
        };
        let interpolation = self.filter;
        // torchvision fills with black, whatever the mean.
        let fill = [0; 3];
        Some(match name {
            TorchvisionOp::Identity => return None,
            TorchvisionOp::ShearX => {
                ShearX { factor: sheared(up_to(self.shear)).0, interpolation, fill }.into()
            }
            TorchvisionOp::ShearY => {
                ShearY { factor: sheared(up_to(self.shear)).1, interpolation, fill }.into()
            }
            TorchvisionOp::TranslateX => {
                let pixels = -up_to(self.translate.0).trunc();
                TranslateX { pixels, interpolation, fill }.into()
            }
            TorchvisionOp::TranslateY => {
                let pixels = -up_to(self.translate.1).trunc();
                TranslateY { pixels, interpolation, fill }.into()
            }
            TorchvisionOp::Rotate => {
                Rotate { degrees: up_to(self.rotate), interpolation, fill }.into()
            }
            TorchvisionOp::Brightness => Brightness { factor: 1.0 + up_to(self.tone) }.into(),
            TorchvisionOp::Color => Color { factor: 1.0 + up_to(self.tone) }.into(),
            TorchvisionOp::Contrast => Contrast { factor: 1.0 + up_to(self.tone) }.into(),
            TorchvisionOp::Sharpness => Sharpness { factor: 1.0 + up_to(self.tone) }.into(),
            TorchvisionOp::Posterize => {
                let fewer =
                    bin as f32 / (f64::from(self.bins - 1) / f64::from(self.bits_less)) as f32;
                Posterize { bits: self.bits - fewer.round_ties_even() as u32 }.into()
            }
            TorchvisionOp::Solarize => {
                Solarize { threshold: f64::from(linspace(255.0, 0.0, self.bins, bin)) }.into()
            }
            TorchvisionOp::AutoContrast => AutoContrast {}.into(),
            TorchvisionOp::Equalize => Equalize {}.into(),
            TorchvisionOp::Invert => Invert {}.into(),
        })
    }
}

/// `torch.linspace(start, end, steps)[i]` in f32, each value rounded once, as torch's compiled code
/// does.
fn linspace(start: f32, end: f32, steps: u32, i: u32) -> f32 {
    let step = (end - start) / (steps - 1) as f32;
    if i < steps / 2 {
        step.mul_add(i as f32, start)
    } else {
        (-step).mul_add((steps - 1 - i) as f32, end)
    }
}

/// The factors of a shear in x and in y. torchvision passes them as degrees, which changes their
/// last bits.
fn sheared(factor: f64) -> (f64, f64) {
    let radians = libm::atan(factor).to_degrees().to_radians();
    (libm::tan(radians), libm::sin(radians) / libm::cos(radians))
}
