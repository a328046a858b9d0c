//! Bilinear and bicubic with AVX2: the channels of a pixel are the lanes.
//!
//! What the formulas do to the taps before they multiply by a fraction is done in integers, where it is
//! exact as it is in f64; from there on each operation is Pillow's, in f64 and in its order. Compilers
//! don't find this by themselves: the portable version is five times slower.

use std::arch::x86_64::*;

use super::Pixel;
use super::coordinates::Places;
use super::smooth::{Kernel, Kernels};

/// A kernel that needs AVX2 or AVX-512 as one that has checked for it.
macro_rules! kernel {
    ($name:ident) => {{
        let kernel: Kernel = |source, stride, places, line| {
            // SAFETY: `bilinear` and `bicubic` choose this only on a machine that can run it.
            unsafe { $name(source, stride, places, line) }
        };
        kernel
    }};
}

/// The bilinear kernels, if the machine has AVX2.
pub fn bilinear() -> Option<Kernels> {
    is_x86_feature_detected!("avx2").then(|| Kernels {
        both: kernel!(bilinear_both),
        along_x: kernel!(bilinear_x),
        along_y: kernel!(bilinear_y),
    })
}

/// The bicubic kernels, if the machine has AVX2.
pub fn bicubic() -> Option<Kernels> {
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl");
    is_x86_feature_detected!("avx2").then(|| Kernels {
        both: if avx512 { kernel!(bicubic_both_512) } else { kernel!(bicubic_both) },
        along_x: kernel!(bicubic_x),
        along_y: kernel!(bicubic_y),
    })
}

#[target_feature(enable = "avx2")]
fn bilinear_both(source: &[Pixel], stride: usize, places: &Places, line: &mut [Pixel]) {
    for (pixel, (at, dx, dy)) in line.iter_mut().zip(each(places)) {
        let rows = _mm_unpacklo_epi32(two(source, at), two(source, at + stride));
        // First taps of both rows, then second taps.
        let taps = _mm256_cvtepu8_epi16(rows);
        let (a, b) = (_mm256_castsi256_si128(taps), _mm256_extracti128_si256::<1>(taps));
        let (a, difference) =
            (_mm256_cvtepi16_epi32(a), _mm256_cvtepi16_epi32(_mm_sub_epi16(b, a)));
        let dx = _mm256_set1_pd(dx);
        let above = add_product(low(a), low(difference), dx);
        let below = add_product(high(a), high(difference), dx);
        let dy = _mm256_set1_pd(dy);
        *pixel = bytes(add_product(above, _mm256_sub_pd(below, above), dy));
    }
}

#[target_feature(enable = "avx2")]
fn bilinear_x(source: &[Pixel], _stride: usize, places: &Places, line: &mut [Pixel]) {
    for (pixel, (at, dx, _)) in line.iter_mut().zip(each(places)) {
        let taps = two(source, at);
        *pixel = linear(taps, _mm_srli_si128::<4>(taps), dx);
    }
}

#[target_feature(enable = "avx2")]
fn bilinear_y(source: &[Pixel], stride: usize, places: &Places, line: &mut [Pixel]) {
    for (pixel, (at, _, dy)) in line.iter_mut().zip(each(places)) {
        *pixel = linear(one(source, at), one(source, at + stride), dy);
    }
}

