//! What the x86-64 versions of bicubic in both directions share.
//!
//! Pillow computes in f64, and only the integer part of the result remains. Numbers of half the
//! size are computed twice as fast, and give the same integer if the result is not too close to the
//! next one. So a pixel is computed in f32, and once more in f64 if one of its channels is closer
//! to an integer than [`TOLERANCE`]: one pixel in a hundred, if its surroundings are not all alike.
//! If they are, the result is their value.
//!
//! With weights per tap instead of Pillow's polynomial, the sum along the column comes first, over
//! all four columns at once:
//!
//! ```text
//! w1 = -d + 2 d^2 - d^3    w2 = 1 - 2 d^2 + d^3    w3 = d + d^2 - d^3    w4 = -d^2 + d^3
//! ```
//!
//! The error of an f32 result is below 0.001. Weights are wrong by 2^-22 at most, and their
//! magnitudes sum up to 1.5. The four products of a column sum are wrong by 255 * 2^-22 each, and
//! rounding the sum adds 4 * 383 * 2^-24, which makes 0.0004. Along the row that becomes
//! 1.5 * 0.0004, the weights add 4 * 383 * 2^-22, and rounding 4 * 574 * 2^-24.

use std::arch::x86_64::*;

use super::super::coordinates::{Place, Places};
use super::super::padded::{Padded, Pixel};
use super::avx2::bicubic;

/// The number of pixels that are estimated before the first of them is settled.
pub const BLOCK: usize = 32;

/// Twice the error of an estimate.
const TOLERANCE: f32 = 1.0 / 512.0;

/// The weights of the four columns, and those of the four rows.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn weights(dx: f64, dy: f64) -> __m256 {
    let d = _mm256_set_m128(_mm_set1_ps(dy as f32), _mm_set1_ps(dx as f32));
    let both = |a, b, c, d| _mm256_setr_ps(a, b, c, d, a, b, c, d);
    let sum = _mm256_fmadd_ps(d, both(-1.0, 1.0, -1.0, 1.0), both(2.0, -2.0, 1.0, -1.0));
    let sum = _mm256_fmadd_ps(d, sum, both(-1.0, 0.0, 1.0, 0.0));
    _mm256_fmadd_ps(d, sum, both(0.0, 1.0, 0.0, 0.0))
}

/// The four rows of four pixels around a place.
#[inline]
#[target_feature(enable = "avx2")]
pub fn window(source: Padded<'_>, at: usize) -> [__m128i; 4] {
    let stride = source.stride;
    let pixels = &source.pixels[at - stride - 1..][..3 * stride + 4];
    let row = |i: usize| {
        // SAFETY: four pixels, from `i * stride` on, of the 3 * stride + 4.
        unsafe { _mm_loadu_si128(pixels.as_ptr().add(i * stride).cast()) }
    };
    [row(0), row(1), row(2), row(3)]
}

/// Writes the pixels of a block from their estimates, or computes them again.
///
/// `first` is the place of the first. Whole blocks come here, so that the processor need not wait
/// for the estimates of a pixel before it begins with the next.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn settle(
    source: Padded<'_>,
    places: &Places,
    first: usize,
    estimates: &[__m128; BLOCK],
    block: &mut [Pixel],
) {
    let (pairs, last) = block.as_chunks_mut::<2>();
    for (i, (pair, [one, two])) in pairs.iter_mut().zip(estimates.as_chunks().0).enumerate() {
        let at = first + 2 * i;
        // Below 0.5, results are 0 on either side of an integer, and above 255.5 they are 255.
        let v = _mm256_max_ps(_mm256_set_m128(*two, *one), _mm256_set1_ps(0.5));
        let v = _mm256_min_ps(v, _mm256_set1_ps(255.5));
        let nearest = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v);
        let apart = _mm256_andnot_ps(_mm256_set1_ps(-0.0), _mm256_sub_ps(v, nearest));
        let close = _mm256_cmp_ps::<_CMP_LT_OQ>(apart, _mm256_set1_ps(TOLERANCE));
        let v = _mm256_cvttps_epi32(_mm256_blendv_ps(v, nearest, close));
        let v = _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
        let v = _mm_cvtsi128_si64(_mm_packus_epi16(v, v)).to_le_bytes();
        *pair = [[v[0], v[1], v[2], v[3]], [v[4], v[5], v[6], v[7]]];
        let channels = _mm256_movemask_ps(close);
        if channels != 0 {
            compute_again(source, [places.get(at), places.get(at + 1)], channels, pair);
        }
    }
    if let [pixel] = last {
        *pixel = bicubic(source, places.get(first + 2 * pairs.len()));
    }
}

/// Computes two pixels in f64, if one of `channels`, four bits for each, differs among the taps.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2")]
fn compute_again(source: Padded<'_>, [one, two]: [Place; 2], channels: i32, pair: &mut [Pixel; 2]) {
    if !(is_flat(source, one, channels & 15) && is_flat(source, two, channels >> 4)) {
        *pair = [bicubic(source, one), bicubic(source, two)];
    }
}

/// Whether, in each of `channels`, all taps of the place have one value.
#[inline]
#[target_feature(enable = "avx2")]
fn is_flat(source: Padded<'_>, (at, ..): Place, channels: i32) -> bool {
    let [a, b, c, d] = window(source, at);
    let first = _mm_shuffle_epi32::<0>(a);
    let equal = |row| _mm_cmpeq_epi8(row, first);
    let rows = _mm_and_si128(_mm_and_si128(equal(a), equal(b)), _mm_and_si128(equal(c), equal(d)));
    let pairs = _mm_and_si128(rows, _mm_srli_si128::<8>(rows));
    let all = _mm_movemask_epi8(_mm_and_si128(pairs, _mm_srli_si128::<4>(pairs)));
    all & channels == channels
}
