//! What happens to a view's colours and shape after the crop: declared as data ([`Augment`], with a
//! [`Policy`]), drawn into a list of [`Op`]s. Draws numbers, touches no pixels.
//!
//! A policy is named by a string. timm's strings mean what timm 1.0.31 means by them, and `tv-...`
//! are torchvision's policies. What is drawn has their joint distribution. The order of the draws
//! is our own.
//!
//! ```
//! use tied_augment::policy::Policy;
//!
//! let (_, remarks) = Policy::parse("rand-m9-mstd0.5-inc1")?;
//! assert!(remarks.is_empty());
//!
//! // timm ignores sections without a number.
//! let (_, remarks) = Policy::parse("rand-m9-fast")?;
//! assert_eq!(remarks.len(), 1);
//!
//! let error = Policy::parse("randaugment").unwrap_err();
//! assert!(error.to_string().contains("no policy is called 'randaugment'"));
//! # Ok::<(), tied_augment::error::Error>(())
//! ```
//!
//! A new policy is a file here, a variant of `Kind` in this one, and its name in [`Policy::parse`].

mod augment;
mod augmix;
mod auto_augment;
mod erase;
mod jitter;
mod name;
mod parse;
mod rand_augment;
mod torchvision;

pub use augment::Augment;
pub use erase::{EraseMode, Normalization, RandomErasing};
pub use jitter::ColorJitter;

use augmix::AugMix;
use auto_augment::AutoAugment;
use name::Name;
use rand_augment::RandAugment;
use torchvision::Torchvision;

use crate::error::Result;
use crate::ops::{Interpolation, Op};
use crate::rng::Stream;

/// What a policy needs to know of its view.
#[derive(Clone, Copy, Debug)]
struct Scope<'a> {
    /// Height and width of the image that the ops work on.
    size: (u32, u32),
    /// timm's `img_mean`: the colour outside the image.
    fill: [u8; 3],
    /// The filters of timm's geometric ops, one drawn per op.
    filters: &'a [Interpolation],
    /// timm's `translate_pct`: the longest relative translation, as a fraction of the side.
    translate_pct: f64,
}

impl Scope<'_> {
    /// The filter of one geometric op.
    fn filter(&self, stream: &mut Stream) -> Interpolation {
        stream.choose(self.filters)
    }
}

/// An augmentation policy: a distribution over lists of ops.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
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
        let mut config = parse::Config::new(text);
        let kind = match config.head() {
            "rand" => Kind::RandAugment(RandAugment::parse(&mut config)?),
            "augmix" => Kind::AugMix(AugMix::parse(&mut config)?),
            "tv" | "trivial" => Kind::Torchvision(Torchvision::parse(&config)?),
            head => match auto_augment::table(head) {
                Some(table) => Kind::AutoAugment(AutoAugment::parse(table, &mut config)?),
                None => {
                    return config.refuse(&format!(
                        "no policy is called '{head}'; there are rand, augmix, v0, v0r, original, \
                         originalr, 3a, tv-rand, tv-trivial, tv-auto-imagenet, tv-auto-cifar10, \
                         tv-auto-svhn and tv-augmix"
                    ));
                }
            },
        };
        Ok((Self(kind), config.remarks))
    }

    /// Whether it may shear, rotate or translate with the filters of its [`Scope`].
    fn needs_filters(&self) -> bool {
        match &self.0 {
            Kind::RandAugment(policy) => policy.names().any(Name::interpolates),
            Kind::AutoAugment(policy) => policy.names().any(Name::interpolates),
            Kind::AugMix(_) => true,
            // It has a filter of its own.
            Kind::Torchvision(_) => false,
        }
    }

    /// Appends the ops of one draw.
    fn draw(&self, scope: &Scope<'_>, stream: &mut Stream, ops: &mut Vec<Op>) {
        match &self.0 {
            Kind::RandAugment(policy) => policy.draw(scope, stream, ops),
            Kind::AutoAugment(policy) => policy.draw(scope, stream, ops),
            Kind::AugMix(policy) => policy.draw(scope, stream, ops),
            Kind::Torchvision(policy) => policy.draw(scope, stream, ops),
        }
    }
}
