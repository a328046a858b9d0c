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
use std::marker::PhantomData;
use std::mem::transmute;

use super::super::coefficients::{Coefficients, Digits, GROUP};
use super::buffers::{ByteRows, HALF, HorizontalBuffers};
use super::neon::{load, to_bytes, upper};
use super::plan::start;
use super::quads::{self, Lane, Rows8, Vectors};
use super::sdot::Dot;
use crate::image::ImageRef;

/// The bytes in a vector.
const VECTOR: usize = 16;

/// Bytes as the instruction takes them. Exclusive or is subtraction here, since the bias is 128.
#[inline]
#[target_feature(enable = "neon")]
fn biased<D: Dot>(bytes: uint8x16_t) -> uint8x16_t {
    const { assert!(D::BIAS == 0 || D::BIAS == 128) };
    veorq_u8(bytes, vdupq_n_u8(D::BIAS))
}

/// As [`super::vertical()`], for rows of at least a vector and groups that are not aligned.
///
/// x86-64 has this pass in `dots`, in blocks of four vectors of sums. Those would be 32 bytes here,
/// and their sums alone would take 24 of the 32 registers.
///
/// # Safety
/// The machine must have the instruction `D`.
#[target_feature(enable = "neon")]
pub unsafe fn vertical<D: Dot>(input: ByteRows<'_>, coefficients: &Coefficients, out: &mut [u8]) {
    let ByteRows { data, stride, width } = input;
    for (&window, out) in coefficients.windows().iter().zip(out.chunks_exact_mut(width)) {
        let rows = &data[window.start * stride..][..(window.len - 1) * stride + width];
        let (_, weights) = coefficients.groups(window);
        let from = start(coefficients, window, D::BIAS);
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
    buffers: &mut HorizontalBuffers,
    out: &mut [u8],
) {
    let vectors = NeonDot::<D>(PhantomData);
    quads::horizontal(vectors, source, coefficients, &mut buffers.quads8, out);
}

/// Proves that the machine has the instruction, since only [`horizontal`] makes one.
#[derive(Clone, Copy)]
struct NeonDot<D>(PhantomData<D>);

impl<D: Dot> Vectors for NeonDot<D> {
    const ROWS: usize = 8;
    const BIAS: u8 = D::BIAS;
    type Rows = Rows8;
    type Weights = Digits;
    /// For each four rows, one sum per digit.
    type Sums = [[int32x4_t; 3]; 2];
    /// The upper 16 bits of the sums.
    type Column = int16x8_t;
    /// Bytes.
    type Pair = uint8x16_t;
    type Lanes = [Lane; 8];

    #[inline(always)]
    fn weights(coefficients: &Coefficients) -> &[Digits] {
        coefficients.all_groups()
    }

    #[inline(always)]
    fn quad(self, lanes: &[&Lane; 16]) -> [Rows8; 3] {
        // SAFETY: `self` proves that the machine has NEON.
        unsafe { quad::<D>(lanes) }
    }

    #[inline(always)]
    fn start(self, from: i32) -> [[int32x4_t; 3]; 2] {
        let from = if D::BIAS == 0 { HALF } else { from };
        // SAFETY: as above.
        unsafe { [[vdupq_n_s32(from), vdupq_n_s32(0), vdupq_n_s32(0)]; 2] }
    }

    #[inline(always)]
    fn add(
        self,
        mut sums: [[int32x4_t; 3]; 2],
        rows: &Rows8,
        digits: &Digits,
    ) -> [[int32x4_t; 3]; 2] {
        for (sums, bytes) in sums.iter_mut().zip(rows.0.as_chunks().0) {
            // SAFETY: as above, and the instruction of `D`.
            unsafe { add_products::<D>(sums, load(bytes), digits) };
        }
        sums
    }

    #[inline(always)]
    fn finish(self, [a, b]: [[int32x4_t; 3]; 2]) -> int16x8_t {
        // SAFETY: as above.
        unsafe { upper_sums(a, b) }
    }

    #[inline(always)]
    fn pair(self, first: int16x8_t, second: int16x8_t) -> uint8x16_t {
        // SAFETY: as above.
        unsafe { to_bytes(first, second) }
    }

    #[inline(always)]
    fn four(self, first: uint8x16_t, second: uint8x16_t) -> Rows8 {
        join(first, second)
    }

    #[inline(always)]
    fn to_rows(self, columns: [&Rows8; 4]) -> [Lane; 8] {
        // SAFETY: as above.
        unsafe { to_rows(columns) }
    }
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

/// As [`Vectors::quad`], in the order of the pixels.
#[inline]
#[target_feature(enable = "neon")]
fn quad<D: Dot>(lanes: &[&Lane; 16]) -> [Rows8; 3] {
    // The four pixels of each channel. The last four bytes are not used.
    let apart = load(&[0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 0, 0, 0, 0]);
    let row = |y: usize| vreinterpretq_u32_u8(vqtbl1q_u8(load(lanes[y]), apart));
    let four = |first: usize| {
        let [a, b, c, d] = [row(first), row(first + 1), row(first + 2), row(first + 3)];
        // The first and the third channel of two rows, and the second channel.
        let (ab, cd) = (vtrn1q_u32(a, b), vtrn1q_u32(c, d));
        let (da, bc) = (vtrn2q_u32(d, a), vtrn2q_u32(b, c));
        let [ab, cd, da, bc] = [ab, cd, da, bc].map(|pair| vreinterpretq_u64_u32(pair));
        [vzip1q_u64(ab, cd), vzip1q_u64(da, bc), vzip2q_u64(cd, ab)]
            .map(|rows| biased::<D>(vreinterpretq_u8_u64(rows)))
    };
    let (upper, lower) = (four(0), four(4));
    from_fn(|channel| join(upper[channel], lower[channel]))
}

#[inline]
fn join(first: uint8x16_t, second: uint8x16_t) -> Rows8 {
    // SAFETY: 32 bytes on both sides, and all values are valid.
    Rows8(unsafe { transmute::<[uint8x16_t; 2], [u8; 2 * VECTOR]>([first, second]) })
}

/// As [`Vectors::to_rows`].
///
/// A register has two columns of eight rows. Each step takes the last bit out of the places of the
/// bytes, which is one of the row's, and puts one of the column's first. So after three steps a
/// register has one row of all columns, in their order.
#[inline]
#[target_feature(enable = "neon")]
fn to_rows(columns: [&Rows8; 4]) -> [Lane; 8] {
    // SAFETY: 128 bytes on both sides, and all values are valid.
    let mut v: [uint8x16_t; 8] = unsafe { transmute(columns.map(|columns| columns.0)) };
    for i in [0, 2, 4, 6] {
        (v[i], v[i + 1]) = (vuzp1q_u8(v[i], v[i + 1]), vuzp2q_u8(v[i], v[i + 1]));
    }
    for i in [0, 1, 4, 5] {
        (v[i], v[i + 2]) = (vuzp1q_u8(v[i], v[i + 2]), vuzp2q_u8(v[i], v[i + 2]));
    }
    for i in [0, 1, 2, 3] {
        (v[i], v[i + 4]) = (vuzp1q_u8(v[i], v[i + 4]), vuzp2q_u8(v[i], v[i + 4]));
    }
    // SAFETY: as above.
    unsafe { transmute([v[0], v[4], v[1], v[5], v[2], v[6], v[3], v[7]]) }
}
