//! Vectors of four lanes.

use std::arch::x86_64::*;

use super::{Vector, place};

/// The lanes of four blocks.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx512(__m512i);

impl Vector for Avx512 {
    const BYTES: usize = 64;

    intrinsics! {
        xor = _mm512_xor_si512,
        and = _mm512_and_si512,
        add16 = _mm512_add_epi16,
        sub16 = _mm512_sub_epi16,
        add32 = _mm512_add_epi32,
        sub32 = _mm512_sub_epi32,
        multiply = _mm512_mullo_epi16,
        multiply_rounded = _mm512_mulhrs_epi16,
        dots = _mm512_madd_epi16,
        pack32 = _mm512_packs_epi32,
        pack16 = _mm512_packs_epi16,
        pack_unsigned16 = _mm512_packus_epi16,
        low8 = _mm512_unpacklo_epi8,
        high8 = _mm512_unpackhi_epi8,
        low16 = _mm512_unpacklo_epi16,
        high16 = _mm512_unpackhi_epi16,
        low32 = _mm512_unpacklo_epi32,
        high32 = _mm512_unpackhi_epi32,
        low64 = _mm512_unpacklo_epi64,
        high64 = _mm512_unpackhi_epi64,
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm512_loadu_si512(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn load_widened(from: *const u8) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.cast())) })
    }

    #[inline(always)]
    unsafe fn splat16(value: i16) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm512_set1_epi16(value) })
    }

    #[inline(always)]
    unsafe fn splat32(value: i32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm512_set1_epi32(value) })
    }

    #[inline(always)]
    unsafe fn shift_right16<const BITS: u32>(self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm512_srai_epi16::<BITS>(self.0) })
    }

    #[inline(always)]
    unsafe fn shift_right_logical16<const BITS: u32>(self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm512_srli_epi16::<BITS>(self.0) })
    }

    #[inline(always)]
    unsafe fn shift_right32<const BITS: u32>(self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm512_srai_epi32::<BITS>(self.0) })
    }

    #[inline(always)]
    unsafe fn any(self) -> bool {
        // SAFETY: the caller's.
        unsafe { _mm512_test_epi16_mask(self.0, self.0) != 0 }
    }

    #[inline(always)]
    unsafe fn load_blocks(blocks: &[*const i16], steps: *const i16) -> [Self; 8] {
        // SAFETY: the caller's; all offsets are in blocks of 64 coefficients.
        unsafe {
            let mut rows = [Self(_mm512_setzero_si512()); 8];
            for half in 0..2 {
                let at = 32 * half;
                let steps = Self::load(steps.add(at).cast());
                let mut four = [_mm512_setzero_si512(); 4];
                for (halves, block) in four.iter_mut().zip(blocks) {
                    *halves = Self::load(block.add(at).cast()).multiply(steps).0;
                }
                let [a, b, c, d] = four;
                let early =
                    [_mm512_shuffle_i64x2::<0x44>(a, b), _mm512_shuffle_i64x2::<0x44>(c, d)];
                let late = [_mm512_shuffle_i64x2::<0xEE>(a, b), _mm512_shuffle_i64x2::<0xEE>(c, d)];
                for (i, [ab, cd]) in [early, late].into_iter().enumerate() {
                    let row = 4 * half + 2 * i;
                    rows[row] = Self(_mm512_shuffle_i64x2::<0x88>(ab, cd));
                    rows[row + 1] = Self(_mm512_shuffle_i64x2::<0xDD>(ab, cd));
                }
            }
            rows
        }
    }

    #[inline(always)]
    unsafe fn store_rows(self, to: *mut u8, stride: usize) {
        // SAFETY: the caller's.
        unsafe {
            let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
            let rows = _mm512_permutexvar_epi64(order, self.0);
            _mm256_storeu_si256(to.cast(), _mm512_castsi512_si256(rows));
            _mm256_storeu_si256(to.add(stride).cast(), _mm512_extracti64x4_epi64::<1>(rows));
        }
    }

    #[inline(always)]
    unsafe fn neighbours16(self, before: Self, after: Self) -> (Self, Self) {
        // SAFETY: the caller's; the lists have 32 indices.
        unsafe {
            let left = _mm512_loadu_si512(LEFT.as_ptr().cast());
            let right = _mm512_loadu_si512(RIGHT.as_ptr().cast());
            (
                Self(_mm512_permutex2var_epi16(before.0, left, self.0)),
                Self(_mm512_permutex2var_epi16(self.0, right, after.0)),
            )
        }
    }

    #[inline(always)]
    unsafe fn store_interleaved(channels: [Self; 3], to: *mut u8) {
        // SAFETY: the caller's; the lists have 64 indices.
        unsafe {
            let [Self(red), Self(green), Self(blue)] = channels;
            for (part, (pairs, blues)) in PAIRS.iter().zip(&BLUES).enumerate() {
                let pairs = _mm512_loadu_si512(pairs.as_ptr().cast());
                let blues = _mm512_loadu_si512(blues.as_ptr().cast());
                let out = _mm512_permutex2var_epi8(red, pairs, green);
                let out = _mm512_mask_permutexvar_epi8(out, BLUE[part], blues, blue);
                _mm512_storeu_si512(to.add(64 * part).cast(), out);
            }
        }
    }
}

/// Indices 31 to 62 into two vectors of 16-bit integers, and 1 to 32.
static LEFT: [u16; 32] = count_from(31);
static RIGHT: [u16; 32] = count_from(1);

const fn count_from(first: u16) -> [u16; 32] {
    let mut indices = [0; 32];
    let mut i = 0;
    while i < 32 {
        indices[i] = first + i as u16;
        i += 1;
    }
    indices
}

/// For each third of 64 interleaved pixels, the index of red, or of green plus 64.
static PAIRS: [[u8; 64]; 3] = interleaved([0, 64, 0]);
/// And that of blue.
static BLUES: [[u8; 64]; 3] = interleaved([0; 3]);
/// Which bytes of each third are blue.
static BLUE: [u64; 3] = {
    let mut masks = [0; 3];
    let mut at = 2;
    while at < 192 {
        masks[at / 64] |= 1 << (at % 64);
        at += 3;
    }
    masks
};

const fn interleaved(add: [u8; 3]) -> [[u8; 64]; 3] {
    let mut indices = [[0; 64]; 3];
    let mut at = 0;
    while at < 192 {
        let pixel = at / 3;
        indices[at / 64][at % 64] = (pixel / 16 * 16) as u8 + place(pixel % 16) + add[at % 3];
        at += 1;
    }
    indices
}