#[target_feature(enable = "avx2")]
fn bicubic_both(source: &[Pixel], stride: usize, places: &Places, line: &mut [Pixel]) {
    for (pixel, (at, dx, dy)) in line.iter_mut().zip(each(places)) {
        let [p1, p2, p3, p4] = rows(source, at - stride - 1, stride);
        let d = _mm256_set1_pd(dx);
        let upper = |p| _mm256_cvtepi16_epi32(_mm256_castsi256_si128(p));
        let lower = |p| _mm256_cvtepi16_epi32(_mm256_extracti128_si256::<1>(p));
        let [a1, a2, a3, a4] = [upper(p1), upper(p2), upper(p3), upper(p4)];
        let [b1, b2, b3, b4] = [lower(p1), lower(p2), lower(p3), lower(p4)];
        let v1 = polynomial([low(a1), low(a2), low(a3), low(a4)], d);
        let v2 = polynomial([high(a1), high(a2), high(a3), high(a4)], d);
        let v3 = polynomial([low(b1), low(b2), low(b3), low(b4)], d);
        let v4 = polynomial([high(b1), high(b2), high(b3), high(b4)], d);
        *pixel = down([v1, v2, v3, v4], dy);
    }
}

/// Two rows in one vector, then two pixels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn bicubic_both_512(source: &[Pixel], stride: usize, places: &Places, line: &mut [Pixel]) {
    let (pairs, last) = line.as_chunks_mut::<2>();
    let mut places_left = each(places);
    let two_places = std::iter::from_fn(|| places_left.next().zip(places_left.next()));
    for (pair, (one, two)) in pairs.iter_mut().zip(two_places) {
        let (a, b) = across_512(source, stride, one.0, one.1);
        let (c, d) = across_512(source, stride, two.0, two.1);
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
    for (pixel, (at, dx, dy)) in last.iter_mut().zip(each(places).skip(2 * pairs.len())) {
        let (a, b) = across_512(source, stride, at, dx);
        let [v1, v3] = [_mm512_castpd512_pd256(a), _mm512_castpd512_pd256(b)];
        let [v2, v4] = [_mm512_extractf64x4_pd::<1>(a), _mm512_extractf64x4_pd::<1>(b)];
        *pixel = down([v1, v2, v3, v4], dy);
    }
}

/// `BICUBIC` along four rows: the first two, and the last two.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn across_512(source: &[Pixel], stride: usize, at: usize, dx: f64) -> (__m512d, __m512d) {
    let [p1, p2, p3, p4] = rows(source, at - stride - 1, stride);
    let d = _mm512_set1_pd(dx);
    let [p1, p2] = [_mm512_cvtepi16_epi32(p1), _mm512_cvtepi16_epi32(p2)];
    let [p3, p4] = [_mm512_cvtepi16_epi32(p3), _mm512_cvtepi16_epi32(p4)];
    let low = |p| _mm512_cvtepi32_pd(_mm512_castsi512_si256(p));
    let high = |p| _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64::<1>(p));
    let next = |p, sum| _mm512_add_pd(p, _mm512_mul_pd(d, sum));
    let first = next(low(p1), next(low(p2), next(low(p3), low(p4))));
    (first, next(high(p1), next(high(p2), next(high(p3), high(p4)))))
}

