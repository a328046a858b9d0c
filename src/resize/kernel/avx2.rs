//! Both passes with AVX2: two products per 16-bit multiplication.
//!
//! [`super`] explains the halves of the weights. Each sum is kept as two, one per half, and they are
//! put together at the end.

use std::arch::x86_64::*;
use std::mem::transmute;

use super::super::coefficients::{Coefficients, GROUP, Halves, PRECISION_BITS};
use super::buffers::{ByteRows, HALF, HorizontalBuffers};
use super::quads::{self, Lane, Rows8, Vectors};
use crate::image::ImageRef;

/// The bytes in a vector.
const VECTOR: usize = 32;

/// As [`super::vertical()`], for rows of at least a vector and groups that are not aligned.
#[target_feature(enable = "avx2")]
pub fn vertical(input: ByteRows<'_>, coefficients: &Coefficients, out: &mut [u8]) {
    let ByteRows { data, stride, width } = input;
    for (&window, out) in coefficients.windows().iter().zip(out.chunks_exact_mut(width)) {
        let rows = &data[window.start * stride..][..(window.len - 1) * stride + width];
        let (_, weights) = coefficients.halves(window);
        for start in (0..width).step_by(VECTOR) {
            // The last block overlaps the one before it rather than being short.
            let start = start.min(width - VECTOR);
            let rows = &rows[start..rows.len() - (width - VECTOR - start)];
            let block = out[start..].first_chunk_mut().expect("a row has at least a vector");
            *block = weigh_rows(rows, stride, weights);
        }
    }
}

/// The weighted sum of a vector of each row. `rows` ends with the vector of the last row.
#[inline]
#[target_feature(enable = "avx2")]
fn weigh_rows(mut rows: &[u8], stride: usize, weights: &[Halves]) -> [u8; VECTOR] {
    let zero = _mm256_setzero_si256();
    let mut low = [[_mm256_set1_epi32(HALF); 2]; 2];
    let mut high = [zero; 2];
    for halves in weights {
        let pairs = halves.low.as_chunks::<2>().0.iter().zip(halves.high.as_chunks::<2>().0);
        for (&low_weights, &high_weights) in pairs {
            let Some(first) = rows.first_chunk() else { break };
            // After the last row any row will do, since its weight is 0.
            let second = rows.get(stride..).and_then(<[u8]>::first_chunk).unwrap_or(first);
            let (first, second) = (load(first), load(second));
            let low_weights = broadcast(low_weights);
            let high_weights = _mm256_set1_epi16(i16::from_ne_bytes(high_weights.map(|w| w as u8)));
            // Two bytes of each column. Packing the sums undoes the order of the columns.
            let columns =
                [_mm256_unpacklo_epi8(first, second), _mm256_unpackhi_epi8(first, second)];
            for ((low, high), columns) in low.iter_mut().zip(&mut high).zip(columns) {
                let products = _mm256_maddubs_epi16(columns, high_weights);
                *high = _mm256_add_epi16(*high, products);
                let wide =
                    [_mm256_unpacklo_epi8(columns, zero), _mm256_unpackhi_epi8(columns, zero)];
                for (low, wide) in low.iter_mut().zip(wide) {
                    *low = _mm256_add_epi32(*low, _mm256_madd_epi16(wide, low_weights));
                }
            }
            rows = rows.get(2 * stride..).unwrap_or_default();
        }
    }
    let sum =
        |low, high| _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(_mm256_add_epi32(low, high));
    let [[a, b], [c, d]] = low;
    let packed = pack([
        sum(a, _mm256_unpacklo_epi16(zero, high[0])),
        sum(b, _mm256_unpackhi_epi16(zero, high[0])),
        sum(c, _mm256_unpacklo_epi16(zero, high[1])),
        sum(d, _mm256_unpackhi_epi16(zero, high[1])),
    ]);
    // SAFETY: 32 bytes on both sides, and all values are valid.
    unsafe { transmute(packed) }
}

/// As [`super::horizontal`], for aligned groups whose high parts have the order of `ORDER`.
#[target_feature(enable = "avx2")]
pub fn horizontal(
    source: ImageRef<'_>,
    coefficients: &Coefficients,
    buffers: &mut HorizontalBuffers,
    out: &mut [u8],
) {
    quads::horizontal(Avx2(()), source, coefficients, &mut buffers.quads8, out);
}

/// The order of the four pixels in a quad: the even bytes have the first two pixels.
pub const ORDER: [usize; GROUP] = [0, 2, 1, 3];

/// Proves that the machine has AVX2, since only [`horizontal`] makes one.
#[derive(Clone, Copy)]
struct Avx2(());

impl Vectors for Avx2 {
    const ROWS: usize = 8;
    type Rows = Rows8;
    type Weights = Halves;
    type Sums = Sums;
    type Column = __m256i;
    type Pair = __m256i;
    type Lanes = [Lane; 8];

    #[inline(always)]
    fn weights(coefficients: &Coefficients) -> &[Halves] {
        coefficients.all_halves()
    }

    #[inline(always)]
    fn quad(self, lanes: &[&Lane; 16]) -> [Rows8; 3] {
        // SAFETY: the machine has AVX2.
        unsafe { quad(lanes, ORDER) }
    }

    #[inline(always)]
    fn start(self, _: i32) -> Sums {
        // SAFETY: as above.
        unsafe { start() }
    }

    #[inline(always)]
    fn add(self, sums: Sums, rows: &Rows8, weights: &Halves) -> Sums {
        // SAFETY: as above.
        unsafe { add(sums, rows, weights) }
    }

    #[inline(always)]
    fn finish(self, sums: Sums) -> __m256i {
        // SAFETY: as above.
        unsafe { finish(sums) }
    }

