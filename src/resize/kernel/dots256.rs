//! Dot products of bytes in 256 bits, whatever the encoding of the instruction.

use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::mem::transmute;

use super::super::coefficients::{Coefficients, Digits, PRECISION_BITS};
use super::avx2;
use super::buffers::HALF;
use super::dots::Interleave;
use super::quads::{Lane, Rows8, Vectors};

/// An encoding of the instruction.
pub trait Dot: Copy {
    /// Adds to each of eight sums the products of four bytes and four signed bytes.
    ///
    /// # Safety
    /// The machine has AVX2 and the instruction.
    unsafe fn dot(sums: __m256i, bytes: __m256i, digits: __m256i) -> __m256i;
}

/// The vector instructions of both passes.
#[derive(Clone, Copy)]
pub struct Dots256<D>(PhantomData<D>);

impl<D: Dot> Dots256<D> {
    /// # Safety
    /// The machine has AVX2 and the instruction of `D`.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

impl<D: Dot> Vectors for Dots256<D> {
    const ROWS: usize = 8;
    type Rows = Rows8;
    type Weights = Digits;
    type Sums = [__m256i; 3];
    type Column = __m256i;
    type Pair = __m256i;
    type Lanes = [Lane; 8];

    #[inline(always)]
    fn weights(coefficients: &Coefficients) -> &[Digits] {
        coefficients.all_groups()
    }

    #[inline(always)]
    fn quad(self, lanes: &[&Lane; 16]) -> [Rows8; 3] {
        // SAFETY: `self` proves that the machine has AVX2.
        unsafe { avx2::quad(lanes, [0, 1, 2, 3]) }
    }

    #[inline(always)]
    fn start(self, _: i32) -> [__m256i; 3] {
        // SAFETY: as above.
        unsafe { [_mm256_set1_epi32(HALF), _mm256_setzero_si256(), _mm256_setzero_si256()] }
    }

    #[inline(always)]
    fn add(self, [low, middle, high]: [__m256i; 3], rows: &Rows8, digits: &Digits) -> [__m256i; 3] {
        let [low_digits, middle_digits, high_digits] =
            digits.map(|digit| i32::from_ne_bytes(digit.map(|digit| digit as u8)));
        // SAFETY: as above, and the instruction of `D`. 32 bytes on both sides, and all values are
        // valid.
        unsafe {
            let bytes = transmute::<[u8; 32], __m256i>(rows.0);
            [
                D::dot(low, bytes, _mm256_set1_epi32(low_digits)),
                D::dot(middle, bytes, _mm256_set1_epi32(middle_digits)),
                D::dot(high, bytes, _mm256_set1_epi32(high_digits)),
            ]
        }
    }

    /// `(low + (middle << 8) + (high << 16)) >> 22`.
    #[inline(always)]
    fn finish(self, [low, middle, high]: [__m256i; 3]) -> __m256i {
        // SAFETY: as above.
        unsafe {
            let upper = _mm256_add_epi32(middle, _mm256_slli_epi32::<8>(high));
            let sum = _mm256_add_epi32(low, _mm256_slli_epi32::<8>(upper));
            _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(sum)
        }
    }

    #[inline(always)]
    fn pair(self, first: __m256i, second: __m256i) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_packs_epi32(first, second) }
    }

    #[inline(always)]
    fn four(self, first: __m256i, second: __m256i) -> Rows8 {
        // SAFETY: as above.
        unsafe { avx2::to_bytes(first, second) }
    }

    #[inline(always)]
    fn to_rows(self, columns: [&Rows8; 4]) -> [Lane; 8] {
        // SAFETY: as above.
        unsafe { avx2::to_rows(columns) }
    }
}

impl<D: Dot> Interleave for Dots256<D> {
    #[inline(always)]
    fn columns(self, rows: [&[u8]; 4]) -> [Rows8; 4] {
        // SAFETY: as above.
        unsafe { columns(rows) }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn columns([a, b, c, d]: [&[u8]; 4]) -> [Rows8; 4] {
    let (a, b, c, d) = (load(a), load(b), load(c), load(d));
    let (low, high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
    let (low2, high2) = (_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d));
    let columns = [
        _mm256_unpacklo_epi16(low, low2),
        _mm256_unpackhi_epi16(low, low2),
        _mm256_unpacklo_epi16(high, high2),
        _mm256_unpackhi_epi16(high, high2),
    ];
    // SAFETY: 128 bytes on both sides, and all values are valid.
    unsafe { transmute(columns) }
}

/// The first 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8]) -> __m256i {
    let block: &[u8; 32] = bytes.first_chunk().expect("a row has at least a block");
    // SAFETY: 32 bytes on both sides, and all values are valid.
    unsafe { transmute(*block) }
}

#[cfg(test)]
mod tests {
    use super::super::super::axis::Axis;
    use super::super::super::coefficients::GROUP;
    use super::super::super::filter::Filter;
    use super::super::buffers::{ByteRows, HorizontalBuffers};
    use super::super::{dots, portable, quads, transposed};
    use super::*;
    use crate::image::ImageRef;
    use crate::simd::Simd;

    /// The instruction in the encoding of AVX-512, which has the same results. More machines have
    /// it than have AVX-VNNI.
    #[derive(Clone, Copy)]
    struct Evex;

    impl Dot for Evex {
        #[inline(always)]
        unsafe fn dot(sums: __m256i, bytes: __m256i, digits: __m256i) -> __m256i {
            // SAFETY: the caller's duty.
            unsafe { _mm256_dpbusd_epi32(sums, bytes, digits) }
        }
    }

    #[test]
    fn equals_portable() {
        let has_evex =
            is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl");
        if !(has_evex && is_x86_feature_detected!("avx2")) {
            return;
        }
        // SAFETY: detected above.
        let vectors = unsafe { Dots256::<Evex>::new() };
        let pixels = |i: usize| (i * i * 31 % 257).min(255) as u8;
        for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            for (rows, input, output) in [(9, 50, 22), (1, 7, 3), (33, 333, 40), (17, 20, 61)] {
                let mut coefficients = Coefficients::default();
                let axis = Axis::whole(input, output, rows == 9);
                let data: Vec<u8> = (0..rows * input as usize * 3).map(pixels).collect();
                coefficients.compute(filter, axis, GROUP);
                coefficients.compute_digits();
                let image = ImageRef::new(input, rows as u32, &data);
                let mut buffers = HorizontalBuffers::default();
                let mut expected = vec![0; 3 * rows * output as usize];
                let mut actual = expected.clone();
                let simd = Simd::PORTABLE;
                transposed::horizontal(simd, image, &coefficients, &mut buffers, &mut expected);
                let eight = &mut buffers.quads8;
                quads::horizontal(vectors, image, &coefficients, eight, &mut actual);
                assert_eq!(actual, expected, "{filter:?} {rows} {input} {output}");

                coefficients.compute(filter, axis, 1);
                coefficients.compute_digits();
                let width = 32 + rows;
                let data: Vec<u8> = (0..width * input as usize).map(pixels).collect();
                let input = ByteRows { data: &data, stride: width, width };
                let mut expected = vec![0; width * output as usize];
                let mut actual = expected.clone();
                portable::vertical(input, &coefficients, &mut expected);
                dots::vertical(vectors, input, &coefficients, &mut actual);
                assert_eq!(actual, expected, "{filter:?} {rows} {output}");
            }
        }
    }
}