/// The coefficients of `BICUBIC` along four rows of four pixels from `at` on, one row after another.
#[inline]
#[target_feature(enable = "avx2")]
fn rows(source: &[Pixel], at: usize, stride: usize) -> [__m256i; 4] {
    let (r0, r1) = (four(source, at), four(source, at + stride));
    let (r2, r3) = (four(source, at + 2 * stride), four(source, at + 3 * stride));
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

/// Pillow's `BICUBIC` among four rows' values, no integers any more: in its order of operations.
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
fn bicubic_x(source: &[Pixel], _stride: usize, places: &Places, line: &mut [Pixel]) {
    for (pixel, (at, dx, _)) in line.iter_mut().zip(each(places)) {
        let taps = four(source, at - 1);
        let [v2, v3] = [_mm_srli_si128::<4>(taps), _mm_srli_si128::<8>(taps)];
        *pixel = cubic([taps, v2, v3, _mm_srli_si128::<12>(taps)], dx);
    }
}

#[target_feature(enable = "avx2")]
fn bicubic_y(source: &[Pixel], stride: usize, places: &Places, line: &mut [Pixel]) {
    for (pixel, (at, _, dy)) in line.iter_mut().zip(each(places)) {
        let [v1, v2] = [one(source, at - stride), one(source, at)];
        let [v3, v4] = [one(source, at + stride), one(source, at + 2 * stride)];
        *pixel = cubic([v1, v2, v3, v4], dy);
    }
}

fn each(places: &Places) -> impl Iterator<Item = (usize, f64, f64)> {
    let places = places.at.iter().zip(&places.dx).zip(&places.dy);
    places.map(|((&at, &dx), &dy)| (at as usize, dx, dy))
}

/// The pixel at `at`, in the lowest lane.
#[inline]
#[target_feature(enable = "avx2")]
fn one(source: &[Pixel], at: usize) -> __m128i {
    _mm_cvtsi32_si128(i32::from_le_bytes(source[at]))
}

/// Two neighbours.
#[inline]
#[target_feature(enable = "avx2")]
fn two(source: &[Pixel], at: usize) -> __m128i {
    let pixels: &[Pixel; 2] = source[at..].first_chunk().expect("the padding holds every tap");
    // SAFETY: two pixels are the eight bytes that are read.
    unsafe { _mm_loadl_epi64(pixels.as_ptr().cast()) }
}

/// Four neighbours.
#[inline]
#[target_feature(enable = "avx2")]
fn four(source: &[Pixel], at: usize) -> __m128i {
    let pixels: &[Pixel; 4] = source[at..].first_chunk().expect("the padding holds every tap");
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

/// Pillow's `BILINEAR` between the lowest pixels of two vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn linear(a: __m128i, b: __m128i, d: f64) -> Pixel {
    let (a, b) = (_mm_cvtepu8_epi32(a), _mm_cvtepu8_epi32(b));
    let difference = _mm256_cvtepi32_pd(_mm_sub_epi32(b, a));
    bytes(add_product(_mm256_cvtepi32_pd(a), difference, _mm256_set1_pd(d)))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::coordinates::Places;
    use super::super::portable;
    use super::*;

    const SIDE: usize = 12;

    /// A padded image, and places in it.
    fn inputs() -> impl Strategy<Value = (Vec<Pixel>, Places)> {
        let pixels = prop::collection::vec(any::<[u8; 3]>(), SIDE * SIDE);
        let fraction = || prop_oneof![4 => 0.0..1.0, 1 => Just(0.0)];
        let place = (1..SIDE - 2, 1..SIDE - 2, fraction(), fraction());
        (pixels, prop::collection::vec(place, 0..40)).prop_map(|(pixels, list)| {
            let mut places = Places::default();
            for (x, y, dx, dy) in list {
                places.at.push((y * SIDE + x) as u32);
                places.dx.push(dx);
                places.dy.push(dy);
            }
            (pixels.into_iter().map(|[r, g, b]| [r, g, b, 0]).collect(), places)
        })
    }

    fn run(kernel: Kernel, source: &[Pixel], places: &Places) -> Vec<Pixel> {
        let mut line = vec![[0; 4]; places.at.len()];
        kernel(source, SIDE, places, &mut line);
        line
    }

    proptest! {
        #[test]
        fn every_kernel_is_the_portable_one((source, places) in inputs()) {
            let Some((linear, cubic)) = bilinear().zip(bicubic()) else { return Ok(()) };
            for (ours, oracle) in [
                (linear.both, portable::BILINEAR.both),
                (linear.along_x, portable::BILINEAR.along_x),
                (linear.along_y, portable::BILINEAR.along_y),
                (cubic.both, portable::BICUBIC.both),
                // Also where AVX-512 is preferred.
                (kernel!(bicubic_both), portable::BICUBIC.both),
                (cubic.along_x, portable::BICUBIC.along_x),
                (cubic.along_y, portable::BICUBIC.along_y),
            ] {
                prop_assert_eq!(run(ours, &source, &places), run(oracle, &source, &places));
            }
        }
    }
}
