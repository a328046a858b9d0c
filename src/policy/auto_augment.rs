//! timm's AutoAugment policies (`auto_augment_transform`, timm 1.0.31 `data/auto_augment.py`).

use super::parse::Config;
use super::scope::Scope;
use super::timm_op::Magnitude;
use super::timm_op::TimmOp::{
    self, AutoContrast, Color, Contrast, Desaturate, Equalize, GaussianBlurRand, Invert, Posterize,
    PosterizeIncreasing, PosterizeOriginal, Rotate, Sharpness, ShearX, ShearY, Solarize,
    SolarizeAdd, TranslateYRel,
};
use crate::error::Result;
use crate::ops::Op;
use crate::rng::Stream;

/// Ops that go together: each with its probability and magnitude.
pub type SubPolicy = &'static [(TimmOp, f64, u8)];

/// One of the sub-policies of a table, with equal chances.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoAugment {
    /// The sub-policies.
    table: &'static [SubPolicy],
    /// Whether every posterize is [`PosterizeIncreasing`]: timm's variants `v0r` and `originalr`.
    increasing_posterize: bool,
    /// The standard deviation of every magnitude.
    std: f64,
}

impl AutoAugment {
    /// The policy that `config` begins with; `None` if it is none of these.
    pub(super) fn parse(config: &mut Config<'_>) -> Result<Option<Self>> {
        let (table, increasing_posterize) = match config.head() {
            "original" => (ORIGINAL, false),
            "originalr" => (ORIGINAL, true),
            "v0" => (V0, false),
            "v0r" => (V0, true),
            "3a" => (THREE, false),
            _ => return Ok(None),
        };
        let mut std = None;
        for section in config.sections() {
            if config.skips(section) {
                continue;
            }
            match section.key {
                "mstd" => config.once(section, &mut std, Config::number)?,
                _ => return config.unknown(section, "mstd (the magnitudes' standard deviation)"),
            }
        }
        Ok(Some(Self { table, increasing_posterize, std: std.unwrap_or(0.0) }))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = TimmOp> {
        self.table.iter().copied().flatten().map(|&(name, ..)| name)
    }

    pub(super) fn draw(&self, scope: &Scope<'_>, stream: &mut Stream, ops: &mut Vec<Op>) {
        for &(name, prob, magnitude) in stream.choose(self.table) {
            let name = match name {
                Posterize | PosterizeOriginal if self.increasing_posterize => PosterizeIncreasing,
                _ => name,
            };
            let magnitude =
                Magnitude { value: magnitude.into(), std: self.std, max: Magnitude::FULL };
            name.draw(prob, magnitude, scope, stream, ops);
        }
    }
}

const V0: &[SubPolicy] = &[
    &[(Equalize, 0.8, 1), (ShearY, 0.8, 4)],
    &[(Color, 0.4, 9), (Equalize, 0.6, 3)],
    &[(Color, 0.4, 1), (Rotate, 0.6, 8)],
    &[(Solarize, 0.8, 3), (Equalize, 0.4, 7)],
    &[(Solarize, 0.4, 2), (Solarize, 0.6, 2)],
    &[(Color, 0.2, 0), (Equalize, 0.8, 8)],
    &[(Equalize, 0.4, 8), (SolarizeAdd, 0.8, 3)],
    &[(ShearX, 0.2, 9), (Rotate, 0.6, 8)],
    &[(Color, 0.6, 1), (Equalize, 1.0, 2)],
    &[(Invert, 0.4, 9), (Rotate, 0.6, 0)],
    &[(Equalize, 1.0, 9), (ShearY, 0.6, 3)],
    &[(Color, 0.4, 7), (Equalize, 0.6, 0)],
    &[(Posterize, 0.4, 6), (AutoContrast, 0.4, 7)],
    &[(Solarize, 0.6, 8), (Color, 0.6, 9)],
    &[(Solarize, 0.2, 4), (Rotate, 0.8, 9)],
    &[(Rotate, 1.0, 7), (TranslateYRel, 0.8, 9)],
    &[(ShearX, 0.0, 0), (Solarize, 0.8, 4)],
    &[(ShearY, 0.8, 0), (Color, 0.6, 4)],
    &[(Color, 1.0, 0), (Rotate, 0.6, 2)],
    &[(Equalize, 0.8, 4), (Equalize, 0.0, 8)],
    &[(Equalize, 1.0, 4), (AutoContrast, 0.6, 2)],
    &[(ShearY, 0.4, 7), (SolarizeAdd, 0.6, 7)],
    &[(Posterize, 0.8, 2), (Solarize, 0.6, 10)],
    &[(Solarize, 0.6, 8), (Equalize, 0.6, 1)],
    &[(Color, 0.8, 6), (Rotate, 0.4, 5)],
];

const ORIGINAL: &[SubPolicy] = &[
    &[(PosterizeOriginal, 0.4, 8), (Rotate, 0.6, 9)],
    &[(Solarize, 0.6, 5), (AutoContrast, 0.6, 5)],
    &[(Equalize, 0.8, 8), (Equalize, 0.6, 3)],
    &[(PosterizeOriginal, 0.6, 7), (PosterizeOriginal, 0.6, 6)],
    &[(Equalize, 0.4, 7), (Solarize, 0.2, 4)],
    &[(Equalize, 0.4, 4), (Rotate, 0.8, 8)],
    &[(Solarize, 0.6, 3), (Equalize, 0.6, 7)],
    &[(PosterizeOriginal, 0.8, 5), (Equalize, 1.0, 2)],
    &[(Rotate, 0.2, 3), (Solarize, 0.6, 8)],
    &[(Equalize, 0.6, 8), (PosterizeOriginal, 0.4, 6)],
    &[(Rotate, 0.8, 8), (Color, 0.4, 0)],
    &[(Rotate, 0.4, 9), (Equalize, 0.6, 2)],
    &[(Equalize, 0.0, 7), (Equalize, 0.8, 8)],
    &[(Invert, 0.6, 4), (Equalize, 1.0, 8)],
    &[(Color, 0.6, 4), (Contrast, 1.0, 8)],
    &[(Rotate, 0.8, 8), (Color, 1.0, 2)],
    &[(Color, 0.8, 8), (Solarize, 0.8, 7)],
    &[(Sharpness, 0.4, 7), (Invert, 0.6, 8)],
    &[(ShearX, 0.6, 5), (Equalize, 1.0, 9)],
    &[(Color, 0.4, 0), (Equalize, 0.6, 3)],
    &[(Equalize, 0.4, 7), (Solarize, 0.2, 4)],
    &[(Solarize, 0.6, 5), (AutoContrast, 0.6, 5)],
    &[(Invert, 0.6, 4), (Equalize, 1.0, 8)],
    &[(Color, 0.6, 4), (Contrast, 1.0, 8)],
    &[(Equalize, 0.8, 8), (Equalize, 0.6, 3)],
];

const THREE: &[SubPolicy] =
    &[&[(Solarize, 1.0, 5)], &[(Desaturate, 1.0, 10)], &[(GaussianBlurRand, 1.0, 10)]];
