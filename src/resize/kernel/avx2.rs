//! The vertical pass with AVX2: 32-bit products, eight at a time.
//!
//! Compilers don't find this form. They vectorise along the taps, which is seven times slower.

use std::arch::x86_64::*;
use std::mem::transmute;

use super::super::coefficients::{Coefficients, PRECISION_BITS};
use super::buffers::{BLOCK, ByteRows, HALF};

/// As [`super::vertical()`], for rows of at least a block.
#[target_feature(enable = "avx2")]
pub fn vertical(input: ByteRows<'_>, coefficients: &Coefficients, out: &mut [u8]) {
    let ByteRows { data, stride, width } = input;
    for (&window, out) in coefficients.windows().iter().zip(out.chunks_exact_mut(width)) {
        let rows = &data[window.start * stride..];
        for start in (0..width).step_by(BLOCK) {
            // The last block overlaps the one before it rather than being short.
            let start = start.min(width - BLOCK);
            let block = out[start..].first_chunk_mut().expect("a row has at least a block");
            *block = weigh(&rows[start..], stride, coefficients.weights(window));
        }
    }
}

/// The weighted sum of a block of each row, its sums in registers.
#[inline]
#[target_feature(enable = "avx2")]
fn weigh(rows: &[u8], stride: usize, weights: &[i32]) -> [u8; BLOCK] {
    let mut sums = [_mm256_set1_epi32(HALF); BLOCK / 8];
    for (row, &weight) in rows.chunks(stride).zip(weights) {
        let row: &[u8; BLOCK] = row.first_chunk().expect("a row has at least a block");
        let weight = _mm256_set1_epi32(weight);
        for (sum, bytes) in sums.iter_mut().zip(row.as_chunks::<8>().0) {
            let bytes = _mm_cvtsi64_si128(i64::from_ne_bytes(*bytes));
            let product = _mm256_mullo_epi32(_mm256_cvtepu8_epi32(bytes), weight);
            *sum = _mm256_add_epi32(*sum, product);
        }
    }
    let [a, b, c, d, e, f, g, h] =
        sums.map(|sum| _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(sum));
    // SAFETY: 64 bytes on both sides, and all values are valid.
    unsafe { transmute([pack([a, b, c, d]), pack([e, f, g, h])]) }
}

/// Clamps the numbers of four vectors to bytes, in their order.
#[inline]
#[target_feature(enable = "avx2")]
fn pack([a, b, c, d]: [__m256i; 4]) -> __m256i {
    let bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    // Packing works on each half of a register, so the eighths are out of order.
    _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}
