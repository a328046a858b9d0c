//! AugMix as timm has it (`augment_and_mix_transform`, timm 1.0.31 `data/auto_augment.py`).

use super::parse::Config;
use super::scope::Scope;
use super::timm_op::{Magnitude, TimmOp};
use crate::error::Result;
use crate::ops::{Chain, Mix, Op};
use crate::rng::Stream;

/// Chains of random ops, mixed with each other and with the image.
#[derive(Clone, Debug, PartialEq)]
pub struct AugMix {
    /// The magnitude of every op.
    magnitude: Magnitude,
    /// The number of chains.
    width: u32,
    /// The number of ops of a chain; 0 for 1 to 3 with equal chances.
    depth: u32,
    /// The concentration of the mixing weights' Dirichlet and Beta distributions.
    alpha: f64,
    /// Whether the chains are blended one after another (timm's `b1`).
    blended: bool,
}

const SECTIONS: &str = "m (magnitude, integer), w (number of chains, integer), d (ops per chain, \
                        integer; 0 for 1 to 3), a (the concentration of the weights, above 0), b \
                        (0 or 1, blend chain by chain) and mstd (the magnitude's standard \
                        deviation)";

/// The longest translation of timm's AugMix, as a fraction of the side: its `translate_pct`.
const TRANSLATE: f64 = 0.3;

/// timm's `_AUGMIX_TRANSFORMS`.
const NAMES: &[TimmOp] = &[
    TimmOp::AutoContrast,
    TimmOp::ColorIncreasing,
    TimmOp::ContrastIncreasing,
    TimmOp::BrightnessIncreasing,
    TimmOp::SharpnessIncreasing,
    TimmOp::Equalize,
    TimmOp::Rotate,
    TimmOp::PosterizeIncreasing,
    TimmOp::SolarizeIncreasing,
    TimmOp::ShearX,
    TimmOp::ShearY,
    TimmOp::TranslateXRel,
    TimmOp::TranslateYRel,
];

impl AugMix {
    pub(super) fn parse(config: &mut Config<'_>) -> Result<Self> {
        let mut std = None;
        let mut policy = Self {
            magnitude: Magnitude { value: 3.0, std: f64::INFINITY, max: Magnitude::FULL },
            width: 3,
            depth: 0,
            alpha: 1.0,
            blended: false,
        };
        for section in config.sections() {
            if config.skips(section) {
                continue;
            }
            match section.key {
                "mstd" => config.once(section, &mut std, Config::number)?,
                "m" => policy.magnitude.value = config.integer(section)?,
                "w" => policy.width = config.count(section)?,
                "d" => policy.depth = config.count(section)?,
                "a" => policy.alpha = config.number(section)?,
                "b" => policy.blended = config.integer(section)? != 0.0,
                _ => return config.unknown(section, SECTIONS),
            }
        }
        // timm takes any a and fails on a0 at the first image.
        if !(policy.alpha > 0.0 && policy.alpha.is_finite()) {
            return config.refuse("the concentration 'a' must be above 0 and finite");
        }
        config.check_chains(policy.width, policy.depth)?;
        policy.magnitude.std = std.unwrap_or(f64::INFINITY);
        Ok(policy)
    }

    pub(super) fn draw(&self, scope: &Scope<'_>, stream: &mut Stream, ops: &mut Vec<Op>) {
        let scope = Scope { translate_pct: TRANSLATE, ..*scope };
        let mut weights = Vec::with_capacity(self.width as usize + 2);
        // A Beta(a, a) is the first weight of a Dirichlet(a, a).
        stream.dirichlet(self.alpha, 2, &mut weights);
        stream.dirichlet(self.alpha, self.width as usize, &mut weights);
        let amount = weights[0] as f32;
        let mut weights: Vec<f32> = weights[2..].iter().map(|&weight| weight as f32).collect();
        if self.blended {
            blended_shares(&mut weights, amount);
        }
        let chain = |weight| {
            let depth = if self.depth > 0 { self.depth } else { 1 + stream.below(3) };
            let mut ops = Vec::with_capacity(depth as usize);
            for _ in 0..depth {
                let name = stream.choose(NAMES);
                name.draw(1.0, self.magnitude, &scope, stream, &mut ops);
            }
            Chain { weight, ops }
        };
        let chains = weights.into_iter().map(chain).collect();
        let mix = if self.blended { Mix::Blends { chains } } else { Mix::Sum { amount, chains } };
        ops.push(mix.into());
    }
}

/// Replaces the weights by the shares of the blends: after all blends, which follow one another,
/// each chain has its weight times `m` (timm's `_calc_blended_weights`, in f32 as with NumPy 2).
fn blended_shares(weights: &mut [f32], m: f32) {
    let mut rest = 1f32;
    for weight in weights.iter_mut().rev() {
        // If nothing of the image is left, rounding may make this 0 / 0.
        *weight = if rest > 0.0 { *weight * m / rest } else { 0.0 };
        rest *= 1.0 - *weight;
    }
}
