//! Interleaving with SSE2.

use std::arch::x86_64::{__m128i, _mm_unpackhi_epi8, _mm_unpacklo_epi8};
use std::mem::transmute;

/// Sixteen bytes of a row.
type Lane = [u8; 16];

/// `a[0], b[0], a[1], b[1], ...`: the lower half, and the upper half.
#[inline]
pub fn interleave(a: Lane, b: Lane) -> [Lane; 2] {
    // SAFETY: every x86-64 has SSE2. A lane and a register have 16 bytes, and all values are valid.
    unsafe {
        let [a, b] = transmute::<[Lane; 2], [__m128i; 2]>([a, b]);
        transmute::<[__m128i; 2], _>([_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)])
    }
}
