//! [`Policy`]: which family of policies a config string belongs to.

use super::augmix::AugMix;
use super::auto_augment::AutoAugment;
use super::parse::Config;
use super::rand_augment::RandAugment;
use super::scope::Scope;
use super::timm_op::TimmOp;
use super::torchvision::Torchvision;
use crate::error::Result;
use crate::ops::Op;
use crate::rng::Stream;

/// An augmentation policy: a distribution over lists of ops.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy(Family);

/// The families of config strings.
#[derive(Clone, Debug, PartialEq)]
enum Family {
    /// timm's `rand-...`.
    RandAugment(RandAugment),
    /// timm's `v0`, `v0r`, `original`, `originalr`, `3a`.
    AutoAugment(AutoAugment),
    /// timm's `augmix-...`.
    AugMix(AugMix),
    /// torchvision's policies.
    Torchvision(Torchvision),
}

impl Policy {
    /// The policy with this config string, and remarks on the parts of it that timm ignores.
    ///
    /// # Errors
    /// [`crate::error::Error::Argument`], with the part that makes no sense and what is wanted.
    pub fn parse(text: &str) -> Result<(Self, Vec<String>)> {
        let mut config = Config::new(text);
        let family = match config.head() {
            "rand" => Family::RandAugment(RandAugment::parse(&mut config)?),
            "augmix" => Family::AugMix(AugMix::parse(&mut config)?),
            "tv" | "trivial" => Family::Torchvision(Torchvision::parse(&config)?),
            head => match AutoAugment::parse(&mut config)? {
                Some(policy) => Family::AutoAugment(policy),
                None => {
                    return config.refuse(&format!(
                        "no policy is called '{head}'; there are rand, augmix, v0, v0r, original, \
                         originalr, 3a, tv-rand, tv-trivial, tv-auto-imagenet, tv-auto-cifar10, \
                         tv-auto-svhn and tv-augmix"
                    ));
                }
            },
        };
        Ok((Self(family), config.remarks))
    }

    /// Whether it may shear, rotate or translate with the filters of its [`Scope`].
    pub(super) fn needs_filters(&self) -> bool {
        match &self.0 {
            Family::RandAugment(policy) => policy.names().any(TimmOp::interpolates),
            Family::AutoAugment(policy) => policy.names().any(TimmOp::interpolates),
            Family::AugMix(_) => true,
            // It has a filter of its own.
            Family::Torchvision(_) => false,
        }
    }

    /// Appends the ops of one draw.
    pub(super) fn draw(&self, scope: &Scope<'_>, stream: &mut Stream, ops: &mut Vec<Op>) {
        match &self.0 {
            Family::RandAugment(policy) => policy.draw(scope, stream, ops),
            Family::AutoAugment(policy) => policy.draw(scope, stream, ops),
            Family::AugMix(policy) => policy.draw(scope, stream, ops),
            Family::Torchvision(policy) => policy.draw(scope, stream, ops),
        }
    }
}
