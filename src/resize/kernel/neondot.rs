//! Both passes with NEON and dot products of bytes: four samples per multiplication.
//!
//! [`super`] explains the digits of the weights. Each sum is kept as three, one per digit, and they
//! are put together at the end ([`upper_sums`]).
//!
//! There are two such instructions ([`Dot`]). The older one takes signed bytes only, so 128 is
//! subtracted from every byte, and what this takes from a sum is in the value that it starts from
//! ([`start`]). The newer one needs neither.

use std::arch::aarch64::*;
use std::array::from_fn;
use std::mem::transmute;

use super::super::coefficients::{Coefficients, Digits, GROUP, Window};
use super::buffers::{ByteRows, Column, HALF, HorizontalBuffers, Quad, Rows8};

use super::neon::{load, to_bytes, upper};
use super::sdot::Dot;
use crate::image::ImageRef;

/// The bytes in a vector.
const VECTOR: usize = 16;

/// Rows that the horizontal pass works on at once.
const ROWS: usize = 8;

/// Columns that the horizontal pass writes at once.
const STRIP: usize = VECTOR;

/// The bytes of four pixels.
const PIXELS: usize = 3 * GROUP;

type Lane = [u8; VECTOR];

/// What a sum of `window` starts from.
#[inline]
fn start<D: Dot>(coefficients: &Coefficients, window: Window) -> i32 {
    if D::BIAS == 0 {
        return HALF;
    }
    HALF + i32::from(D::BIAS) * coefficients.weights(window).iter().sum::<i32>()
}

/// Bytes as the instruction takes them. Exclusive or is subtraction here, since the bias is 128.
#[inline]
#[target_feature(enable = "neon")]
fn biased<D: Dot>(bytes: uint8x16_t) -> uint8x16_t {
    const { assert!(D::BIAS == 0 || D::BIAS == 128) };
    veorq_u8(bytes, vdupq_n_u8(D::BIAS))
}

/// As [`super::vertical()`], for rows of at least a vector and groups that are not aligned.
///
/// # Safety
/// The machine must have the instruction `D`.
#[target_feature(enable = "neon")]
pub unsafe fn vertical<D: Dot>(input: ByteRows<'_>, coefficients: &Coefficients, out: &mut [u8]) {
    let ByteRows { data, stride, width } = input;
    for (&window, out) in coefficients.windows().iter().zip(out.chunks_exact_mut(width)) {
        let rows = &data[window.start * stride..][..(window.len - 1) * stride + width];
        let (_, weights) = coefficients.groups(window);
        let from = start::<D>(coefficients, window);
        for start in (0..width).step_by(VECTOR) {
            // The last vector overlaps the one before it rather than being short.
            let start = start.min(width - VECTOR);
            let rows = &rows[start..rows.len() - (width - VECTOR - start)];
            let out = out[start..].first_chunk_mut().expect("a row has at least a vector");
            // SAFETY: the caller guarantees the instruction. `rows` ends with a vector of the last
            // row of the window.
            *out = unsafe { weigh_rows::<D>(rows, stride, window.len, weights, from) };
        }
    }
}

/// The weighted sum of a vector of each of `count` rows.
///
/// The addresses of the rows are not checked one by one: that takes as many instructions as half
/// the arithmetic, and Neoverse N1 and Cortex-A76 start four in a cycle.
///
/// # Safety
/// The machine must have the instruction `D`, and each row a vector: there must be at least
/// `(count - 1) * stride + VECTOR` bytes.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn weigh_rows<D: Dot>(
    rows: &[u8],
    stride: usize,
    count: usize,
    weights: &[Digits],
    from: i32,
) -> Lane {
    debug_assert!((count - 1) * stride + VECTOR <= rows.len(), "rows of at least a vector");
    // SAFETY: `y` is less than `count` below, and such a row has the 16 bytes that are read.
    let row = |y: usize| biased::<D>(unsafe { vld1q_u8(rows.as_ptr().add(y * stride)) });
    let mut sums = [[vdupq_n_s32(from), vdupq_n_s32(0), vdupq_n_s32(0)]; 4];
    let mut add = |rows: [uint8x16_t; GROUP], digits: &Digits| {
        for (sums, columns) in sums.iter_mut().zip(interleave(rows)) {
            // SAFETY: the caller guarantees the instruction.
            unsafe { add_products::<D>(sums, columns, digits) };
        }
    };
    let (whole, last) = weights.split_at(count / GROUP);
    for (group, digits) in whole.iter().enumerate() {
        add(from_fn(|i| row(GROUP * group + i)), digits);
    }
    for digits in last {
        // After the last row any row will do, since its weight is 0.
        add(from_fn(|i| row((GROUP * whole.len() + i).min(count - 1))), digits);
    }
    let [a, b, c, d] = sums;
    // SAFETY: 16 bytes on both sides, and all values are valid.
    unsafe { transmute(to_bytes(upper_sums(a, b), upper_sums(c, d))) }
}

