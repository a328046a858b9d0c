//! torchvision's policies (`transforms/autoaugment.py`, torchvision 0.29), as they treat PIL
//! images.
//!
//! [`parse`] reads the config string, [`space`] has the magnitudes and their ops, [`tables`] what
//! `AutoAugment` learned.

mod parse;
mod space;
mod tables;

use self::space::{Space, TorchvisionOp};
use self::tables::PolicyTable;
use super::scope::Scope;
use crate::ops::{Chain, Interpolation, Mix, Op};
use crate::rng::Stream;

/// One of torchvision's policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Torchvision {
    kind: Kind,
    /// The filter of shears, translations and rotations.
    filter: Interpolation,
}

/// torchvision's `RandAugment`, `TrivialAugmentWide`, `AutoAugment` and `AugMix`.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// `RandomApply([RandAugment(num_ops, magnitude, num_magnitude_bins)], p)`.
    Rand {
        /// The number of ops to choose.
        num_ops: u32,
        /// The bin of every op's magnitude.
        magnitude: u32,
        /// The number of bins.
        bins: u32,
        /// The probability of doing anything at all.
        prob: f64,
    },
    /// `TrivialAugmentWide(num_magnitude_bins)`.
    Trivial {
        /// The number of bins.
        bins: u32,
    },
    /// `AutoAugment` with one of its learned tables.
    Auto(&'static PolicyTable),
    /// `AugMix(severity, mixture_width, chain_depth, alpha)`.
    AugMix {
        /// Magnitudes are drawn from this many of the 10 bins.
        severity: u32,
        /// The number of chains.
        width: u32,
        /// The number of ops of a chain; 0 for 1 to 3 with equal chances.
        depth: u32,
        /// The concentration of the mixing weights' distributions.
        alpha: f64,
    },
}

impl Torchvision {
    pub(super) fn draw(&self, scope: &Scope<'_>, stream: &mut Stream, ops: &mut Vec<Op>) {
        match self.kind {
            Kind::Rand { num_ops, magnitude, bins, prob } => {
                if prob < 1.0 && !stream.chance(prob) {
                    return;
                }
                let space = Space::new(bins, scope.size, self.filter);
                for _ in 0..num_ops {
                    let name = stream.choose(NAMES);
                    let negative = name.signed() && stream.chance(0.5);
                    ops.extend(space.op(name, magnitude, negative));
                }
            }
            Kind::Trivial { bins } => {
                ops.extend(Space::wide(bins, self.filter).draw(NAMES, bins, stream));
            }
            Kind::Auto(table) => {
                let space = Space::new(10, scope.size, self.filter);
                for (name, prob, bin) in stream.choose(table) {
                    if stream.chance(prob) {
                        let negative = name.signed() && stream.chance(0.5);
                        ops.extend(space.op(name, bin, negative));
                    }
                }
            }
            Kind::AugMix { severity, width, depth, alpha } => {
                let space = Space::augmix(scope.size, self.filter);
                let mut weights = Vec::with_capacity(width as usize + 2);
                stream.dirichlet(alpha, 2, &mut weights);
                stream.dirichlet(alpha, width as usize, &mut weights);
                let (image, mixed) = (weights[0] as f32, weights[1] as f32);
                let chain = |&weight: &f64| {
                    let depth = if depth > 0 { depth } else { 1 + stream.below(3) };
                    let draw = |_| space.draw(AUGMIX_NAMES, severity, stream);
                    let ops = (0..depth).filter_map(draw).collect();
                    Chain { weight: weight as f32 * mixed, ops }
                };
                let chains = weights[2..].iter().map(chain).collect();
                ops.push(Mix::Weighted { image, chains }.into());
            }
        }
    }
}

/// The ops of `RandAugment` and `TrivialAugmentWide`.
const NAMES: &[TorchvisionOp] = &[
    TorchvisionOp::Identity,
    TorchvisionOp::ShearX,
    TorchvisionOp::ShearY,
    TorchvisionOp::TranslateX,
    TorchvisionOp::TranslateY,
    TorchvisionOp::Rotate,
    TorchvisionOp::Brightness,
    TorchvisionOp::Color,
    TorchvisionOp::Contrast,
    TorchvisionOp::Sharpness,
    TorchvisionOp::Posterize,
    TorchvisionOp::Solarize,
    TorchvisionOp::AutoContrast,
    TorchvisionOp::Equalize,
];

/// The ops of `AugMix`.
const AUGMIX_NAMES: &[TorchvisionOp] = &[
    TorchvisionOp::ShearX,
    TorchvisionOp::ShearY,
    TorchvisionOp::TranslateX,
    TorchvisionOp::TranslateY,
    TorchvisionOp::Rotate,
    TorchvisionOp::Posterize,
    TorchvisionOp::Solarize,
    TorchvisionOp::AutoContrast,
    TorchvisionOp::Equalize,
    TorchvisionOp::Brightness,
    TorchvisionOp::Color,
    TorchvisionOp::Contrast,
    TorchvisionOp::Sharpness,
];
