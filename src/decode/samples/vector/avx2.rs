//! Vectors of two lanes.

use std::arch::x86_64::*;

use super::{Vector, place};

/// The lanes of two blocks.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx2(__m256i);

impl Vector for Avx2 {
    const BYTES: usize = 32;

    intrinsics! {
        xor = _mm256_xor_si256,
        and = _mm256_and_si256,
        add16 = _mm256_add_epi16,
        sub16 = _mm256_sub_epi16,
        add32 = _mm256_add_epi32,
        sub32 = _mm256_sub_epi32,
        multiply = _mm256_mullo_epi16,
        multiply_rounded = _mm256_mulhrs_epi16,
        dots = _mm256_madd_epi16,
        pack32 = _mm256_packs_epi32,
        pack16 = _mm256_packs_epi16,
        pack_unsigned16 = _mm256_packus_epi16,
        low8 = _mm256_unpacklo_epi8,
        high8 = _mm256_unpackhi_epi8,
        low16 = _mm256_unpacklo_epi16,
        high16 = _mm256_unpackhi_epi16,
        low32 = _mm256_unpacklo_epi32,
        high32 = _mm256_unpackhi_epi32,
        low64 = _mm256_unpacklo_epi64,
        high64 = _mm256_unpackhi_epi64,
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn load_widened(from: *const u8) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast())) })
    }

    #[inline(always)]
    unsafe fn splat16(value: i16) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm256_set1_epi16(value) })
    }

    #[inline(always)]
    unsafe fn splat32(value: i32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm256_set1_epi32(value) })
    }

    #[inline(always)]
    unsafe fn shift_right16<const BITS: u32>(self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm256_sra_epi16(self.0, _mm_cvtsi32_si128(BITS as i32)) })
    }

    #[inline(always)]
    unsafe fn shift_right_logical16<const BITS: u32>(self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm256_srl_epi16(self.0, _mm_cvtsi32_si128(BITS as i32)) })
    }

    #[inline(always)]
    unsafe fn shift_right32<const BITS: u32>(self) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { _mm256_sra_epi32(self.0, _mm_cvtsi32_si128(BITS as i32)) })
    }

    #[inline(always)]
    unsafe fn any(self) -> bool {
        // SAFETY: the caller's.
        unsafe { _mm256_testz_si256(self.0, self.0) == 0 }
    }

    #[inline(always)]
    unsafe fn load_blocks(blocks: &[*const i16], steps: *const i16) -> [Self; 8] {
        // SAFETY: the caller's; all offsets are in blocks of 64 coefficients.
        unsafe {
            let mut rows = [Self(_mm256_setzero_si256()); 8];
            for pair in 0..4 {
                let at = 16 * pair;
                let steps = Self::load(steps.add(at).cast());
                let a = Self::load(blocks[0].add(at).cast()).multiply(steps).0;
                let b = Self::load(blocks[1].add(at).cast()).multiply(steps).0;
                rows[2 * pair] = Self(_mm256_permute2x128_si256::<0x20>(a, b));
                rows[2 * pair + 1] = Self(_mm256_permute2x128_si256::<0x31>(a, b));
            }
            rows
        }
    }

    #[inline(always)]
    unsafe fn store_rows(self, to: *mut u8, stride: usize) {
        // SAFETY: the caller's.
        unsafe {
            let rows = _mm256_permute4x64_epi64::<0b11_01_10_00>(self.0);
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(rows));
            _mm_storeu_si128(to.add(stride).cast(), _mm256_extracti128_si256::<1>(rows));
        }
    }

    #[inline(always)]
    unsafe fn neighbours16(self, before: Self, after: Self) -> (Self, Self) {
        // SAFETY: the caller's.
        unsafe {
            let left = _mm256_permute2x128_si256::<0x21>(before.0, self.0);
            let right = _mm256_permute2x128_si256::<0x21>(self.0, after.0);
            let left = _mm256_alignr_epi8::<14>(self.0, left);
            (Self(left), Self(_mm256_alignr_epi8::<2>(right, self.0)))
        }
    }

    #[inline(always)]
    unsafe fn store_interleaved(channels: [Self; 3], to: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            let mut parts = [_mm256_setzero_si256(); 3];
            for (part, orders) in parts.iter_mut().zip(&INTERLEAVED) {
                for (channel, order) in channels.iter().zip(orders) {
                    let order = _mm256_broadcastsi128_si256(_mm_loadu_si128(order.as_ptr().cast()));
                    *part = _mm256_or_si256(*part, _mm256_shuffle_epi8(channel.0, order));
                }
            }
            let [a, b, c] = parts;
            let out = [
                _mm256_permute2x128_si256::<0x20>(a, b),
                _mm256_blend_epi32::<0xF0>(c, a),
                _mm256_permute2x128_si256::<0x31>(b, c),
            ];
            for (i, part) in out.into_iter().enumerate() {
                _mm256_storeu_si256(to.add(32 * i).cast(), part);
            }
        }
    }
}

/// For each third of 16 interleaved pixels and each channel: the byte of the channel's lane that
/// goes to each place, or 128 if that is another channel's.
static INTERLEAVED: [[[u8; 16]; 3]; 3] = {
    let mut orders = [[[128; 16]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        orders[at / 16][at % 3][at % 16] = place(at / 3);
        at += 1;
    }
    orders
};
