//! Both passes with AVX-512's dot products of bytes (VNNI): four samples per multiplication.
//!
//! [`super`] explains the digits of the weights. Each sum is kept as three, one per digit, and they
//! are put together at the end ([`shifted`]).

use std::arch::x86_64::*;
use std::array::from_fn;
use std::hint::black_box;
use std::mem::transmute;

use super::super::coefficients::{Coefficients, Digits, GROUP, PRECISION_BITS};
use super::buffers::{BLOCK, ByteRows, HALF, Quad, Rows16};
use crate::image::ImageRef;

/// Rows or columns that the horizontal pass works on at once.
const STRIP: usize = 16;

type Strip = [u8; STRIP];

/// As [`super::vertical()`], for rows of at least a block and groups that are not aligned.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub fn vertical(input: ByteRows<'_>, coefficients: &Coefficients, out: &mut [u8]) {
    let ByteRows { data, stride, width } = input;
    for (&window, out) in coefficients.windows().iter().zip(out.chunks_exact_mut(width)) {
        let rows = &data[window.start * stride..];
        let (_, weights) = coefficients.groups(window);
        for start in (0..width).step_by(BLOCK) {
            // The last block overlaps the one before it rather than being short.
            let start = start.min(width - BLOCK);
            let block = out[start..].first_chunk_mut().expect("a row has at least a block");
            *block = weigh_rows(&rows[start..], stride, window.len - 1, weights);
        }
    }
}

/// The weighted sum of a block of each of the rows `0..=last`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn weigh_rows(rows: &[u8], stride: usize, last: usize, weights: &[Digits]) -> [u8; BLOCK] {
    let mut sums = [start(); 4];
    for (group, digits) in weights.iter().enumerate() {
        // After the last row any row will do, since its weight is 0.
        let row = |i: usize| load(&rows[(group * GROUP + i).min(last) * stride..]);
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        let (low, high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
        let (low2, high2) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
        // Four bytes of each column. Packing the sums undoes the order of the columns.
        let columns = [
            _mm512_unpacklo_epi16(low, low2),
            _mm512_unpackhi_epi16(low, low2),
            _mm512_unpacklo_epi16(high, high2),
            _mm512_unpackhi_epi16(high, high2),
        ];
        for (sums, column) in sums.iter_mut().zip(columns) {
            add_products(sums, column, digits);
        }
    }
    // SAFETY: 64 bytes on both sides, and all values are valid.
    unsafe { transmute(pack(sums.map(|sums| shifted(sums)))) }
}

/// As [`super::horizontal`], for aligned groups.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub fn horizontal(
    source: ImageRef<'_>,
    coefficients: &Coefficients,
    quads: &mut Vec<Quad<Rows16>>,
    out: &mut [u8],
) {
    let windows = coefficients.windows();
    let (rows, width) = (source.height as usize, windows.len());
    let chunks = (source.width as usize).div_ceil(STRIP);
    quads.resize(chunks * STRIP / GROUP, Quad([Rows16([0; BLOCK]); 3]));
    for top in (0..rows).step_by(STRIP) {
        let count = STRIP.min(rows - top);
        to_quads(source, top, count, quads);
        for x in (0..width).step_by(STRIP) {
            // Sixteen columns of each channel: four in each vector, as `pack` orders them.
            let mut columns = [[_mm512_setzero_si512(); 4]; 3];
            for four in 0..4 {
                let mut sums = [[_mm512_setzero_si512(); 4]; 3];
                for i in 0..4 {
                    // After the last column any column will do, since it is not stored.
                    let window = windows[(x + 4 * four + i).min(width - 1)];
                    let (start, weights) = coefficients.groups(window);
                    let column = weigh_quads(&quads[start / GROUP..], weights);
                    for (sums, column) in sums.iter_mut().zip(column) {
                        sums[i] = column;
                    }
                }
                for (columns, sums) in columns.iter_mut().zip(sums) {
                    columns[four] = pack(sums);
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
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn store(columns: [__m512i; 4], x: usize, width: usize, out: &mut [u8]) {
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
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn weigh_quads(quads: &[Quad<Rows16>], weights: &[Digits]) -> [__m512i; 3] {
    let mut sums = [start(); 3];
    for (quad, digits) in quads.iter().zip(weights) {
        for (sums, bytes) in sums.iter_mut().zip(&quad.0) {
            add_products(sums, load(&bytes.0), digits);
        }
    }
    sums.map(|sums| shifted(sums))
}

/// Adds four products, for each digit, to each of sixteen sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_products(sums: &mut [__m512i; 3], bytes: __m512i, digits: &Digits) {
    for (sum, digit) in sums.iter_mut().zip(digits) {
        let digit = i32::from_ne_bytes(digit.map(|digit| digit as u8));
        *sum = _mm512_dpbusd_epi32(*sum, bytes, _mm512_set1_epi32(digit));
    }
}

/// The sums for the low, the middle and the high digits, before the first product.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn start() -> [__m512i; 3] {
    [_mm512_set1_epi32(HALF), _mm512_setzero_si512(), _mm512_setzero_si512()]
}

/// `(low + (middle << 8) + (high << 16)) >> 22`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn shifted([low, middle, high]: [__m512i; 3]) -> __m512i {
    let upper = _mm512_add_epi32(middle, _mm512_slli_epi32::<8>(high));
    _mm512_srai_epi32::<PRECISION_BITS>(_mm512_add_epi32(low, _mm512_slli_epi32::<8>(upper)))
}

/// Clamps sixteen sums of each of four vectors to bytes. Each 128-bit lane gets four of the first
/// vector, then four of the second, and so on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn pack([a, b, c, d]: [__m512i; 4]) -> __m512i {
    _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d))
}