    #[inline(always)]
    fn pair(self, first: __m256i, second: __m256i) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_packs_epi32(first, second) }
    }

    #[inline(always)]
    fn four(self, first: __m256i, second: __m256i) -> Rows8 {
        // SAFETY: as above.
        unsafe { to_bytes(first, second) }
    }

    #[inline(always)]
    fn to_rows(self, columns: [&Rows8; 4]) -> [Lane; 8] {
        // SAFETY: as above.
        unsafe { to_rows(columns) }
    }
}

/// The sums for the low parts and those for the high parts.
#[derive(Clone, Copy)]
struct Sums {
    low: __m256i,
    high: __m256i,
}

#[inline]
#[target_feature(enable = "avx2")]
fn start() -> Sums {
    Sums { low: _mm256_set1_epi32(HALF), high: _mm256_setzero_si256() }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(Sums { low, high }: Sums, rows: &Rows8, weights: &Halves) -> Sums {
    let Halves { low: [a, b, c, d], high: high_weights } = *weights;
    let high_weights = i32::from_ne_bytes(high_weights.map(|weight| weight as u8));
    let bytes = load(&rows.0);
    let even = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
    let even = _mm256_madd_epi16(even, broadcast([a, b]));
    let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(bytes), broadcast([c, d]));
    let products = _mm256_maddubs_epi16(bytes, _mm256_set1_epi32(high_weights));
    Sums {
        low: _mm256_add_epi32(low, _mm256_add_epi32(even, odd)),
        high: _mm256_add_epi16(high, products),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn finish(Sums { low, high }: Sums) -> __m256i {
    let high = _mm256_madd_epi16(high, _mm256_set1_epi16(1));
    let sum = _mm256_add_epi32(low, _mm256_slli_epi32::<16>(high));
    _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(sum)
}

#[inline]
#[target_feature(enable = "avx2")]
pub fn to_bytes(first: __m256i, second: __m256i) -> Rows8 {
    // SAFETY: 32 bytes on both sides, and all values are valid.
    Rows8(unsafe { transmute::<__m256i, [u8; VECTOR]>(_mm256_packus_epi16(first, second)) })
}

/// Two weights for each pair of numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn broadcast([first, second]: [i16; 2]) -> __m256i {
    _mm256_set1_epi32(i32::from(first as u16) | i32::from(second) << 16)
}

/// Clamps eight sums of each of four vectors to bytes. Each 128-bit lane gets four of the first
/// vector, then four of the second, and so on.
#[inline]
#[target_feature(enable = "avx2")]
fn pack([a, b, c, d]: [__m256i; 4]) -> __m256i {
    _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; VECTOR]) -> __m256i {
    // SAFETY: 32 bytes on both sides, and all values are valid.
    unsafe { transmute(*bytes) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_lane(bytes: &Lane) -> __m128i {
    // SAFETY: 16 bytes on both sides, and all values are valid.
    unsafe { transmute(*bytes) }
}

/// As [`Vectors::quad`]. Each row has its four pixels in `order`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn quad(lanes: &[&Lane; 16], order: [usize; GROUP]) -> [Rows8; 3] {
    // Row `j` of four gets channel `c` at 32-bit element `c + j`. Blending then moves the elements
    // to the vectors of their channels, without a shuffle.
    let row = |j: usize| {
        let mut bytes = [-1i8; 16];
        for channel in 0..3 {
            for (i, &pixel) in order.iter().enumerate() {
                bytes[(channel + j) % 4 * GROUP + i] = (3 * pixel + channel) as i8;
            }
        }
        let (first, second) = (load_lane(lanes[j]), load_lane(lanes[j + 4]));
        let apart = _mm256_broadcastsi128_si256(load_lane(&bytes.map(|byte| byte as u8)));
        _mm256_shuffle_epi8(_mm256_set_m128i(second, first), apart)
    };
    let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
    // The even elements of the first, the odd elements of the second.
    let (ab, cd) = (_mm256_blend_epi32::<0xaa>(a, b), _mm256_blend_epi32::<0xaa>(c, d));
    let (da, bc) = (_mm256_blend_epi32::<0xaa>(d, a), _mm256_blend_epi32::<0xaa>(b, c));
    // Two elements of the first, then two elements of the second.
    let channels = [
        _mm256_blend_epi32::<0xcc>(ab, cd),
        _mm256_blend_epi32::<0xcc>(da, bc),
        _mm256_blend_epi32::<0xcc>(cd, ab),
    ];
    // SAFETY: 32 bytes on both sides, and all values are valid.
    channels.map(|rows| Rows8(unsafe { transmute::<__m256i, [u8; VECTOR]>(rows) }))
}

/// As [`Vectors::to_rows`].
#[inline]
#[target_feature(enable = "avx2")]
pub fn to_rows(columns: [&Rows8; 4]) -> [Lane; 8] {
    // From columns of four rows to rows of four columns.
    let order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let order = _mm256_broadcastsi128_si256(order);
    let [a, b, c, d] = columns.map(|four| _mm256_shuffle_epi8(load(&four.0), order));
    let rows = transpose_in_lanes([a, b, c, d]);
    // SAFETY: 128 bytes on both sides, and all values are valid.
    unsafe { transmute(rows) }
}

/// In each 128-bit lane, element `j` of vector `i` becomes element `i` of vector `j`.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose_in_lanes([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    let (ab, ab2) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (cd, cd2) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab, cd),
        _mm256_unpackhi_epi64(ab, cd),
        _mm256_unpacklo_epi64(ab2, cd2),
        _mm256_unpackhi_epi64(ab2, cd2),
    ]
}
