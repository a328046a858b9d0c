//! Bilinear and bicubic with AVX2: the channels of a pixel are the lanes.

use std::arch::x86_64::*;

use super::super::coordinates::{Axes, Place, Places};
use super::super::padded::{Padded, Pixel};
use super::estimates::{BLOCK, settle, weights, window};
use super::filter::Smooth;

/// What [`taps`] adds: 2^52, whose lowest bit is 1.
const BASE: f64 = (1u64 << 52) as f64;

/// As [`super::interpolate`].
#[target_feature(enable = "avx2,fma")]
pub fn interpolate(
    filter: Smooth,
    axes: Axes,
    source: Padded<'_>,
    places: &Places,
    line: &mut [Pixel],
) {
    match (filter, axes) {
        (Smooth::Bilinear, Axes::X) => bilinear_x(source, places, line),
        (Smooth::Bilinear, Axes::Y) => bilinear_y(source, places, line),
        (Smooth::Bilinear, Axes::Both) => bilinear_both(source, places, line),
        (Smooth::Bicubic, Axes::X) => bicubic_x(source, places, line),
        (Smooth::Bicubic, Axes::Y) => bicubic_y(source, places, line),
        (Smooth::Bicubic, Axes::Both) => bicubic_both(source, places, line),
    }
}

#[target_feature(enable = "avx2")]
fn bilinear_both(source: Padded<'_>, places: &Places, line: &mut [Pixel]) {
    for (pixel, (at, dx, dy)) in line.iter_mut().zip(places.iter()) {
        let dx = _mm256_set1_pd(dx);
        let [a, b] = taps(source, at);
        let above = linear(a, b, dx);
        let [a, b] = taps(source, at + source.stride);
        let below = linear(a, b, dx);
        let dy = _mm256_set1_pd(dy);
        *pixel = bytes(add_product(above, _mm256_sub_pd(below, above), dy));
    }
}

#[target_feature(enable = "avx2")]
fn bilinear_x(source: Padded<'_>, places: &Places, line: &mut [Pixel]) {
    for (pixel, (at, dx, _)) in line.iter_mut().zip(places.iter()) {
        let [a, b] = taps(source, at);
        *pixel = bytes(linear(a, b, _mm256_set1_pd(dx)));
    }
}

#[target_feature(enable = "avx2")]
fn bilinear_y(source: Padded<'_>, places: &Places, line: &mut [Pixel]) {
    for (pixel, (at, _, dy)) in line.iter_mut().zip(places.iter()) {
        let [a, _] = taps(source, at);
        let [b, _] = taps(source, at + source.stride);
        *pixel = bytes(linear(a, b, _mm256_set1_pd(dy)));
    }
}

#[target_feature(enable = "avx2,fma")]
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
#[target_feature(enable = "avx2,fma")]
fn estimate(source: Padded<'_>, (at, dx, dy): Place) -> __m128 {
    let weights = weights(dx, dy);
    let rows = window(source, at);
    let [mut left, mut right] = [_mm256_setzero_ps(); 2];
    for (i, row) in rows.into_iter().enumerate() {
        let weight = _mm256_permutevar8x32_ps(weights, _mm256_set1_epi32(4 + i as i32));
        let floats = |v| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v));
        left = _mm256_fmadd_ps(floats(row), weight, left);
        right = _mm256_fmadd_ps(floats(_mm_srli_si128::<8>(row)), weight, right);
    }
    let pair = |a, b| _mm256_permutevar8x32_ps(weights, _mm256_set_epi32(b, b, b, b, a, a, a, a));
    let sum = _mm256_fmadd_ps(left, pair(0, 1), _mm256_mul_ps(right, pair(2, 3)));
    _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum))
}

