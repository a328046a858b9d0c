//! [`Mix`]: the one op that contains ops, and so the only one that imports [`Op`].

use std::mem;

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::Op;
use super::blend::{Blend, byte};
use super::kernel::{Kernel, MixBuffers, Scratch, check_finite};
use crate::image::Planes;
use crate::memory;

/// AugMix: chains of ops are applied to copies of the image, and the results are mixed with it.
//
// serde reads an enum with a tag through a buffer of its own. The buffer also ends a recursion of
// types: the ops of a chain are read from the buffer, for every format of plans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mixing", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Mix {
    /// `_apply_basic` of timm's `AugMixAugment`: the weighted sum in f32, clipped and truncated,
    /// then Pillow's blend of the image and that sum.
    Sum {
        /// The sum's share of the blend, timm's `m`.
        amount: f32,
        /// The chains with their weights, in the order of summation.
        chains: Vec<Chain>,
    },
    /// `_apply_blended` of timm's `AugMixAugment`: one Pillow blend after another.
    Blends {
        /// The chains. The weight of each is its share of its blend.
        chains: Vec<Chain>,
    },
    /// torchvision's `AugMix`: the image and the results are weighted and summed in f32, then
    /// truncated.
    Weighted {
        /// The image's own weight.
        image: f32,
        /// The chains with their weights, in the order of summation.
        chains: Vec<Chain>,
    },
}

/// A chain of ops whose result is mixed with others. Plans store it as a pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredChain", into = "StoredChain")]
pub struct Chain {
    /// The chain's weight. Its meaning depends on the [`Mix`].
    pub weight: f32,
    /// What is done to the image, in order.
    pub ops: Vec<Op>,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "a pair of a chain's weight and its ops")]
struct StoredChain(f32, Vec<Op>);

impl From<StoredChain> for Chain {
    fn from(StoredChain(weight, ops): StoredChain) -> Self {
        Self { weight, ops }
    }
}

impl From<Chain> for StoredChain {
    fn from(Chain { weight, ops }: Chain) -> Self {
        Self(weight, ops)
    }
}

impl Mix {
    /// The chains.
    #[must_use]
    pub fn chains(&self) -> &[Chain] {
        match self {
            Self::Sum { chains, .. } | Self::Blends { chains } | Self::Weighted { chains, .. } => {
                chains
            }
        }
    }
}

impl Kernel for Mix {
    fn validate(&self) -> Result<(), String> {
        match *self {
            Self::Sum { amount, .. } => check_finite("amount", amount.into())?,
            Self::Weighted { image, .. } => check_finite("image", image.into())?,
            Self::Blends { .. } => {}
        }
        for Chain { weight, ops } in self.chains() {
            check_finite("weight", f64::from(*weight))?;
            if ops.iter().any(|op| matches!(op, Op::Mix(_))) {
                return Err("a chain cannot hold another Mix".into());
            }
            ops.iter().try_for_each(Op::validate).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch) {
        let size = (planes.height() as u32, planes.width() as u32);
        // Taken, since the ops of the chains need the rest of the scratch.
        let MixBuffers { mut original, mut result, mut sum } = mem::take(&mut scratch.mix);
        let out = planes.data();
        memory::copy(out, &mut original);
        memory::resize(&mut result, out.len(), 0);
        sum.clear();
        memory::resize(&mut sum, out.len(), 0.0);
        if let Self::Weighted { image, .. } = *self {
            add(&mut sum, &original, image);
        }
        for Chain { weight, ops } in self.chains() {
            result.copy_from_slice(&original);
            let mut planes = Planes::new(size, &mut result);
            for op in ops {
                op.kernel().apply(&mut planes, scratch);
            }
            match self {
                Self::Blends { .. } => blend_into(out, &result, *weight),
                Self::Sum { .. } | Self::Weighted { .. } => add(&mut sum, &result, *weight),
            }
        }
        match *self {
            Self::Blends { .. } => {}
            Self::Weighted { .. } => truncate(&sum, out),
            Self::Sum { amount, .. } => {
                truncate(&sum, &mut result);
                blend_into(out, &result, amount);
            }
        }
        scratch.mix = MixBuffers { original, result, sum };
    }
}

#[multiversion(targets = "simd")]
fn add(sum: &mut [f32], image: &[u8], weight: f32) {
    for (sum, &v) in sum.iter_mut().zip(image) {
        *sum += weight * f32::from(v);
    }
}

#[multiversion(targets = "simd")]
fn truncate(sum: &[f32], out: &mut [u8]) {
    for (out, &sum) in out.iter_mut().zip(sum) {
        *out = byte(sum);
    }
}

#[multiversion(targets = "simd")]
fn blend_into(image: &mut [u8], other: &[u8], alpha: f32) {
    let blend = Blend::new(alpha);
    for (v, &other) in image.iter_mut().zip(other) {
        *v = blend.of(*v, other);
    }
}
