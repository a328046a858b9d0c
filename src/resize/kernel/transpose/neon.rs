//! Interleaving with NEON.

use std::arch::aarch64::{uint8x16_t, vzip1q_u8, vzip2q_u8};
use std::mem::transmute;

/// Sixteen bytes of a row.
type Lane = [u8; 16];

/// `a[0], b[0], a[1], b[1], ...`: the lower half, and the upper half.
#[inline]
pub fn interleave(a: Lane, b: Lane) -> [Lane; 2] {
    // SAFETY: every 64-bit ARM that Rust's standard library supports has NEON. A lane and a
    // register have 16 bytes, and all values are valid.
    unsafe {
        let [a, b] = transmute::<[Lane; 2], [uint8x16_t; 2]>([a, b]);
        transmute::<[uint8x16_t; 2], _>([vzip1q_u8(a, b), vzip2q_u8(a, b)])
    }
}