/// Four bytes of each column.
#[inline]
#[target_feature(enable = "neon")]
fn interleave([a, b, c, d]: [uint8x16_t; 4]) -> [uint8x16_t; 4] {
    let pairs = |a, b| [vzip1q_u8(a, b), vzip2q_u8(a, b)].map(|pairs| vreinterpretq_u16_u8(pairs));
    let ([ab, ab2], [cd, cd2]) = (pairs(a, b), pairs(c, d));
    let fours =
        [vzip1q_u16(ab, cd), vzip2q_u16(ab, cd), vzip1q_u16(ab2, cd2), vzip2q_u16(ab2, cd2)];
    fours.map(|fours| vreinterpretq_u8_u16(fours))
}

/// As [`super::horizontal`], for aligned groups.
///
/// # Safety
/// The machine must have the instruction `D`.
#[target_feature(enable = "neon")]
pub unsafe fn horizontal<D: Dot>(
    source: ImageRef<'_>,
    coefficients: &Coefficients,
    HorizontalBuffers { quads8: quads, columns, .. }: &mut HorizontalBuffers,
    out: &mut [u8],
) {
    let (rows, width) = (source.height as usize, coefficients.windows().len());
    quads.resize((source.width as usize).div_ceil(GROUP), Quad([Rows8([0; 2 * VECTOR]); 3]));
    find_columns::<D>(coefficients, columns);
    for top in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - top);
        to_quads::<D>(source, top, count, quads);
        for (strip, columns) in columns.as_chunks::<STRIP>().0.iter().enumerate() {
            // Of each channel, columns 0 and 8, 1 and 9, and so on.
            let mut channels = [[vdupq_n_u8(0); STRIP / 2]; 3];
            for i in 0..STRIP / 2 {
                let [a, b] = [i, i + STRIP / 2].map(|i| {
                    let Column { quad, groups, from } = &columns[i];
                    let weights = coefficients.digits(groups);
                    // SAFETY: the caller guarantees the instruction.
                    unsafe { weigh_quads::<D>(&quads[*quad..], weights, *from) }
                });
                for (channel, columns) in channels.iter_mut().enumerate() {
                    columns[i] = to_bytes(a[channel], b[channel]);
                }
            }
            for (channel, &columns) in channels.iter().enumerate() {
                let out = &mut out[(channel * rows + top) * width..][..count * width];
                store(columns, strip * STRIP, width, out);
            }
        }
    }
}

/// Finds the quads and the weights of all columns. The last column is repeated to fill a strip.
fn find_columns<D: Dot>(coefficients: &Coefficients, columns: &mut Vec<Column>) {
    columns.clear();
    columns.extend(coefficients.windows().iter().map(|&window| {
        let (first, groups) = coefficients.group_range(window);
        Column { quad: first / GROUP, groups, from: start::<D>(coefficients, window) }
    }));
    if let Some(last) = columns.last().cloned() {
        columns.resize(columns.len().next_multiple_of(STRIP), last);
    }
}

/// Writes sixteen columns, from `x` on, to rows of `width` bytes.
#[inline]
#[target_feature(enable = "neon")]
fn store(columns: [uint8x16_t; STRIP / 2], x: usize, width: usize, out: &mut [u8]) {
    // SAFETY: 128 bytes on both sides, and all values are valid.
    let lanes: [Lane; ROWS] = unsafe { transmute(transpose_in_halves(columns)) };
    for (row, lane) in out.chunks_exact_mut(width).zip(&lanes) {
        if let Some(whole) = row[x..].first_chunk_mut() {
            *whole = *lane;
        } else {
            row[x..].copy_from_slice(&lane[..width - x]);
        }
    }
}

/// One column of the output, by channel: the upper 16 bits of its sums.
///
/// # Safety
/// The machine must have the instruction `D`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn weigh_quads<D: Dot>(
    quads: &[Quad<Rows8>],
    weights: &[Digits],
    from: i32,
) -> [int16x8_t; 3] {
    let mut sums = [[[vdupq_n_s32(from), vdupq_n_s32(0), vdupq_n_s32(0)]; 2]; 3];
    for (quad, digits) in quads.iter().zip(weights) {
        for (sums, rows) in sums.iter_mut().zip(&quad.0) {
            for (sums, bytes) in sums.iter_mut().zip(rows.0.as_chunks().0) {
                // SAFETY: the caller guarantees the instruction.
                unsafe { add_products::<D>(sums, load(bytes), digits) };
            }
        }
    }
    sums.map(|[a, b]| upper_sums(a, b))
}

