//! torchvision's policies (`transforms/autoaugment.py`, torchvision 0.29) as their PIL path has them.
//!
//! Magnitudes are f32, as torchvision keeps them in tensors, and are used as f64, as `item()` gives.

mod tables;

use self::tables::{CIFAR10, IMAGENET, SVHN};
use super::Scope;
use super::parse::{Config, Section};
use crate::error::Result;
use crate::ops::{Chain, Interpolation, Mixing, Op, Sampling};
use crate::rng::Stream;

use Kind::{
    AutoContrast, Brightness, Color, Contrast, Equalize, Identity, Invert, Posterize, Rotate,
    Sharpness, ShearX, ShearY, Solarize, TranslateX, TranslateY,
};

/// One of torchvision's policies, with the filter of its geometric ops.
#[derive(Clone, Debug, PartialEq)]
pub struct Torchvision {
    /// Which policy.
    pub policy: TorchvisionPolicy,
    /// The filter of shears, translations and rotations.
    pub filter: Interpolation,
}

/// torchvision's `RandAugment`, `TrivialAugmentWide`, `AutoAugment` and `AugMix`.
#[derive(Clone, Debug, PartialEq)]
pub enum TorchvisionPolicy {
    /// `RandomApply([RandAugment(num_ops, magnitude, num_magnitude_bins)], p)`.
    Rand {
        /// How many ops are chosen.
        num_ops: u32,
        /// The bin of every op's magnitude.
        magnitude: u32,
        /// The number of bins.
        bins: u32,
        /// The probability of doing anything at all, as the recipes of the paper have it.
        prob: f64,
    },
    /// `TrivialAugmentWide(num_magnitude_bins)`.
    Trivial {
        /// The number of bins.
        bins: u32,
    },
    /// `AutoAugment` with one of its learned tables.
    Auto(&'static Table),
    /// `AugMix(severity, mixture_width, chain_depth, alpha)`.
    AugMix {
        /// Magnitudes are drawn from this many of the 10 bins.
        severity: u32,
        /// How many chains there are.
        width: u32,
        /// How many ops a chain has; 0 for 1 to 3 with equal chances.
        depth: u32,
        /// The concentration of the mixing weights' distributions.
        alpha: f64,
    },
}

/// Pairs of ops that go together: each with its probability and the bin of its magnitude.
pub type Table = [[(Kind, f64, u32); 2]; 25];

/// torchvision's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
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

/// What the bins of an `_augmentation_space` reach.
struct Space {
    bins: u32,
    shear: f64,
    /// Of x and of y, in pixels.
    translate: (f64, f64),
    rotate: f64,
    /// Of brightness, colour, contrast and sharpness.
    tone: f64,
    /// Bits kept in the first bin, and how many fewer in the last.
    bits: (u32, u32),
}

/// The ops of `RandAugment` and `TrivialAugmentWide`.
const KINDS: &[Kind] = &[
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
];

impl Torchvision {
    pub(super) fn parse(config: &Config<'_>) -> Result<Self> {
        let mut sections = config.sections();
        let kind = match config.head() {
            "trivial" => "trivial",
            _ => sections.next().map_or("", |section| section.text),
        };
        let mut keys = Keys { config, known: &[], filter: Interpolation::Nearest };
        let policy = match kind {
            "rand" => rand(&mut keys, sections)?,
            "trivial" => {
                let mut bins = 31;
                keys.known = &["b"];
                keys.read(sections, |_, section| {
                    bins = config.count(section)?;
                    Ok(())
                })?;
                check_bins(config, bins)?;
                TorchvisionPolicy::Trivial { bins }
            }
            "auto" => {
                let table = match sections.next().map(|section| section.text) {
                    Some("imagenet") => &IMAGENET,
                    Some("cifar10") => &CIFAR10,
                    Some("svhn") => &SVHN,
                    _ => return config.refuse("after tv-auto- comes imagenet, cifar10 or svhn"),
                };
                keys.read(sections, |_, _| Ok(()))?;
                TorchvisionPolicy::Auto(table)
            }
            "augmix" => augmix(&mut keys, sections)?,
            _ => return config.refuse("after tv- comes rand, trivial, auto or augmix"),
        };
        Ok(Self { policy, filter: keys.filter })
    }