/// The first 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load(bytes: &[u8]) -> __m512i {
    let block: &[u8; BLOCK] = bytes.first_chunk().expect("a row has at least a block");
    // SAFETY: 64 bytes on both sides, and all values are valid.
    unsafe { transmute(*block) }
}

/// Rearranges `count` rows of `source`, from `top` on, into `quads`. Missing rows repeat the last
/// one, and missing pixels are black.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn to_quads(source: ImageRef<'_>, top: usize, count: usize, quads: &mut [Quad<Rows16>]) {
    // Four pixels (twelve bytes) to a lane, and there the channels apart. `black_box`, because LLVM
    // makes several instructions of a permutation that it knows.
    let spread = black_box(_mm512_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0));
    let apart = _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1);
    let apart = _mm512_broadcast_i32x4(apart);
    let rows: [&[u8]; STRIP] = from_fn(|y| source.row((top + y.min(count - 1)) as u32));
    for (chunk, quads) in quads.as_chunks_mut::<{ STRIP / GROUP }>().0.iter_mut().enumerate() {
        let start = 3 * STRIP * chunk;
        let mask = !0u64 >> (BLOCK - (3 * STRIP).min(rows[0].len() - start));
        let mut channels = [[_mm512_setzero_si512(); 4]; 3];
        for (part, rows) in rows.as_chunks::<4>().0.iter().enumerate() {
            let mut lanes = [_mm512_setzero_si512(); 4];
            for (lanes, row) in lanes.iter_mut().zip(rows) {
                let row = &row[start..];
                // SAFETY: the mask has as many ones as bytes of the row are left, 48 at most, and
                // no others are read.
                let pixels = unsafe { _mm512_maskz_loadu_epi8(mask, row.as_ptr().cast()) };
                *lanes = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(spread, pixels), apart);
            }
            let [red, green, blue, _] = transpose_in_lanes(lanes);
            for (channel, lanes) in channels.iter_mut().zip([red, green, blue]) {
                channel[part] = lanes;
            }
        }
        for (channel, &lanes) in channels.iter().enumerate() {
            for (quad, rows) in quads.iter_mut().zip(transpose_lanes(lanes)) {
                // SAFETY: 64 bytes on both sides, and all values are valid.
                quad.0[channel].0 = unsafe { transmute::<__m512i, [u8; BLOCK]>(rows) };
            }
        }
    }
}

/// Sixteen rows of sixteen pixels, from four vectors of four columns each. Row `y` is `[y % 4][y /
/// 4]`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn to_rows(columns: [__m512i; 4]) -> [[Strip; 4]; 4] {
    // From columns of four rows to rows of four columns.
    let order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let order = _mm512_broadcast_i32x4(order);
    let rows = transpose_in_lanes(columns.map(|four| _mm512_shuffle_epi8(four, order)));
    // SAFETY: 256 bytes on both sides, and all values are valid.
    unsafe { transmute(rows) }
}

/// In each 128-bit lane, element `j` of vector `i` becomes element `i` of vector `j`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn transpose_in_lanes([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab, ab2) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (cd, cd2) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(ab, cd),
        _mm512_unpackhi_epi64(ab, cd),
        _mm512_unpacklo_epi64(ab2, cd2),
        _mm512_unpackhi_epi64(ab2, cd2),
    ]
}

/// The 128-bit lane `j` of vector `i` becomes lane `i` of vector `j`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn transpose_lanes([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let (ab, ab2) = (_mm512_shuffle_i32x4::<EVEN>(a, b), _mm512_shuffle_i32x4::<ODD>(a, b));
    let (cd, cd2) = (_mm512_shuffle_i32x4::<EVEN>(c, d), _mm512_shuffle_i32x4::<ODD>(c, d));
    [
        _mm512_shuffle_i32x4::<EVEN>(ab, cd),
        _mm512_shuffle_i32x4::<EVEN>(ab2, cd2),
        _mm512_shuffle_i32x4::<ODD>(ab, cd),
        _mm512_shuffle_i32x4::<ODD>(ab2, cd2),
    ]
}
