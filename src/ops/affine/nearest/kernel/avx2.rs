//! The nearest pixel with AVX2: blocks of 4 x 4 pixels, whose windows of 8 x 8 pixels are four
//! tables of 16 bytes. A register has two blocks.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::super::super::padded::Pixel;
use super::blocks::{self, Blocks, Buffers, Copies, Group, Layout, Ways};
use crate::image::Planes;

/// Looks up in the first `USED` bands of windows. Proves that the machine has the instructions,
/// since only [`transform`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Avx2<const USED: usize>(());

/// As [`super::transform`].
#[target_feature(enable = "avx2")]
pub fn transform(layout: &Layout<'_>, fill: Pixel, planes: &mut Planes<'_>, buffers: &mut Buffers) {
    match layout.used_bands {
        3 => blocks::transform(Avx2::<3>(()), layout, fill, planes, buffers),
        _ => blocks::transform(Avx2::<4>(()), layout, fill, planes, buffers),
    }
}

impl<const USED: usize> Blocks for Avx2<USED> {
    const SIDE: usize = 4;

    #[inline(always)]
    unsafe fn interleave(self, [a, b, ..]: [*const u8; 4], band: *mut u8) {
        // SAFETY: as below.
        unsafe { interleave(a, b, band) }
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
        // SAFETY: `self` proves that the machine has AVX2. The rest is the caller's duty.
        unsafe { write::<USED>(ways, group, copies, outs, width) }
    }
}

/// As [`Blocks::interleave`].
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn interleave(a: *const u8, b: *const u8, band: *mut u8) {
    // SAFETY: the caller's duty, for 32 bytes of two rows.
    unsafe {
        let (a, b) = (_mm256_loadu_si256(a.cast()), _mm256_loadu_si256(b.cast()));
        let (even, odd) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
        let band = band.cast::<__m256i>();
        _mm256_storeu_si256(band, _mm256_permute2x128_si256::<0x20>(even, odd));
        _mm256_storeu_si256(band.add(1), _mm256_permute2x128_si256::<0x31>(even, odd));
    }
}

/// As [`Blocks::write`].
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn write<const USED: usize>(
    ways: &Ways,
    group: &Group,
    copies: Copies,
    outs: [*mut u8; 3],
    width: usize,
) {
    // Blocks 0 and 2, then 1 and 3: in this order rows are put together within the halves of
    // registers.
    let indices = [indices::<USED>(ways, group, 0), indices::<USED>(ways, group, 1)];
    for (copy, out) in copies.planes.into_iter().zip(outs) {
        let look_up = |first: usize| {
            let [left, right] = [first, first + 2].map(|block| group.starts[block] as usize);
            let mut pixels = _mm256_setzero_si256();
            for (band, indices) in indices[first].into_iter().enumerate() {
                // SAFETY: the caller's duty. A band of a window has eight columns of two rows.
                let bytes = unsafe {
                    let band = copy.add(band * copies.band);
                    _mm256_loadu2_m128i(band.add(right).cast(), band.add(left).cast())
                };
                pixels = _mm256_or_si256(pixels, _mm256_shuffle_epi8(bytes, indices));
            }
            pixels
        };
        let (even, odd) = (look_up(0), look_up(1));
        let halves = |v| (_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
        let first = halves(_mm256_unpacklo_epi32(even, odd));
        let last = halves(_mm256_unpackhi_epi32(even, odd));
        // SAFETY: the caller's duty, for four rows of 16 bytes.
        unsafe {
            let row = |y: usize| out.add(y * width).cast::<__m128i>();
            _mm_storeu_si128(row(0), _mm_unpacklo_epi64(first.0, first.1));
            _mm_storeu_si128(row(1), _mm_unpackhi_epi64(first.0, first.1));
            _mm_storeu_si128(row(2), _mm_unpacklo_epi64(last.0, last.1));
            _mm_storeu_si128(row(3), _mm_unpackhi_epi64(last.0, last.1));
        }
    }
}

/// For each used band, the indices of the pixels of block `first` and of the second one after it.
///
/// Those in the band are 0x70 to 0x7f, of which `pshufb` uses the lower four bits. All others are
/// 0x80 or more, for which it gives 0.
#[inline]
#[target_feature(enable = "avx2")]
fn indices<const USED: usize>(ways: &Ways, group: &Group, first: usize) -> [__m256i; USED] {
    // In each half, the first `size` bytes of its block's number, as often as they fit.
    let of_blocks = |numbers: __m256i, size: usize| {
        _mm256_shuffle_epi8(numbers, load(&ways.orders[size - 1][first]))
    };
    let more = |axis: usize| {
        let limits = of_blocks(twice(&group.limits[axis]), 2);
        let more = |half: usize| {
            let half: &[i16; 8] = ways.fractions[axis][8 * half..].first_chunk().expect("halves");
            _mm256_cmpgt_epi16(twice(half), limits)
        };
        // -1 for fractions that add up to 1 or more.
        _mm256_packs_epi16(more(0), more(1))
    };
    let first_of = |bytes: &[u8; 64]| twice(bytes.first_chunk::<16>().expect("16 pixels"));
    let rows = _mm256_sub_epi8(first_of(&ways.rows), more(1));
    let rows = _mm256_add_epi8(rows, of_blocks(twice(&group.rows), 1));
    let more_x = more(0);
    let columns = _mm256_sub_epi8(first_of(&ways.columns), _mm256_add_epi8(more_x, more_x));
    let indices = _mm256_add_epi8(_mm256_shuffle_epi8(twice(&ways.starts), rows), columns);
    from_fn(|band| {
        let from = _mm256_sub_epi8(indices, _mm256_set1_epi8(16 * band as i8));
        _mm256_adds_epu8(from, _mm256_set1_epi8(0x70))
    })
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: these are the bytes that are read.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// 16 bytes in both halves of a register.
#[inline]
#[target_feature(enable = "avx2")]
fn twice<T>(bytes: &T) -> __m256i {
    const { assert!(size_of::<T>() == 16) };
    // SAFETY: these are the bytes that are read.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(std::ptr::from_ref(bytes).cast()) })
}
