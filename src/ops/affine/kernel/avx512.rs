//! Bicubic with AVX-512: sixteen f32 are the channels of four pixels of a row.
//!
//! Only the filter with the most arithmetic gains by it. All others are those of AVX2.

use std::arch::x86_64::*;

use super::super::coordinates::{Axes, Place, Places};
use super::super::padded::{Padded, Pixel};
use super::avx2;
use super::estimates::{BLOCK, settle, weights, window};
use super::filter::Smooth;

/// As [`super::interpolate`].
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl")]
pub fn interpolate(
    filter: Smooth,
    axes: Axes,
    source: Padded<'_>,
    places: &Places,
    line: &mut [Pixel],
) {
    match (filter, axes) {
        (Smooth::Bicubic, Axes::Both) => bicubic_both(source, places, line),
        _ => avx2::interpolate(filter, axes, source, places, line),
    }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl")]
fn bicubic_both(source: Padded<'_>, places: &Places, line: &mut [Pixel]) {
    let mut estimates = [_mm_setzero_ps(); BLOCK];
    for (i, line) in line.chunks_mut(BLOCK).enumerate() {
        let first = i * BLOCK;
        for (v, place) in estimates.iter_mut().zip(places.iter().skip(first).take(line.len())) {
            *v = estimate(source, place);
        }
        settle(source, places, first, &estimates, line);
    }
}

/// Pillow's `BICUBIC` in both directions, in f32.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl")]
fn estimate(source: Padded<'_>, (at, dx, dy): Place) -> __m128 {
    let weights = _mm512_castps256_ps512(weights(dx, dy));
    let mut sum = _mm512_setzero_ps();
    for (i, row) in window(source, at).into_iter().enumerate() {
        let weight = _mm512_permutexvar_ps(_mm512_set1_epi32(4 + i as i32), weights);
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(row)), weight, sum);
    }
    let columns = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    let sum = _mm512_mul_ps(sum, _mm512_permutexvar_ps(columns, weights));
    let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(sum)));
    let sum = _mm256_add_ps(_mm512_castps512_ps256(sum), upper);
    _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum))
}
