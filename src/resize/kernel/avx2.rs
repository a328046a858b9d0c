//! Both passes with AVX2: two products per 16-bit multiplication.
//!
//! [`super`] explains the halves of the weights. Each sum is kept as two, one per half, and they are
//! put together at the end.

use std::arch::x86_64::*;
use std::array::from_fn;
use std::mem::transmute;

use super::super::coefficients::{Coefficients, GROUP, Halves, PRECISION_BITS};
use super::buffers::{ByteRows, HALF, Quad, Rows8};
use crate::image::ImageRef;

/// The bytes in a vector.
const VECTOR: usize = 32;

/// Rows that the horizontal pass works on at once.
const ROWS: usize = 8;

/// Columns that the horizontal pass writes at once.
const STRIP: usize = 16;

/// The bytes of four pixels.
const PIXELS: usize = 3 * GROUP;

/// Sixteen bytes of a row.
type Lane = [u8; STRIP];

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

/// As [`super::horizontal`], for aligned groups in the order of `QUAD_ORDER`.
#[target_feature(enable = "avx2")]
pub fn horizontal(
    source: ImageRef<'_>,
    coefficients: &Coefficients,
    quads: &mut Vec<Quad<Rows8>>,
    out: &mut [u8],
) {
    let windows = coefficients.windows();
    let (rows, width) = (source.height as usize, windows.len());
    quads.resize((source.width as usize).div_ceil(GROUP), Quad([Rows8([0; VECTOR]); 3]));
    for top in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - top);
        to_quads(source, top, count, quads);
        for x in (0..width).step_by(STRIP) {
            // Sixteen columns of each channel: four in each vector, as `pack` orders them.
            let mut columns = [[_mm256_setzero_si256(); 4]; 3];
            for four in 0..4 {
                let column = |i: usize| {
                    // After the last column any column will do, since it is not stored.
                    let window = windows[(x + 4 * four + i).min(width - 1)];
                    let (start, weights) = coefficients.halves(window);
                    weigh_quads(&quads[start / GROUP..], weights)
                };
                let [a, b, c, d] = [column(0), column(1), column(2), column(3)];
                for (channel, columns) in columns.iter_mut().enumerate() {
                    columns[four] = pack([a[channel], b[channel], c[channel], d[channel]]);
                }
            }
            for (channel, &columns) in columns.iter().enumerate() {
                let out = &mut out[(channel * rows + top) * width..][..count * width];
                store(columns, x, width, out);
            }
        }
    }
}

/// Writes sixteen columns, from `x` on, to rows of `width` bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn store(columns: [__m256i; 4], x: usize, width: usize, out: &mut [u8]) {
    let lanes = to_rows(columns);
    for (y, row) in out.chunks_exact_mut(width).enumerate() {
        let lane = &lanes[y % 4][y / 4];
        if let Some(whole) = row[x..].first_chunk_mut() {
            *whole = *lane;
        } else {
            row[x..].copy_from_slice(&lane[..width - x]);
        }
    }
}

/// One column of the output, by channel.
#[inline]
#[target_feature(enable = "avx2")]
fn weigh_quads(quads: &[Quad<Rows8>], weights: &[Halves]) -> [__m256i; 3] {
    let even_bytes = _mm256_set1_epi16(0xff);
    let mut low = [_mm256_set1_epi32(HALF); 3];
    let mut high = [_mm256_setzero_si256(); 3];
    for (quad, &Halves { low: [a, b, c, d], high: high_weights }) in quads.iter().zip(weights) {
        let (even_weights, odd_weights) = (broadcast([a, b]), broadcast([c, d]));
        let high_weights =
            _mm256_set1_epi32(i32::from_ne_bytes(high_weights.map(|weight| weight as u8)));
        for ((low, high), bytes) in low.iter_mut().zip(&mut high).zip(&quad.0) {
            let bytes = load(&bytes.0);
            *high = _mm256_add_epi16(*high, _mm256_maddubs_epi16(bytes, high_weights));
            let even = _mm256_madd_epi16(_mm256_and_si256(bytes, even_bytes), even_weights);
            let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(bytes), odd_weights);
            *low = _mm256_add_epi32(*low, _mm256_add_epi32(even, odd));
        }
    }
    from_fn(|channel| {
        let high = _mm256_madd_epi16(high[channel], _mm256_set1_epi16(1));
        let sum = _mm256_add_epi32(low[channel], _mm256_slli_epi32::<16>(high));
        _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(sum)
    })
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

/// Rearranges `count` rows of `source`, from `top` on, into `quads`. Missing rows repeat the last
/// one, and missing pixels are black.
#[inline]
#[target_feature(enable = "avx2")]
fn to_quads(source: ImageRef<'_>, top: usize, count: usize, quads: &mut [Quad<Rows8>]) {
    let rows: [&[u8]; ROWS] = from_fn(|y| source.row((top + y.min(count - 1)) as u32));
    // A quad is 12 bytes of a row, but 16 are loaded. The last quads are copied to have those.
    let len = rows[0].len();
    assert!(rows.iter().all(|row| row.len() == len), "rows have the same length");
    let whole = (len.saturating_sub(4) / PIXELS).min(quads.len());
    let (quads, last) = quads.split_at_mut(whole);
    for (number, quad) in quads.iter_mut().enumerate() {
        quad.0 = to_quad(rows.map(|row| {
            // SAFETY: the lane ends at most at `whole * 12 + 4`, and so at most at `len`, the
            // length of each row. Bytes have no alignment, and all values are valid.
            unsafe { &*row.as_ptr().add(number * PIXELS).cast::<Lane>() }
        }));
    }
    for (number, quad) in last.iter_mut().enumerate() {
        let lanes = rows.map(|row| {
            let mut lane: Lane = [0; 16];
            let bytes = row[(whole + number) * PIXELS..].chunks(PIXELS).next().unwrap_or_default();
            lane[..bytes.len()].copy_from_slice(bytes);
            lane
        });
        quad.0 = to_quad(lanes.each_ref());
    }
}
/// Four pixels of eight rows, from the first twelve bytes of each lane.
#[inline]
#[target_feature(enable = "avx2")]
fn to_quad(rows: [&Lane; ROWS]) -> [Rows8; 3] {
    // For each channel, the four pixels in `QUAD_ORDER`. The last four bytes become 0.
    let apart = _mm_setr_epi8(0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11, -1, -1, -1, -1);
    let apart = _mm256_broadcastsi128_si256(apart);
    let lanes = from_fn(|y| {
        let (first, second) = (load_lane(rows[y]), load_lane(rows[y + 4]));
        _mm256_shuffle_epi8(_mm256_set_m128i(second, first), apart)
    });
    let [red, green, blue, _] = transpose_in_lanes(lanes);
    // SAFETY: 32 bytes on both sides, and all values are valid.
    [red, green, blue].map(|rows| Rows8(unsafe { transmute::<__m256i, [u8; VECTOR]>(rows) }))
}

/// Eight rows of sixteen pixels, from four vectors of four columns each. Row `y` is `[y % 4][y /
/// 4]`.
#[inline]
#[target_feature(enable = "avx2")]
fn to_rows(columns: [__m256i; 4]) -> [[Lane; 2]; 4] {
    // From columns of four rows to rows of four columns.
    let order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let order = _mm256_broadcastsi128_si256(order);
    let rows = transpose_in_lanes(columns.map(|four| _mm256_shuffle_epi8(four, order)));
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
