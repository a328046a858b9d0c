//! Both passes with AVX-512's dot products of bytes (VNNI): four samples per multiplication.
//!
//! [`super`] explains the digits of the weights. Each sum is kept as three, one per digit, and they
//! are put together at the end.

use std::arch::x86_64::*;
use std::mem::transmute;

use super::super::coefficients::{Coefficients, Digits, PRECISION_BITS};
use super::buffers::{BLOCK, ByteRows, HALF, HorizontalBuffers};
use super::dots::{self, Interleave};
use super::quads::{self, Lane, Vectors};
use crate::image::ImageRef;

/// As [`super::vertical()`], for rows of at least a block and groups that are not aligned.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub fn vertical(input: ByteRows<'_>, coefficients: &Coefficients, out: &mut [u8]) {
    dots::vertical(Avx512Vnni(()), input, coefficients, out);
}

/// As [`super::horizontal`], for aligned groups.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub fn horizontal(
    source: ImageRef<'_>,
    coefficients: &Coefficients,
    buffers: &mut HorizontalBuffers,
    out: &mut [u8],
) {
    quads::horizontal(Avx512Vnni(()), source, coefficients, &mut buffers.quads16, out);
}

/// Four bytes of each of sixteen rows.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Rows16([u8; BLOCK]);

impl Default for Rows16 {
    fn default() -> Self {
        Self([0; BLOCK])
    }
}

impl AsRef<[u8]> for Rows16 {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Proves that the machine has the instructions, since only the functions above make one.
#[derive(Clone, Copy)]
struct Avx512Vnni(());

impl Vectors for Avx512Vnni {
    const ROWS: usize = 16;
    type Rows = Rows16;
    type Weights = Digits;
    type Sums = [__m512i; 3];
    type Column = __m512i;
    type Pair = __m512i;
    type Lanes = [Lane; 16];

    #[inline(always)]
    fn weights(coefficients: &Coefficients) -> &[Digits] {
        coefficients.all_groups()
    }

    #[inline(always)]
    fn quad(self, lanes: &[&Lane; 16]) -> [Rows16; 3] {
        // SAFETY: `self` proves that the machine has AVX-512 with VNNI.
        unsafe { quad(lanes) }
    }

    #[inline(always)]
    fn start(self, _: i32) -> [__m512i; 3] {
        // SAFETY: as above.
        unsafe { [_mm512_set1_epi32(HALF), _mm512_setzero_si512(), _mm512_setzero_si512()] }
    }

    #[inline(always)]
    fn add(self, sums: [__m512i; 3], rows: &Rows16, digits: &Digits) -> [__m512i; 3] {
        // SAFETY: as above.
        unsafe { add(sums, rows, digits) }
    }

    #[inline(always)]
    fn finish(self, sums: [__m512i; 3]) -> __m512i {
        // SAFETY: as above.
        unsafe { finish(sums) }
    }

    #[inline(always)]
    fn pair(self, first: __m512i, second: __m512i) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_packs_epi32(first, second) }
    }

    #[inline(always)]
    fn four(self, first: __m512i, second: __m512i) -> Rows16 {
        // SAFETY: as above. 64 bytes on both sides, and all values are valid.
        Rows16(unsafe { transmute::<__m512i, [u8; BLOCK]>(_mm512_packus_epi16(first, second)) })
    }

    #[inline(always)]
    fn to_rows(self, columns: [&Rows16; 4]) -> [Lane; 16] {
        // SAFETY: as above.
        unsafe { to_rows(columns) }
    }
}

impl Interleave for Avx512Vnni {
    #[inline(always)]
    fn columns(self, rows: [&[u8]; 4]) -> [Rows16; 4] {
        // SAFETY: as above.
        unsafe { columns(rows) }
    }
}

/// As [`Interleave::columns`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn columns([a, b, c, d]: [&[u8]; 4]) -> [Rows16; 4] {
    let (a, b, c, d) = (load(a), load(b), load(c), load(d));
    let (low, high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
    let (low2, high2) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
    let columns = [
        _mm512_unpacklo_epi16(low, low2),
        _mm512_unpackhi_epi16(low, low2),
        _mm512_unpacklo_epi16(high, high2),
        _mm512_unpackhi_epi16(high, high2),
    ];
    // SAFETY: 256 bytes on both sides, and all values are valid.
    unsafe { transmute(columns) }
}

