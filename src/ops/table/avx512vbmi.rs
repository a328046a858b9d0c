//! Look-ups with AVX-512's permutations of bytes (VBMI): ten times as fast as one by one.

use std::arch::x86_64::*;

use super::portable;

/// As [`super::map`]. Four registers hold the table. An instruction looks 64 values up in two of
/// them, by their lower seven bits; the upper bit selects between the results.
#[target_feature(enable = "avx512bw,avx512vbmi")]
pub fn map(plane: &mut [u8], table: &[u8; 256]) {
    let quarter = |i: usize| load(table[64 * i..].first_chunk().expect("four quarters"));
    let [a, b, c, d] = [quarter(0), quarter(1), quarter(2), quarter(3)];
    let (blocks, rest) = plane.as_chunks_mut::<64>();
    for block in blocks {
        let v = load(block);
        let lower = _mm512_permutex2var_epi8(a, v, b);
        let upper = _mm512_permutex2var_epi8(c, v, d);
        let v = _mm512_mask_blend_epi8(_mm512_movepi8_mask(v), lower, upper);
        // SAFETY: a block is the 64 bytes that are written.
        unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), v) };
    }
    portable::map(rest, table);
}

#[inline]
#[target_feature(enable = "avx512bw")]
fn load(block: &[u8; 64]) -> __m512i {
    // SAFETY: a block is the 64 bytes that are read.
    unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
}
