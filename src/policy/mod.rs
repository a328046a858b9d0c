//! What happens to a view's colours and shape after the crop: declared as data ([`Policy`] and its
//! neighbours), drawn into a list of [`Op`]s. Draws numbers, touches no pixels.
//!
//! The strings are timm's and mean what timm 1.0.31 means by them, and `tv-...` for torchvision's
//! policies. The joint distribution of what is drawn is theirs; the order of the draws is the crate's.

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
pub use augmix::AugMix;
pub use auto_augment::{AutoAugment, SubPolicy};
pub use erase::{EraseMode, Normalization, RandomErasing};
pub use jitter::ColorJitter;
pub use name::{Level, Name};
pub use rand_augment::{Choice, RandAugment};
pub use torchvision::{Kind, Table, Torchvision, TorchvisionPolicy};

use crate::error::Result;
use crate::ops::{Interpolation, Op, Sampling};
use crate::rng::Stream;

/// What a policy takes from the view around it.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Height and width of the image that the ops work on.
    pub size: (u32, u32),
    /// timm's `img_mean`: the colour of what is moved in from outside.
    pub fill: [u8; 3],
    /// The filters of timm's geometric ops, one drawn per op.
    pub filters: &'a [Interpolation],
    /// timm's `translate_pct`: the farthest relative translation, as a fraction of the side.
    pub translate_pct: f64,
}

impl Scope<'_> {
    /// How a geometric op of timm looks pixels up: with a filter of its own.
    fn sampling(&self, stream: &mut Stream) -> Sampling {
        Sampling { filter: stream.choose(self.filters), fill: self.fill }
    }

    /// timm's `translate_const`: the farthest absolute translation, in pixels.
    fn translate_const(&self) -> f64 {
        (f64::from(self.size.0.min(self.size.1)) * 0.45).trunc()
    }
}

/// An augmentation policy: a distribution over lists of ops.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
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
    /// The policy that a config string names, and remarks on what timm ignores in it.
    ///
    /// # Errors
    /// [`crate::error::Error::Argument`], naming the part that makes no sense and what would.
    pub fn parse(text: &str) -> Result<(Self, Vec<String>)> {
        let mut config = parse::Config::new(text);
        let policy = match config.head() {
            "rand" => Self::RandAugment(RandAugment::parse(&mut config)?),
            "augmix" => Self::AugMix(AugMix::parse(&mut config)?),
            "tv" | "trivial" => Self::Torchvision(Torchvision::parse(&config)?),
            head => match auto_augment::table(head) {
                Some(table) => Self::AutoAugment(AutoAugment::parse(table, &mut config)?),
                None => {
                    return config.refuse(&format!(
                        "no policy is called '{head}'; there are rand, augmix, v0, v0r, original, \
                         originalr, 3a, tv-rand, tv-trivial, tv-auto-imagenet, tv-auto-cifar10, \
                         tv-auto-svhn and tv-augmix"
                    ));
                }
            },
        };
        Ok((policy, config.remarks))
    }

    /// Whether it may shear, rotate or translate with the [`Scope`]'s filters.
    #[must_use]
    pub fn samples(&self) -> bool {
        match self {
            Self::RandAugment(policy) => policy.names().any(Name::samples),
            Self::AutoAugment(policy) => policy.names().any(Name::samples),
            Self::AugMix(_) => true,
            // A filter of its own.
            Self::Torchvision(_) => false,
        }
    }

    /// Appends the ops of one draw.
    pub fn draw(&self, scope: &Scope<'_>, stream: &mut Stream, ops: &mut Vec<Op>) {
        match self {
            Self::RandAugment(policy) => policy.draw(scope, stream, ops),
            Self::AutoAugment(policy) => policy.draw(scope, stream, ops),
            Self::AugMix(policy) => policy.draw(scope, stream, ops),
            Self::Torchvision(policy) => policy.draw(scope, stream, ops),
        }
    }
}