/// Adds four products, for each digit, to each of sixteen sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add([low, middle, high]: [__m512i; 3], rows: &Rows16, digits: &Digits) -> [__m512i; 3] {
    let bytes = load(&rows.0);
    let [low_digits, middle_digits, high_digits] =
        digits.map(|digit| i32::from_ne_bytes(digit.map(|digit| digit as u8)));
    [
        _mm512_dpbusd_epi32(low, bytes, _mm512_set1_epi32(low_digits)),
        _mm512_dpbusd_epi32(middle, bytes, _mm512_set1_epi32(middle_digits)),
        _mm512_dpbusd_epi32(high, bytes, _mm512_set1_epi32(high_digits)),
    ]
}

/// `(low + (middle << 8) + (high << 16)) >> 22`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn finish([low, middle, high]: [__m512i; 3]) -> __m512i {
    let upper = _mm512_add_epi32(middle, _mm512_slli_epi32::<8>(high));
    _mm512_srai_epi32::<PRECISION_BITS>(_mm512_add_epi32(low, _mm512_slli_epi32::<8>(upper)))
}

/// The first 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load(bytes: &[u8]) -> __m512i {
    let block: &[u8; BLOCK] = bytes.first_chunk().expect("a row has at least a block");
    // SAFETY: 64 bytes on both sides, and all values are valid.
    unsafe { transmute(*block) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn load_lane(lane: &Lane) -> __m128i {
    // SAFETY: 16 bytes on both sides, and all values are valid.
    unsafe { transmute(*lane) }
}

/// As [`Vectors::quad`], in the order of the pixels. [`super::avx2::quad`] has the same in 256
/// bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn quad(lanes: &[&Lane; 16]) -> [Rows16; 3] {
    const ODD: u16 = 0xaaaa;
    const LAST_TWO: u16 = 0xcccc;
    let row = |j: usize| {
        let mut bytes = [-1i8; 16];
        for channel in 0..3 {
            for pixel in 0..4 {
                bytes[(channel + j) % 4 * 4 + pixel] = (3 * pixel + channel) as i8;
            }
        }
        let apart = _mm512_broadcast_i32x4(load_lane(&bytes.map(|byte| byte as u8)));
        let rows = _mm512_castsi128_si512(load_lane(lanes[j]));
        let rows = _mm512_inserti32x4::<1>(rows, load_lane(lanes[j + 4]));
        let rows = _mm512_inserti32x4::<2>(rows, load_lane(lanes[j + 8]));
        let rows = _mm512_inserti32x4::<3>(rows, load_lane(lanes[j + 12]));
        _mm512_shuffle_epi8(rows, apart)
    };
    let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
    let (ab, cd) = (_mm512_mask_blend_epi32(ODD, a, b), _mm512_mask_blend_epi32(ODD, c, d));
    let (da, bc) = (_mm512_mask_blend_epi32(ODD, d, a), _mm512_mask_blend_epi32(ODD, b, c));
    let channels = [
        _mm512_mask_blend_epi32(LAST_TWO, ab, cd),
        _mm512_mask_blend_epi32(LAST_TWO, da, bc),
        _mm512_mask_blend_epi32(LAST_TWO, cd, ab),
    ];
    // SAFETY: 64 bytes on both sides, and all values are valid.
    channels.map(|rows| Rows16(unsafe { transmute::<__m512i, [u8; BLOCK]>(rows) }))
}

/// As [`Vectors::to_rows`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn to_rows(columns: [&Rows16; 4]) -> [Lane; 16] {
    // From columns of four rows to rows of four columns.
    let order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let order = _mm512_broadcast_i32x4(order);
    let [a, b, c, d] = columns.map(|four| _mm512_shuffle_epi8(load(&four.0), order));
    // SAFETY: 256 bytes on both sides, and all values are valid.
    unsafe { transmute(transpose_in_lanes([a, b, c, d])) }
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