    pub(super) fn draw(&self, scope: &Scope<'_>, stream: &mut Stream, ops: &mut Vec<Op>) {
        let (height, width) = (f64::from(scope.size.0), f64::from(scope.size.1));
        // torchvision moves black in, whatever the mean.
        let sampling = Sampling { filter: self.filter, fill: [0; 3] };
        let space = |bins| Space {
            bins,
            shear: 0.3,
            translate: (150.0 / 331.0 * width, 150.0 / 331.0 * height),
            rotate: 30.0,
            tone: 0.9,
            bits: (8, 4),
        };
        match self.policy {
            TorchvisionPolicy::Rand { num_ops, magnitude, bins, prob } => {
                if prob < 1.0 && !stream.chance(prob) {
                    return;
                }
                for _ in 0..num_ops {
                    let kind = stream.choose(KINDS);
                    let negative = kind.signed() && stream.chance(0.5);
                    ops.extend(space(bins).op(kind, magnitude, negative, sampling));
                }
            }
            TorchvisionPolicy::Trivial { bins } => {
                let wide = Space {
                    shear: 0.99,
                    translate: (32.0, 32.0),
                    rotate: 135.0,
                    tone: 0.99,
                    bits: (8, 6),
                    bins,
                };
                ops.extend(wide.draw(KINDS, bins, sampling, stream));
            }
            TorchvisionPolicy::Auto(table) => {
                for (kind, prob, bin) in stream.choose(table) {
                    if stream.chance(prob) {
                        let negative = kind.signed() && stream.chance(0.5);
                        ops.extend(space(10).op(kind, bin, negative, sampling));
                    }
                }
            }
            TorchvisionPolicy::AugMix { severity, width: chains, depth, alpha } => {
                let space =
                    Space { translate: (width / 3.0, height / 3.0), bits: (4, 4), ..space(10) };
                let mut weights = Vec::with_capacity(chains as usize + 2);
                stream.dirichlet(alpha, 2, &mut weights);
                stream.dirichlet(alpha, chains as usize, &mut weights);
                let (image, mixed) = (weights[0] as f32, weights[1] as f32);
                let chain = |&weight: &f64| {
                    let depth = if depth > 0 { depth } else { 1 + stream.below(3) };
                    let draw = |_| space.draw(AUGMIX_KINDS, severity, sampling, stream);
                    let ops = (0..depth).filter_map(draw).collect();
                    Chain { weight: weight as f32 * mixed, ops }
                };
                let chains = weights[2..].iter().map(chain).collect();
                ops.push(Op::Mix { mixing: Mixing::Weighted { image }, chains });
            }
        }
    }
}

/// What reads the sections of a policy.
struct Keys<'a, 'b> {
    config: &'a Config<'b>,
    known: &'static [&'static str],
    filter: Interpolation,
}

impl<'b> Keys<'_, 'b> {
    /// Gives each section whose key is known to `set`; takes `i...`, the filter, itself.
    fn read(
        &mut self,
        sections: impl Iterator<Item = Section<'b>>,
        mut set: impl FnMut(&str, Section<'b>) -> Result<()>,
    ) -> Result<()> {
        for section in sections {
            let filter = section.text.strip_prefix('i').and_then(Interpolation::from_name);
            if let Some(filter) = filter {
                self.filter = filter;
            } else if self.known.contains(&section.key) {
                set(section.key, section)?;
            } else {
                let mut known: Vec<&str> = self.known.to_vec();
                known.push("i (inearest, ibilinear or ibicubic)");
                return self.config.unknown(section, &known.join(", "));
            }
        }
        Ok(())
    }
}

fn rand<'a>(
    keys: &mut Keys<'_, 'a>,
    sections: impl Iterator<Item = Section<'a>>,
) -> Result<TorchvisionPolicy> {
    let config = keys.config;
    let (mut num_ops, mut magnitude, mut bins, mut prob) = (2, 9, 31, 1.0);
    keys.known = &["n", "m", "b", "p"];
    keys.read(sections, |key, section| {
        match key {
            "n" => num_ops = config.count(section)?,
            "m" => magnitude = config.count(section)?,
            "b" => bins = config.count(section)?,
            _ => prob = config.number(section)?,
        }
        Ok(())
    })?;
    check_bins(config, bins)?;
    if magnitude >= bins {
        return config.refuse(&format!("the magnitude m{magnitude} must be below the {bins} bins"));
    }
    if prob > 1.0 {
        return config.refuse(&format!("p must be a probability from 0 to 1, not {prob}"));
    }
    Ok(TorchvisionPolicy::Rand { num_ops, magnitude, bins, prob })
}