/// Pillow's `BICUBIC` in both directions, with its roundings.
#[inline]
#[target_feature(enable = "avx2")]
pub fn bicubic(source: Padded<'_>, (at, dx, dy): Place) -> Pixel {
    let [p1, p2, p3, p4] = rows(source, at);
    let d = _mm256_set1_pd(dx);
    let upper = |p| _mm256_cvtepi16_epi32(_mm256_castsi256_si128(p));
    let lower = |p| _mm256_cvtepi16_epi32(_mm256_extracti128_si256::<1>(p));
    let [a1, a2, a3, a4] = [upper(p1), upper(p2), upper(p3), upper(p4)];
    let [b1, b2, b3, b4] = [lower(p1), lower(p2), lower(p3), lower(p4)];
    let v1 = polynomial([low(a1), low(a2), low(a3), low(a4)], d);
    let v2 = polynomial([high(a1), high(a2), high(a3), high(a4)], d);
    let v3 = polynomial([low(b1), low(b2), low(b3), low(b4)], d);
    let v4 = polynomial([high(b1), high(b2), high(b3), high(b4)], d);
    down([v1, v2, v3, v4], dy)
}

/// The coefficients `v2`, `p2`, `p3` and `p4` along the four rows around the place `at`, the rows
/// side by side.
#[inline]
#[target_feature(enable = "avx2")]
fn rows(source: Padded<'_>, at: usize) -> [__m256i; 4] {
    let [r0, r1, r2, r3] = window(source, at);
    // Four rows of pixels become four columns.
    let (a, b) = (_mm_unpacklo_epi32(r0, r1), _mm_unpackhi_epi32(r0, r1));
    let (c, d) = (_mm_unpacklo_epi32(r2, r3), _mm_unpackhi_epi32(r2, r3));
    let v1 = _mm256_cvtepu8_epi16(_mm_unpacklo_epi64(a, c));
    let v2 = _mm256_cvtepu8_epi16(_mm_unpackhi_epi64(a, c));
    let v3 = _mm256_cvtepu8_epi16(_mm_unpacklo_epi64(b, d));
    let v4 = _mm256_cvtepu8_epi16(_mm_unpackhi_epi64(b, d));
    let (left, right) = (_mm256_sub_epi16(v1, v2), _mm256_sub_epi16(v4, v3));
    let p3 = _mm256_sub_epi16(_mm256_add_epi16(left, left), right);
    [v2, _mm256_sub_epi16(v3, v1), p3, _mm256_sub_epi16(right, left)]
}

/// Pillow's `BICUBIC` along the column, of the results of four rows. They are not integers, so
/// every operation is in Pillow's order.
#[inline]
#[target_feature(enable = "avx2")]
fn down([v1, v2, v3, v4]: [__m256d; 4], d: f64) -> Pixel {
    let left = _mm256_sub_pd(v1, v2);
    let p2 = _mm256_sub_pd(v3, v1);
    let p3 = _mm256_sub_pd(_mm256_add_pd(_mm256_add_pd(left, left), v3), v4);
    let p4 = _mm256_add_pd(_mm256_sub_pd(_mm256_sub_pd(v2, v1), v3), v4);
    bytes(polynomial([v2, p2, p3, p4], _mm256_set1_pd(d)))
}

#[target_feature(enable = "avx2")]
fn bicubic_x(source: Padded<'_>, places: &Places, line: &mut [Pixel]) {
    for (pixel, (at, dx, _)) in line.iter_mut().zip(places.iter()) {
        let taps = four(source, at - 1);
        let [v2, v3] = [_mm_srli_si128::<4>(taps), _mm_srli_si128::<8>(taps)];
        *pixel = cubic([taps, v2, v3, _mm_srli_si128::<12>(taps)], dx);
    }
}

#[target_feature(enable = "avx2")]
fn bicubic_y(source: Padded<'_>, places: &Places, line: &mut [Pixel]) {
    for (pixel, (at, _, dy)) in line.iter_mut().zip(places.iter()) {
        let [v1, v2] = [one(source, at - source.stride), one(source, at)];
        let [v3, v4] = [one(source, at + source.stride), one(source, at + 2 * source.stride)];
        *pixel = cubic([v1, v2, v3, v4], dy);
    }
}

/// The pixel at `at`, in the lowest lane.
#[inline]
#[target_feature(enable = "avx2")]
fn one(source: Padded<'_>, at: usize) -> __m128i {
    _mm_cvtsi32_si128(i32::from_le_bytes(source.pixels[at]))
}

