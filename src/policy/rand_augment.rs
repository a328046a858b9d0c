//! RandAugment as timm has it (`rand_augment_transform`, timm 1.0.31 `data/auto_augment.py`).

use super::parse::Config;
use super::scope::Scope;
use super::timm_op::{Magnitude, TimmOp};
use crate::error::Result;
use crate::ops::Op;
use crate::rng::Stream;

/// The ops to choose from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Choice {
    /// With equal chances and with repetition.
    Even(&'static [TimmOp]),
    /// With chances in proportion to the weights, without repetition.
    Weighted(&'static [(TimmOp, f64)]),
}

/// A number of random ops, each with its own magnitude.
#[derive(Clone, Debug, PartialEq)]
pub struct RandAugment {
    /// The number of ops to choose.
    num_ops: u32,
    /// The probability of applying a chosen op.
    prob: f64,
    /// The magnitude of every op.
    magnitude: Magnitude,
    /// What is chosen from.
    choice: Choice,
}

const SECTIONS: &str = "m (magnitude, integer), n (number of ops, integer), p (probability), mstd \
                        (the magnitude's standard deviation; above 100 uniform), mmax (its bound, \
                        integer), inc (0 or 1) and t (weights, 3a or 3aw)";

impl RandAugment {
    pub(super) fn parse(config: &mut Config<'_>) -> Result<Self> {
        let mut magnitude = Magnitude { value: 10.0, std: 0.0, max: Magnitude::FULL };
        let (mut num_ops, mut prob, mut increasing) = (2, 0.5, false);
        let (mut set, mut std, mut max) = (None, None, None);
        for section in config.sections() {
            if let Some(name) = section.text.strip_prefix('t') {
                if set.is_some() {
                    config.ignored(section, "as a set of transforms is given already");
                }
                set.get_or_insert((name, section));
                continue;
            }
            if config.skips(section) {
                continue;
            }
            match section.key {
                "m" => magnitude.value = config.integer(section)?,
                "n" => num_ops = config.count(section)?,
                "p" => prob = config.number(section)?,
                "inc" => increasing = config.integer(section)? != 0.0,
                "mstd" => config.once(section, &mut std, Config::number)?,
                "mmax" => config.once(section, &mut max, Config::magnitude)?,
                "w" => {
                    return config.refuse(&format!(
                        "'{}': timm removed the key w; 'tweights' chooses by weights",
                        section.text
                    ));
                }
                _ => return config.unknown(section, SECTIONS),
            }
        }
        if let Some(std) = std {
            magnitude.std = if std > 100.0 { f64::INFINITY } else { std };
        }
        // timm reads mmax0 as no mmax.
        if let Some(max) = max.filter(|&max| max > 0.0) {
            magnitude.max = max;
        }
        let plain = Choice::Even(if increasing { INCREASING } else { PLAIN });
        let choice = match set {
            Some(("weights", _)) => Choice::Weighted(WEIGHTED),
            Some(("3aw", _)) => Choice::Weighted(WEIGHTED_3A),
            Some(("3a", _)) => Choice::Even(THREE),
            Some((_, section)) => {
                config.ignored(section, "as the sets are weights, 3a and 3aw");
                plain
            }
            None => plain,
        };
        match choice {
            Choice::Weighted(set) if num_ops as usize > set.len() => config.refuse(&format!(
                "'n{num_ops}' is more than the {} ops of the set, which are chosen without \
                 repetition",
                set.len()
            )),
            _ => Ok(Self { num_ops, prob, magnitude, choice }),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = TimmOp> {
        let (even, weighted): (&[TimmOp], &[(TimmOp, f64)]) = match self.choice {
            Choice::Even(names) => (names, &[]),
            Choice::Weighted(set) => (&[], set),
        };
        even.iter().copied().chain(weighted.iter().map(|&(name, _)| name))
    }

    pub(super) fn draw(&self, scope: &Scope<'_>, stream: &mut Stream, ops: &mut Vec<Op>) {
        // A bit per op that was chosen.
        let mut chosen = 0u32;
        for _ in 0..self.num_ops {
            let name = match self.choice {
                Choice::Even(names) => stream.choose(names),
                Choice::Weighted(set) => weighted(set, &mut chosen, stream),
            };
            name.draw(self.prob, self.magnitude, scope, stream, ops);
        }
    }
}

/// One of the ops that are not `chosen`, with chances in proportion to the weights: the
/// distribution of `numpy.random.choice(..., replace=False, p=weights)`.
fn weighted(set: &[(TimmOp, f64)], chosen: &mut u32, stream: &mut Stream) -> TimmOp {
    let left = || set.iter().enumerate().filter(|&(i, _)| *chosen >> i & 1 == 0);
    let total: f64 = left().map(|(_, (_, weight))| weight).sum();
    let mut rest = total * stream.unit();
    // Rounding may leave a positive rest. Then the last op is picked.
    let mut pick = None;
    for (i, &(name, weight)) in left() {
        pick = Some((i, name));
        rest -= weight;
        if rest < 0.0 {
            break;
        }
    }
    let (i, name) = pick.expect("the parser bounds num_ops by the size of the set");
    *chosen |= 1 << i;
    name
}

const PLAIN: &[TimmOp] = &[
    TimmOp::AutoContrast,
    TimmOp::Equalize,
    TimmOp::Invert,
    TimmOp::Rotate,
    TimmOp::Posterize,
    TimmOp::Solarize,
    TimmOp::SolarizeAdd,
    TimmOp::Color,
    TimmOp::Contrast,
    TimmOp::Brightness,
    TimmOp::Sharpness,
    TimmOp::ShearX,
    TimmOp::ShearY,
    TimmOp::TranslateXRel,
    TimmOp::TranslateYRel,
];

const INCREASING: &[TimmOp] = &[
    TimmOp::AutoContrast,
    TimmOp::Equalize,
    TimmOp::Invert,
    TimmOp::Rotate,
    TimmOp::PosterizeIncreasing,
    TimmOp::SolarizeIncreasing,
    TimmOp::SolarizeAdd,
    TimmOp::ColorIncreasing,
    TimmOp::ContrastIncreasing,
    TimmOp::BrightnessIncreasing,
    TimmOp::SharpnessIncreasing,
    TimmOp::ShearX,
    TimmOp::ShearY,
    TimmOp::TranslateXRel,
    TimmOp::TranslateYRel,
];

const THREE: &[TimmOp] = &[TimmOp::SolarizeIncreasing, TimmOp::Desaturate, TimmOp::GaussianBlur];

const WEIGHTED_3A: &[(TimmOp, f64)] = &[
    (TimmOp::SolarizeIncreasing, 6.0),
    (TimmOp::Desaturate, 6.0),
    (TimmOp::GaussianBlur, 6.0),
    (TimmOp::Rotate, 3.0),
    (TimmOp::ShearX, 2.0),
    (TimmOp::ShearY, 2.0),
    (TimmOp::PosterizeIncreasing, 1.0),
    (TimmOp::AutoContrast, 1.0),
    (TimmOp::ColorIncreasing, 1.0),
    (TimmOp::SharpnessIncreasing, 1.0),
    (TimmOp::ContrastIncreasing, 1.0),
    (TimmOp::BrightnessIncreasing, 1.0),
    (TimmOp::Equalize, 1.0),
    (TimmOp::Invert, 1.0),
];

const WEIGHTED: &[(TimmOp, f64)] = &[
    (TimmOp::Rotate, 3.0),
    (TimmOp::ShearX, 2.0),
    (TimmOp::ShearY, 2.0),
    (TimmOp::TranslateXRel, 1.0),
    (TimmOp::TranslateYRel, 1.0),
    (TimmOp::ColorIncreasing, 0.25),
    (TimmOp::SharpnessIncreasing, 0.25),
    (TimmOp::AutoContrast, 0.25),
    (TimmOp::SolarizeIncreasing, 0.05),
    (TimmOp::SolarizeAdd, 0.05),
    (TimmOp::ContrastIncreasing, 0.05),
    (TimmOp::BrightnessIncreasing, 0.05),
    (TimmOp::Equalize, 0.05),
    (TimmOp::PosterizeIncreasing, 0.05),
    (TimmOp::Invert, 0.05),
];
