//! Both passes with AVX-VNNI's dot products of bytes: four samples per multiplication, in the 256
//! bits of AVX2.
//!
//! [`super::avx512vnni`] has the same in 512 bits.

use std::arch::x86_64::*;

use super::super::coefficients::Coefficients;
use super::buffers::{ByteRows, HorizontalBuffers};
use super::dots256::{Dot, Dots256};
use super::{dots, quads};
use crate::image::ImageRef;

/// As [`super::vertical()`], for rows of at least a vector and groups that are not aligned.
#[target_feature(enable = "avx2,avxvnni")]
pub fn vertical(input: ByteRows<'_>, coefficients: &Coefficients, out: &mut [u8]) {
    // SAFETY: this function's features.
    dots::vertical(unsafe { Dots256::<AvxVnni>::new() }, input, coefficients, out);
}

/// As [`super::horizontal`], for aligned groups.
#[target_feature(enable = "avx2,avxvnni")]
pub fn horizontal(
    source: ImageRef<'_>,
    coefficients: &Coefficients,
    buffers: &mut HorizontalBuffers,
    out: &mut [u8],
) {
    // SAFETY: this function's features.
    let vectors = unsafe { Dots256::<AvxVnni>::new() };
    quads::horizontal(vectors, source, coefficients, &mut buffers.quads8, out);
}

/// The instruction in the encoding of AVX-VNNI.
#[derive(Clone, Copy)]
struct AvxVnni;

impl Dot for AvxVnni {
    #[inline(always)]
    unsafe fn dot(sums: __m256i, bytes: __m256i, digits: __m256i) -> __m256i {
        // SAFETY: the caller's duty.
        unsafe { _mm256_dpbusd_avx_epi32(sums, bytes, digits) }
    }
}
