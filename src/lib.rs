//! Exact and fast two-view augmentation: the core of the Python package `tied-augment`.
//!
//! Data flows one way, and the modules show it: bytes are decoded ([`decode`]), all randomness is drawn
//! ([`plan`] with [`policy`], from [`rng`]), the plan is executed ([`view`]: [`resize`], flips, [`pack`],
//! [`ops`]), and [`batch`] does so for many samples on all threads of a [`pool`]. [`loader`] makes batches
//! ahead of their consumer. Apart from all that, [`loss`] has the training loss and its gradients. Nothing
//! here knows Python but the module `py`, behind the feature `python`.
//!
//! "Exact" means: the pixels that Pillow computes from the same plan, bit for bit.

// Sides of images are at most 2^31 and their products are checked, so the casts between the integer
// types that libjpeg, Philox and slices want are lossless.

pub mod batch;
mod crop;
pub mod decode;
pub mod error;
mod file;
pub mod image;
pub mod loader;
pub mod loss;
pub mod ops;
pub mod pack;
pub mod plan;
pub mod policy;
pub mod pool;
#[cfg(feature = "python")]
mod py;
pub mod resize;
pub mod rng;
pub mod simd;
pub mod view;
