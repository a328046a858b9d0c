//! What all ops have in common: [`Kernel`], the trait, and [`Scratch`], the buffers.
//!
//! The ops import this module. It knows none of them.

use std::fmt::Debug;

use super::affine::Transformer;
use super::table::Pairs;
use crate::image::Planes;

/// What an op does.
pub trait Kernel: Debug {
    /// Checks the arguments, since plans may come from outside. The error names the argument.
    fn validate(&self) -> Result<(), String>;

    /// Replaces the image in `planes` by the op's result.
    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch);
}

/// The buffers that ops reuse. Make one per thread with `default()`.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) affine: Transformer,
    pub(super) mix: MixBuffers,
    pub(super) pairs: Pairs,
    /// A copy of one plane.
    pub(super) plane: Vec<u8>,
    pub(super) line: Vec<u8>,
    pub(super) floats: Vec<f32>,
    pub(super) sums: Vec<u32>,
}

/// The images between the ops of a [`Mix`](super::Mix).
#[derive(Debug, Default)]
pub struct MixBuffers {
    /// A copy of the image before the mix.
    pub original: Vec<u8>,
    /// The result of one chain.
    pub result: Vec<u8>,
    /// The weighted sum of the results.
    pub sum: Vec<f32>,
}

/// Refuses what is not finite, or beyond a million: no image is so large, and coordinates would not
/// fit an i32.
pub fn check_finite(argument: &str, value: f64) -> Result<(), String> {
    if value.abs() <= 1e6 {
        return Ok(());
    }
    Err(format!("{argument} must be finite and within a million, not {value}"))
}
