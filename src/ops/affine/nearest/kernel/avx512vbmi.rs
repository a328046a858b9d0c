//! The nearest pixel with AVX-512's permutations of bytes (VBMI): blocks of 8 x 8 pixels, whose
//! windows of 16 x 16 pixels are tables of 256 bytes.

use std::arch::x86_64::*;

use super::super::super::padded::Pixel;
use super::blocks::{self, BANDS, Blocks, Buffers, COLUMNS, Copies, Group, Layout, Ways};
use crate::image::Planes;

/// Proves that the machine has the instructions, since only [`transform`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Vbmi(());

/// As [`super::transform`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,bmi2")]
pub fn transform(layout: &Layout<'_>, fill: Pixel, planes: &mut Planes<'_>, buffers: &mut Buffers) {
    blocks::transform(Vbmi(()), layout, fill, planes, buffers);
}

impl Blocks for Vbmi {
    const SIDE: usize = 8;

    #[inline(always)]
    unsafe fn interleave(self, rows: [*const u8; BANDS], band: *mut u8) {
        // SAFETY: as below.
        unsafe { interleave(rows, band) }
    }

    #[inline(always)]
    unsafe fn write(
        self,
        ways: &Ways,
        group: &Group,
        copies: Copies,
        outs: [*mut u8; 3],
        width: usize,
    ) {
        // SAFETY: `self` proves that the machine has the instructions. The rest is the caller's
        // duty.
        unsafe { write(ways, group, copies, outs, width) }
    }
}

/// As [`Blocks::interleave`].
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn interleave([a, b, c, d]: [*const u8; BANDS], band: *mut u8) {
    const ORDER: [u8; 64] = {
        let mut order = [0; 64];
        let mut i = 0;
        while i < 64 {
            order[i] = (i % 4 * COLUMNS + i / 4) as u8;
            i += 1;
        }
        order
    };
    for x in [0, COLUMNS] {
        // SAFETY: the caller's duty, for 32 bytes of four rows.
        unsafe {
            let load = |row: *const u8| _mm_loadu_si128(row.add(x).cast());
            let rows = _mm512_castsi128_si512(load(a));
            let rows = _mm512_inserti32x4::<1>(rows, load(b));
            let rows = _mm512_inserti32x4::<2>(rows, load(c));
            let rows = _mm512_inserti32x4::<3>(rows, load(d));
            let order = _mm512_loadu_si512(ORDER.as_ptr().cast());
            let rows = _mm512_permutexvar_epi8(order, rows);
            _mm512_storeu_si512(band.add(4 * x).cast(), rows);
        }
    }
}

/// As [`Blocks::write`].
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
unsafe fn write(ways: &Ways, group: &Group, copies: Copies, outs: [*mut u8; 3], width: usize) {
    let indices = [indices(ways, group, 0), indices(ways, group, 1)];
    for (copy, out) in copies.planes.into_iter().zip(outs) {
        // SAFETY: the caller's duty.
        let block = |i: usize| unsafe {
            look_up(copy.add(group.starts[i] as usize), copies.band, indices[i])
        };
        let (left, right) = (block(0), block(1));
        let (even, odd) = (_mm512_unpacklo_epi64(left, right), _mm512_unpackhi_epi64(left, right));
        // SAFETY: the caller's duty, for eight rows of 16 bytes.
        unsafe {
            let row = |y: usize| out.add(y * width).cast::<__m128i>();
            _mm_storeu_si128(row(0), _mm512_castsi512_si128(even));
            _mm_storeu_si128(row(1), _mm512_castsi512_si128(odd));
            _mm_storeu_si128(row(2), _mm512_extracti32x4_epi32::<1>(even));
            _mm_storeu_si128(row(3), _mm512_extracti32x4_epi32::<1>(odd));
            _mm_storeu_si128(row(4), _mm512_extracti32x4_epi32::<2>(even));
            _mm_storeu_si128(row(5), _mm512_extracti32x4_epi32::<2>(odd));
            _mm_storeu_si128(row(6), _mm512_extracti32x4_epi32::<3>(even));
            _mm_storeu_si128(row(7), _mm512_extracti32x4_epi32::<3>(odd));
        }
    }
}

/// The indices into its window of the pixels of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn indices(ways: &Ways, group: &Group, block: usize) -> __m512i {
    let [more_x, more_y] = std::array::from_fn(|axis| {
        let (halves, _) = ways.fractions[axis].as_chunks::<32>();
        // Fractions that add up to 1 or more.
        let limit = _mm512_set1_epi16(group.limits[axis][block] as i16);
        let more = |half: &[i16; 32]| {
            // SAFETY: the numbers are the 64 bytes that are read.
            let fractions = unsafe { _mm512_loadu_si512(half.as_ptr().cast()) };
            _mm512_cmpgt_epi16_mask(fractions, limit)
        };
        u64::from(more(&halves[0])) | u64::from(more(&halves[1])) << 32
    });
    // SAFETY: the arrays are the 64 and the 16 bytes that are read.
    let (columns, rows, starts) = unsafe {
        (
            _mm512_loadu_si512(ways.columns.as_ptr().cast()),
            _mm512_loadu_si512(ways.rows.as_ptr().cast()),
            _mm_loadu_si128(ways.starts.as_ptr().cast()),
        )
    };
    let rows = _mm512_mask_add_epi8(rows, more_y, rows, _mm512_set1_epi8(1));
    let rows = _mm512_add_epi8(rows, _mm512_set1_epi8(group.rows[block] as i8));
    let band = _mm512_set1_epi8(Vbmi::BAND as i8);
    let columns = _mm512_mask_add_epi8(columns, more_x, columns, band);
    let starts = _mm512_broadcast_i32x4(starts);
    _mm512_add_epi8(_mm512_shuffle_epi8(starts, rows), columns)
}

/// The bytes of the window at `start` with these indices.
///
/// # Safety
/// All bands of the window can be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn look_up(start: *const u8, band: usize, indices: __m512i) -> __m512i {
    // SAFETY: the caller's duty. A band of a window has 16 columns of four rows.
    let bands: [__m512i; BANDS] =
        std::array::from_fn(|i| unsafe { _mm512_loadu_si512(start.add(i * band).cast()) });
    let [a, b, c, d] = bands;
    let upper = _mm512_permutex2var_epi8(c, indices, d);
    let lower = _mm512_permutex2var_epi8(a, indices, b);
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(indices), lower, upper)
}