/// Adds four products, for each digit, to each of four sums.
///
/// # Safety
/// The machine must have the instruction `D`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_products<D: Dot>(sums: &mut [int32x4_t; 3], bytes: uint8x16_t, digits: &Digits) {
    for (sums, &digits) in sums.iter_mut().zip(digits) {
        // SAFETY: the caller guarantees the instruction.
        *sums = unsafe { D::dot(*sums, bytes, digits) };
    }
}

/// The upper 16 bits of `low + (middle << 8) + (high << 16)`, for eight sums.
///
/// The last term has no lower bits, so it is added to the upper bits of the others.
#[inline]
#[target_feature(enable = "neon")]
fn upper_sums(a: [int32x4_t; 3], b: [int32x4_t; 3]) -> int16x8_t {
    let lower = |[low, middle, _]: [int32x4_t; 3]| vaddq_s32(low, vshlq_n_s32::<8>(middle));
    let high = vuzp1q_s16(vreinterpretq_s16_s32(a[2]), vreinterpretq_s16_s32(b[2]));
    vaddq_s16(upper(lower(a), lower(b)), high)
}

/// Rearranges `count` rows of `source`, from `top` on, into `quads`. Missing rows repeat the last
/// one, and missing pixels weigh nothing.
#[inline]
#[target_feature(enable = "neon")]
fn to_quads<D: Dot>(source: ImageRef<'_>, top: usize, count: usize, quads: &mut [Quad<Rows8>]) {
    let len = source.width as usize * 3;
    let rows: [&[u8]; ROWS] = from_fn(|y| &source.row((top + y.min(count - 1)) as u32)[..len]);
    // A quad is 12 bytes of a row, but 16 are loaded. The last quads are copied to have those.
    let whole = (len.saturating_sub(VECTOR - PIXELS) / PIXELS).min(quads.len());
    let (quads, last) = quads.split_at_mut(whole);
    for (number, quad) in quads.iter_mut().enumerate() {
        let lane = |row: &[u8]| load(row[number * PIXELS..].first_chunk().expect("16 bytes"));
        quad.0 = to_quad::<D>(rows.map(lane));
    }
    for (number, quad) in last.iter_mut().enumerate() {
        quad.0 = to_quad::<D>(rows.map(|row| {
            let mut lane: Lane = [0; VECTOR];
            let bytes = row[(whole + number) * PIXELS..].chunks(PIXELS).next().unwrap_or_default();
            lane[..bytes.len()].copy_from_slice(bytes);
            load(&lane)
        }));
    }
}

/// Four pixels of eight rows, from the first twelve bytes of each lane.
#[inline]
#[target_feature(enable = "neon")]
fn to_quad<D: Dot>(rows: [uint8x16_t; ROWS]) -> [Rows8; 3] {
    // The four pixels of each channel. The last four bytes are not used.
    let apart = load(&[0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 0, 0, 0, 0]);
    let rows = rows.map(|row| vreinterpretq_u32_u8(vqtbl1q_u8(biased::<D>(row), apart)));
    let four = |first: usize| {
        let [a, b, c, d] = [rows[first], rows[first + 1], rows[first + 2], rows[first + 3]];
        let pairs = |a, b| [vzip1q_u32(a, b), vzip2q_u32(a, b)].map(|ab| vreinterpretq_u64_u32(ab));
        let ([ab, ab2], [cd, cd2]) = (pairs(a, b), pairs(c, d));
        [vzip1q_u64(ab, cd), vzip2q_u64(ab, cd), vzip1q_u64(ab2, cd2)]
    };
    let (upper, lower) = (four(0), four(ROWS / 2));
    // SAFETY: 32 bytes on both sides, and all values are valid.
    let rows = |rows| Rows8(unsafe { transmute::<[uint64x2_t; 2], [u8; 2 * VECTOR]>(rows) });
    from_fn(|channel| rows([upper[channel], lower[channel]]))
}

/// In each half of the registers, byte `j` of register `i` becomes byte `i` of register `j`.
#[inline]
#[target_feature(enable = "neon")]
fn transpose_in_halves(mut v: [uint8x16_t; 8]) -> [uint8x16_t; 8] {
    for i in [0, 2, 4, 6] {
        (v[i], v[i + 1]) = (vtrn1q_u8(v[i], v[i + 1]), vtrn2q_u8(v[i], v[i + 1]));
    }
    let mut v = v.map(|bytes| vreinterpretq_u16_u8(bytes));
    for i in [0, 1, 4, 5] {
        (v[i], v[i + 2]) = (vtrn1q_u16(v[i], v[i + 2]), vtrn2q_u16(v[i], v[i + 2]));
    }
    let mut v = v.map(|pairs| vreinterpretq_u32_u16(pairs));
    for i in [0, 1, 2, 3] {
        (v[i], v[i + 4]) = (vtrn1q_u32(v[i], v[i + 4]), vtrn2q_u32(v[i], v[i + 4]));
    }
    v.map(|fours| vreinterpretq_u8_u32(fours))
}
