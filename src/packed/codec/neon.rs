//! Lanes of NEON, which has no `pdep`.

use std::arch::aarch64::*;

use super::codebook::BLOCK;
use super::lanes::Lanes;

/// Four vectors of 16 coefficients.
#[derive(Clone, Copy)]
pub(super) struct Neon([uint8x16_t; 4]);

impl Neon {
    /// # Safety
    /// The machine has NEON, which `f` may need.
    #[inline(always)]
    unsafe fn zip(self, other: Self, f: impl Fn(uint8x16_t, uint8x16_t) -> uint8x16_t) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Lanes for Neon {
    #[inline(always)]
    unsafe fn load(bytes: &[u8; BLOCK]) -> Self {
        let quarters = bytes.as_chunks::<16>().0;
        // SAFETY: the caller's; arrays of 16 bytes.
        Self(std::array::from_fn(|i| unsafe { vld1q_u8(quarters[i].as_ptr()) }))
    }

    #[inline(always)]
    unsafe fn splat(byte: u8) -> Self {
        // SAFETY: the caller's.
        Self([unsafe { vdupq_n_u8(byte) }; 4])
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.zip(other, |a, b| vandq_u8(a, b)) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.zip(other, |a, b| vorrq_u8(a, b)) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { self.zip(other, |a, b| vaddq_u8(a, b)) }
    }

    #[inline(always)]
    unsafe fn pick(bits: u64, ranks: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            // Bytes 8 to 15 are zero, for rank 64.
            let bits = vcombine_u8(vcreate_u8(bits), vdup_n_u8(0));
            let each = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
            Self(ranks.0.map(|ranks| {
                let byte = vqtbl1q_u8(bits, vshrq_n_u8::<3>(ranks));
                let bit = vqtbl1q_u8(each, vandq_u8(ranks, vdupq_n_u8(7)));
                vtstq_u8(byte, bit)
            }))
        }
    }

    #[inline(always)]
    unsafe fn ranks(self, before: u64) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let before = vsub_u8(vcreate_u8(before), vdup_n_u8(1));
            let before = vcombine_u8(before, before);
            let first = vcombine_u8(vdup_n_u8(0), vdup_n_u8(1));
            Self(std::array::from_fn(|i| {
                // Each lane is 0 or -1, so the sums are negative.
                let sums = add_shifted::<8>(self.0[i]);
                let sums = add_shifted::<16>(sums);
                let sums = add_shifted::<32>(sums);
                let spread = vaddq_u8(first, vdupq_n_u8(2 * i as u8));
                vsubq_u8(vqtbl1q_u8(before, spread), sums)
            }))
        }
    }

    #[inline(always)]
    unsafe fn bits(self) -> u64 {
        // SAFETY: the caller's.
        unsafe {
            let each = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
            let [a, b, c, d] = self.0.map(|quarter| vandq_u8(quarter, each));
            // Sums of two, four and eight neighbours.
            let fours = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
            vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(fours, fours)))
        }
    }

    #[inline(always)]
    unsafe fn store(self, negative: Self, out: &mut [i16; BLOCK]) {
        // SAFETY: the caller's.
        let values = unsafe { self.zip(negative, |sum, sign| vsubq_u8(veorq_u8(sum, sign), sign)) };
        for (quarter, out) in values.0.into_iter().zip(out.as_chunks_mut::<16>().0) {
            // SAFETY: the caller's; an array of 32 bytes.
            unsafe {
                let quarter = vreinterpretq_s8_u8(quarter);
                vst1q_s16(out.as_mut_ptr(), vmovl_s8(vget_low_s8(quarter)));
                vst1q_s16(out.as_mut_ptr().add(8), vmovl_high_s8(quarter));
            }
        }
    }
}

/// Adds to each group of eight lanes the same, `BITS` bits further up.
///
/// # Safety
/// The machine has NEON.
#[inline(always)]
unsafe fn add_shifted<const BITS: i32>(lanes: uint8x16_t) -> uint8x16_t {
    // SAFETY: the caller's.
    unsafe {
        let shifted = vshlq_n_u64::<BITS>(vreinterpretq_u64_u8(lanes));
        vaddq_u8(lanes, vreinterpretq_u8_u64(shifted))
    }
}
