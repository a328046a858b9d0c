//! Planes to coefficients with AVX2 and `pdep`.

use std::arch::x86_64::*;

use super::codebook::BLOCK;
use super::planes::{Instructions, Planes};

/// AVX2 and a fast `pdep`.
pub(super) struct Bmi2;

impl Instructions for Bmi2 {
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
        // SAFETY: the caller's.
        unsafe { coefficients(planes, weights, out) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn coefficients(planes: &Planes, weights: &[u8; BLOCK], out: &mut [i16; BLOCK]) {
    // The unary digits counted in binary, which takes a plane less.
    let [a, b, c, d] = planes.unary;
    let wide = planes.raw[2] | planes.raw[3] | planes.raw[4] != 0;
    let halves = weights.as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<32>().0);
    for (half, (weights, out)) in halves.enumerate() {
        let lanes = |plane: u64| lanes((plane >> (32 * half)) as u32);
        // SAFETY: an array of 32 bytes.
        let weights = unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) };
        let mut sums = _mm256_setzero_si256();
        let mut weight = weights;
        for plane in [a ^ b ^ c ^ d, b & !d, d] {
            sums = _mm256_add_epi8(sums, _mm256_and_si256(lanes(plane), weight));
            weight = _mm256_add_epi8(weight, weight);
        }
        let mut add = |i: usize| {
            let bit = _mm256_set1_epi8(1 << i);
            sums = _mm256_add_epi8(sums, _mm256_and_si256(lanes(planes.raw[i]), bit));
        };
        add(0);
        add(1);
        if wide {
            (2..planes.raw.len()).for_each(add);
        }
        let negative = lanes(planes.negative);
        let values = _mm256_sub_epi8(_mm256_xor_si256(sums, negative), negative);
        let quarters = [_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values)];
        for (quarter, out) in quarters.into_iter().zip(out.as_chunks_mut::<16>().0) {
            // SAFETY: an array of 32 bytes.
            unsafe {
                _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_cvtepi8_epi16(quarter));
            }
        }
    }
}

/// Bytes of ones where a bit is set.
#[inline]
#[target_feature(enable = "avx2")]
fn lanes(bits: u32) -> __m256i {
    // Every byte of bits goes to eight lanes, and each lane tests its own bit.
    let spread =
        _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
    let each = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits as i32), spread);
    _mm256_cmpeq_epi8(_mm256_and_si256(bytes, each), each)
}