/// The pixels at `at` and after it, with [`BASE`] added to each channel.
///
/// Conversions of integers to floats take shuffles, of which a machine may start one per cycle.
/// Here one shuffle puts each channel into the lowest byte of a float, and the bits of `BASE` make
/// the sum of it.
#[inline]
#[target_feature(enable = "avx2")]
fn taps(source: Padded<'_>, at: usize) -> [__m256d; 2] {
    let pixels: &[Pixel; 2] =
        source.pixels[at..].first_chunk().expect("the padding holds every tap");
    // SAFETY: two pixels are the eight bytes that are read.
    let pixels = _mm256_broadcastq_epi64(unsafe { _mm_loadl_epi64(pixels.as_ptr().cast()) });
    let channels = |first: i64| {
        // An index of 0x80 gives a byte of 0.
        let order = |i: i64| 0x8080_8080_8080_8000_u64 as i64 + first + i;
        let order = _mm256_setr_epi64x(order(0), order(1), order(2), order(3));
        let bytes = _mm256_castsi256_pd(_mm256_shuffle_epi8(pixels, order));
        _mm256_or_pd(bytes, _mm256_set1_pd(BASE))
    };
    [channels(0), channels(4)]
}

/// Four adjacent pixels from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
fn four(source: Padded<'_>, at: usize) -> __m128i {
    let pixels: &[Pixel; 4] =
        source.pixels[at..].first_chunk().expect("the padding holds every tap");
    // SAFETY: four pixels are the sixteen bytes that are read.
    unsafe { _mm_loadu_si128(pixels.as_ptr().cast()) }
}

/// The lower four of eight integers.
#[inline]
#[target_feature(enable = "avx2")]
fn low(v: __m256i) -> __m256d {
    _mm256_cvtepi32_pd(_mm256_castsi256_si128(v))
}

/// The upper four.
#[inline]
#[target_feature(enable = "avx2")]
fn high(v: __m256i) -> __m256d {
    _mm256_cvtepi32_pd(_mm256_extracti128_si256::<1>(v))
}

/// `a + b * c`, rounded twice.
#[inline]
#[target_feature(enable = "avx2")]
fn add_product(a: __m256d, b: __m256d, c: __m256d) -> __m256d {
    _mm256_add_pd(a, _mm256_mul_pd(b, c))
}

/// `p1 + d * (p2 + d * (p3 + d * p4))`.
#[inline]
#[target_feature(enable = "avx2")]
fn polynomial([p1, p2, p3, p4]: [__m256d; 4], d: __m256d) -> __m256d {
    add_product(p1, d, add_product(p2, d, add_product(p3, d, p4)))
}

/// Pillow's `BILINEAR` between [`taps`]. Differences of integers are exact.
#[inline]
#[target_feature(enable = "avx2")]
fn linear(a: __m256d, b: __m256d, d: __m256d) -> __m256d {
    add_product(_mm256_sub_pd(a, _mm256_set1_pd(BASE)), _mm256_sub_pd(b, a), d)
}

/// Pillow's `BICUBIC` among the lowest pixels of four vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn cubic(taps: [__m128i; 4], d: f64) -> Pixel {
    let [v1, v2, v3, v4] = [
        _mm_cvtepu8_epi32(taps[0]),
        _mm_cvtepu8_epi32(taps[1]),
        _mm_cvtepu8_epi32(taps[2]),
        _mm_cvtepu8_epi32(taps[3]),
    ];
    let (left, right) = (_mm_sub_epi32(v1, v2), _mm_sub_epi32(v4, v3));
    let p2 = _mm256_cvtepi32_pd(_mm_sub_epi32(v3, v1));
    let p3 = _mm256_cvtepi32_pd(_mm_sub_epi32(_mm_add_epi32(left, left), right));
    let p4 = _mm256_cvtepi32_pd(_mm_sub_epi32(right, left));
    bytes(polynomial([_mm256_cvtepi32_pd(v2), p2, p3, p4], _mm256_set1_pd(d)))
}

/// Four floats truncated and clamped to bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn bytes(v: __m256d) -> Pixel {
    let v = _mm256_cvttpd_epi32(v);
    let v = _mm_packus_epi32(v, v);
    _mm_cvtsi128_si32(_mm_packus_epi16(v, v)).to_le_bytes()
}
