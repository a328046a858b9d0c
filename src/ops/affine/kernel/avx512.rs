//! Bicubic with AVX-512: eight f64 are the channels of two rows, or of two pixels.
//!
//! Only the filter with the most arithmetic gains by it. All others are those of AVX2.

use std::arch::x86_64::*;

use super::super::coordinates::{Axes, Places};
use super::super::padded::{Padded, Pixel};
use super::avx2::{self, down, rows};
use super::filter::Smooth;

/// As [`super::interpolate`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
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

/// Along the rows, a vector holds two rows of a pixel. Along the column, it holds two pixels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn bicubic_both(source: Padded<'_>, places: &Places, line: &mut [Pixel]) {
    let (pairs, last) = line.as_chunks_mut::<2>();
    let mut places_left = places.iter();
    let two_places = std::iter::from_fn(|| places_left.next().zip(places_left.next()));
    for (pair, (one, two)) in pairs.iter_mut().zip(two_places) {
        let (a, b) = across(source, one.0, one.1);
        let (c, d) = across(source, two.0, two.1);
        // From rows of a pixel to pixels of a row.
        let v1 = _mm512_shuffle_f64x2::<0b01_00_01_00>(a, c);
        let v2 = _mm512_shuffle_f64x2::<0b11_10_11_10>(a, c);
        let v3 = _mm512_shuffle_f64x2::<0b01_00_01_00>(b, d);
        let v4 = _mm512_shuffle_f64x2::<0b11_10_11_10>(b, d);
        let d = _mm512_castpd256_pd512(_mm256_set1_pd(one.2));
        let d = _mm512_insertf64x4::<1>(d, _mm256_set1_pd(two.2));
        let left = _mm512_sub_pd(v1, v2);
        let p2 = _mm512_sub_pd(v3, v1);
        let p3 = _mm512_sub_pd(_mm512_add_pd(_mm512_add_pd(left, left), v3), v4);
        let p4 = _mm512_add_pd(_mm512_sub_pd(_mm512_sub_pd(v2, v1), v3), v4);
        let next = |p, sum| _mm512_add_pd(p, _mm512_mul_pd(d, sum));
        let v = _mm512_cvttpd_epi32(next(v2, next(p2, next(p3, p4))));
        let v = _mm256_max_epi32(v, _mm256_setzero_si256());
        let v = _mm_cvtsi128_si64(_mm256_cvtusepi32_epi8(v)).to_le_bytes();
        *pair = [[v[0], v[1], v[2], v[3]], [v[4], v[5], v[6], v[7]]];
    }
    for (pixel, (at, dx, dy)) in last.iter_mut().zip(places.iter().skip(2 * pairs.len())) {
        let (a, b) = across(source, at, dx);
        let [v1, v3] = [_mm512_castpd512_pd256(a), _mm512_castpd512_pd256(b)];
        let [v2, v4] = [_mm512_extractf64x4_pd::<1>(a), _mm512_extractf64x4_pd::<1>(b)];
        *pixel = down([v1, v2, v3, v4], dy);
    }
}

/// Pillow's `BICUBIC` along four rows: the results of the first two, and of the last two.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn across(source: Padded<'_>, at: usize, dx: f64) -> (__m512d, __m512d) {
    let [p1, p2, p3, p4] = rows(source, at);
    let d = _mm512_set1_pd(dx);
    let [p1, p2] = [_mm512_cvtepi16_epi32(p1), _mm512_cvtepi16_epi32(p2)];
    let [p3, p4] = [_mm512_cvtepi16_epi32(p3), _mm512_cvtepi16_epi32(p4)];
    let low = |p| _mm512_cvtepi32_pd(_mm512_castsi512_si256(p));
    let high = |p| _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64::<1>(p));
    let next = |p, sum| _mm512_add_pd(p, _mm512_mul_pd(d, sum));
    let first = next(low(p1), next(low(p2), next(low(p3), low(p4))));
    (first, next(high(p1), next(high(p2), next(high(p3), high(p4)))))
}