fn augmix<'a>(
    keys: &mut Keys<'_, 'a>,
    sections: impl Iterator<Item = Section<'a>>,
) -> Result<TorchvisionPolicy> {
    let config = keys.config;
    let (mut severity, mut width, mut depth, mut alpha) = (3, 3, 0, 1.0);
    keys.known = &["m", "w", "d", "a"];
    keys.filter = Interpolation::Bilinear;
    keys.read(sections, |key, section| {
        match key {
            "m" => severity = config.count(section)?,
            "w" => width = config.count(section)?,
            "d" => depth = config.count(section)?,
            _ => alpha = config.number(section)?,
        }
        Ok(())
    })?;
    if !(1..=10).contains(&severity) {
        return config.refuse(&format!("the severity m must be from 1 to 10, not {severity}"));
    }
    if width == 0 || !(alpha > 0.0 && alpha.is_finite()) {
        return config.refuse("the width w must be at least 1 and the concentration a above 0");
    }
    Ok(TorchvisionPolicy::AugMix { severity, width, depth, alpha })
}

fn check_bins(config: &Config<'_>, bins: u32) -> Result<()> {
    // torchvision divides by bins - 1.
    if bins < 2 { config.refuse("the number of bins, b, must be at least 2") } else { Ok(()) }
}

impl Kind {
    fn signed(self) -> bool {
        !matches!(self, Identity | Posterize | Solarize | AutoContrast | Equalize | Invert)
    }
}

impl Space {
    /// One of `kinds` with a magnitude of the first `bins` and a sign.
    fn draw(
        &self,
        kinds: &[Kind],
        bins: u32,
        sampling: Sampling,
        stream: &mut Stream,
    ) -> Option<Op> {
        let kind = stream.choose(kinds);
        let bin = stream.below(bins);
        let negative = kind.signed() && stream.chance(0.5);
        self.op(kind, bin, negative, sampling)
    }

    /// What torchvision's `_apply_op` does for this kind, bin and sign; `None` for nothing.
    fn op(&self, kind: Kind, bin: u32, negative: bool, sampling: Sampling) -> Option<Op> {
        let up_to = |end: f64| {
            let magnitude = linspace(0.0, end as f32, self.bins, bin);
            f64::from(if negative { -magnitude } else { magnitude })
        };
        Some(match kind {
            Identity => return None,
            ShearX => Op::ShearX { factor: sheared(up_to(self.shear)).0, sampling },
            ShearY => Op::ShearY { factor: sheared(up_to(self.shear)).1, sampling },
            TranslateX => Op::TranslateX { pixels: -up_to(self.translate.0).trunc(), sampling },
            TranslateY => Op::TranslateY { pixels: -up_to(self.translate.1).trunc(), sampling },
            Rotate => Op::Rotate { degrees: up_to(self.rotate), sampling },
            Brightness => Op::Brightness { factor: 1.0 + up_to(self.tone) },
            Color => Op::Color { factor: 1.0 + up_to(self.tone) },
            Contrast => Op::Contrast { factor: 1.0 + up_to(self.tone) },
            Sharpness => Op::Sharpness { factor: 1.0 + up_to(self.tone) },
            Posterize => {
                let fewer = bin as f32 / (f64::from(self.bins - 1) / f64::from(self.bits.1)) as f32;
                Op::Posterize { bits: self.bits.0 - fewer.round_ties_even() as u32 }
            }
            Solarize => Op::Solarize { threshold: f64::from(linspace(255.0, 0.0, self.bins, bin)) },
            AutoContrast => Op::AutoContrast,
            Equalize => Op::Equalize,
            Invert => Op::Invert,
        })
    }
}

/// `torch.linspace(start, end, steps)[i]` in f32, rounded once as torch's compiled code is.
fn linspace(start: f32, end: f32, steps: u32, i: u32) -> f32 {
    let step = (end - start) / (steps - 1) as f32;
    if i < steps / 2 {
        step.mul_add(i as f32, start)
    } else {
        (-step).mul_add((steps - 1 - i) as f32, end)
    }
}

/// The factors that torchvision's detour over degrees makes of a shear in x and in y.
fn sheared(factor: f64) -> (f64, f64) {
    let radians = libm::atan(factor).to_degrees().to_radians();
    (libm::tan(radians), libm::sin(radians) / libm::cos(radians))
}

/// The ops of `AugMix`.
const AUGMIX_KINDS: &[Kind] = &[
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Brightness,
    Color,
    Contrast,
    Sharpness,
];
