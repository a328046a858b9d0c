//! Planes to coefficients with AVX-512, whose masks are planes, and `pdep`.

use std::arch::x86_64::*;

use super::codebook::BLOCK;
use super::planes::{Instructions, Planes};

/// AVX-512 and a fast `pdep`.
pub(super) struct Avx512;

impl Instructions for Avx512 {
    #[inline(always)]
    unsafe fn deposit(bits: u64, mask: u64) -> u64 {
        // SAFETY: the caller's.
        unsafe { _pdep_u64(bits, mask) }
    }

    #[inline(always)]
    unsafe fn extract(bits: u64, mask: u64) -> u64 {
        // SAFETY: the caller's.
        unsafe { _pext_u64(bits, mask) }
    }

    #[inline(always)]
    unsafe fn coefficients(planes: &Planes, weights: &[u8; BLOCK], out: &mut [i16; BLOCK]) {
        // SAFETY: the caller's; the loads and stores are of whole arrays.
        unsafe {
            let weights = _mm512_loadu_si512(weights.as_ptr().cast());
            let mut sums = _mm512_setzero_si512();
            for plane in planes.unary {
                sums = _mm512_mask_add_epi8(sums, plane, sums, weights);
            }
            for (i, plane) in planes.raw.into_iter().enumerate() {
                sums = _mm512_mask_add_epi8(sums, plane, sums, _mm512_set1_epi8(1 << i));
            }
            let zero = _mm512_setzero_si512();
            sums = _mm512_mask_sub_epi8(sums, planes.negative, zero, sums);
            let halves = [_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums)];
            for (half, out) in halves.into_iter().zip(out.as_chunks_mut::<32>().0) {
                _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_cvtepi8_epi16(half));
            }
        }
    }
}
