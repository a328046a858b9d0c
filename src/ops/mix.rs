//! AugMix: chains of ops on copies of the image, mixed with it.

use std::mem;

use multiversion::multiversion;

use super::float::{blend, byte};
use super::{Chain, Mixing, Scratch, apply_one};

/// What mixing reuses.
#[derive(Debug, Default)]
pub struct Buffers {
    image: Vec<u8>,
    chain: Vec<u8>,
    sum: Vec<f32>,
}

/// Applies each chain to the image and mixes the results into `planes`.
pub fn apply(
    mixing: Mixing,
    chains: &[Chain],
    size: (usize, usize),
    planes: &mut [u8],
    scratch: &mut Scratch,
) {
    // Taken, since the chains' ops use the rest of the scratch.
    let Buffers { mut image, mut chain, mut sum } = mem::take(&mut scratch.mix);
    image.clear();
    image.extend_from_slice(planes);
    chain.resize(planes.len(), 0);
    sum.clear();
    sum.resize(planes.len(), 0.0);
    if let Mixing::Weighted { image: weight } = mixing {
        add(&mut sum, &image, weight);
    }
    for Chain { weight, ops } in chains {
        chain.clear();
        chain.extend_from_slice(&image);
        for op in ops {
            apply_one(op, size, &mut chain, scratch);
        }
        match mixing {
            Mixing::Blends => blend_into(planes, &chain, *weight),
            Mixing::Sum { .. } | Mixing::Weighted { .. } => add(&mut sum, &chain, *weight),
        }
    }
    match mixing {
        Mixing::Blends => {}
        Mixing::Weighted { .. } => truncate(&sum, planes),
        Mixing::Sum { amount } => {
            truncate(&sum, &mut chain);
            blend_into(planes, &chain, amount);
        }
    }
    scratch.mix = Buffers { image, chain, sum };
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
fn blend_into(planes: &mut [u8], other: &[u8], alpha: f32) {
    for (v, &other) in planes.iter_mut().zip(other) {
        *v = blend(*v, other, alpha);
    }
}
