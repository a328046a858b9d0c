//! Lanes of AVX2, for processors whose `pdep` is slow.
//!
//! Without closures: they would not be inlined into the function that has the instructions.

use std::arch::x86_64::*;

use super::codebook::BLOCK;
use super::lanes::Lanes;

/// The first and the last 32 coefficients.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256i, __m256i);

impl Lanes for Avx2 {
    #[inline(always)]
    unsafe fn load(bytes: &[u8; BLOCK]) -> Self {
        let bytes = bytes.as_ptr().cast::<__m256i>();
        // SAFETY: the caller's; an array of 64 bytes.
        unsafe { Self(_mm256_loadu_si256(bytes), _mm256_loadu_si256(bytes.add(1))) }
    }

    #[inline(always)]
    unsafe fn splat(byte: u8) -> Self {
        // SAFETY: the caller's.
        let all = unsafe { _mm256_set1_epi8(byte as i8) };
        Self(all, all)
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm256_and_si256(self.0, other.0), _mm256_and_si256(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm256_or_si256(self.0, other.0), _mm256_or_si256(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm256_add_epi8(self.0, other.0), _mm256_add_epi8(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn pick(bits: u64, ranks: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            // Bytes 8 to 15 are zero, for rank 64.
            let bits = _mm256_broadcastsi128_si256(_mm_cvtsi64_si128(bits as i64));
            Self(pick(bits, ranks.0), pick(bits, ranks.1))
        }
    }

    #[inline(always)]
    unsafe fn ranks(self, before: u64) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let before = _mm_add_epi8(_mm_cvtsi64_si128(before as i64), _mm_set1_epi8(-1));
            let before = _mm256_broadcastsi128_si256(before);
            Self(ranks::<0>(self.0, before), ranks::<4>(self.1, before))
        }
    }

    #[inline(always)]
    unsafe fn bits(self) -> u64 {
        // SAFETY: the caller's.
        let (low, high) = unsafe { (_mm256_movemask_epi8(self.0), _mm256_movemask_epi8(self.1)) };
        u64::from(low as u32) | u64::from(high as u32) << 32
    }

    #[inline(always)]
    unsafe fn store(self, negative: Self, out: &mut [i16; BLOCK]) {
        let out = out.as_mut_ptr().cast::<__m256i>();
        // SAFETY: the caller's; an array of four vectors.
        unsafe {
            store(self.0, negative.0, out);
            store(self.1, negative.1, out.add(2));
        }
    }
}

/// Half of [`Lanes::pick`].
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn pick(bits: __m256i, ranks: __m256i) -> __m256i {
    // SAFETY: the caller's.
    unsafe {
        let each = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
        let place = _mm256_and_si256(_mm256_srli_epi16::<3>(ranks), _mm256_set1_epi8(31));
        let byte = _mm256_shuffle_epi8(bits, place);
        // The shuffle takes the rank modulo 16.
        let bit = _mm256_shuffle_epi8(each, ranks);
        _mm256_cmpeq_epi8(_mm256_and_si256(byte, bit), bit)
    }
}

/// Half of [`Lanes::ranks`], from the group `FIRST` of eight coefficients on. `before` is less by
/// one.
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn ranks<const FIRST: i8>(plane: __m256i, before: __m256i) -> __m256i {
    // SAFETY: the caller's.
    unsafe {
        let groups = _mm256_setr_epi64x(
            0,
            0x0101_0101_0101_0101,
            0x0202_0202_0202_0202,
            0x0303_0303_0303_0303,
        );
        let groups = _mm256_add_epi8(groups, _mm256_set1_epi8(FIRST));
        // Each lane is 0 or -1, so the sums are negative.
        let sums = _mm256_add_epi8(plane, _mm256_slli_epi64::<8>(plane));
        let sums = _mm256_add_epi8(sums, _mm256_slli_epi64::<16>(sums));
        let sums = _mm256_add_epi8(sums, _mm256_slli_epi64::<32>(sums));
        _mm256_sub_epi8(_mm256_shuffle_epi8(before, groups), sums)
    }
}

/// Half of [`Lanes::store`].
///
/// # Safety
/// The machine has AVX2, and `out` has two vectors.
#[inline(always)]
unsafe fn store(sums: __m256i, negative: __m256i, out: *mut __m256i) {
    // SAFETY: the caller's.
    unsafe {
        let values = _mm256_sub_epi8(_mm256_xor_si256(sums, negative), negative);
        _mm256_storeu_si256(out, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(values)));
        let high = _mm256_extracti128_si256::<1>(values);
        _mm256_storeu_si256(out.add(1), _mm256_cvtepi8_epi16(high));
    }
}
