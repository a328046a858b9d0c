//! What happens to a view's colours and shape after the crop: declared as data ([`Augment`], with a
//! [`Policy`]), drawn into a list of [`Op`](crate::ops::Op)s. Draws numbers, touches no pixels.
//!
//! A policy is named by a string. timm's strings mean what timm 1.0.31 means by them, and `tv-...`
//! are torchvision's policies. The drawn ops have the same joint distribution as in timm or
//! torchvision. The order of the draws is our own.
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
//! A new policy is a file here with its `mod` line. In `named.rs` it gets a variant of `Family`,
//! and its name in [`Policy::parse`].

mod augment;
mod augmix;
mod auto_augment;
mod blur;
mod erase;
mod jitter;
mod named;
mod parse;
mod rand_augment;
mod scope;
mod timm_op;
mod torchvision;

pub use augment::Augment;
pub use blur::RandomBlur;
pub use erase::{EraseMode, Normalization, RandomErasing};
pub use jitter::{ColorJitter, RandomSolarize};
pub use named::Policy;
