//! Normalisation with AVX2, FMA and F16C: eight elements at a time.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::constants::{Arithmetic, Constants, Element, STEP, reciprocal};

/// As [`super::Normalise::write`].
#[target_feature(enable = "avx2,fma,f16c")]
pub fn write(
    kind: (Element, Arithmetic),
    constants: &Constants,
    bytes: &[u8],
    streaming: bool,
    out: &mut [u8],
) {
    match kind.0 {
        Element::F32 => {
            let out = registers_of(out);
            quotients(constants, bytes, out, |to, v| {
                store_256(to, _mm256_castps_si256(v), streaming);
            });
        }
        Element::F16 => {
            let out = registers_of(out);
            let store = |to: &mut __m128i, v| store_128(to, to_f16(v), streaming);
            match kind.1 {
                Arithmetic::Quotients => quotients(constants, bytes, out, store),
                Arithmetic::Line => line(constants, bytes, out, store),
            }
        }
        Element::Bf16 => {
            let out = registers_of(out);
            match kind.1 {
                Arithmetic::Quotients => quotients(constants, bytes, out, |to, v| {
                    store_128(to, to_bf16(v), streaming);
                }),
                Arithmetic::Line => line(constants, bytes, out, |to, v| {
                    store_128(to, to_bf16_half_up(v), streaming);
                }),
            }
        }
    }
}

/// Orders streaming stores before all later stores of this thread.
pub fn fence() {
    // SAFETY: every x86-64 has SSE.
    unsafe { _mm_sfence() };
}

/// The registers of type `R` that `out` consists of.
pub fn registers_of<R: Register>(out: &mut [u8]) -> &mut [R] {
    // SAFETY: what `Register` promises.
    let (before, registers, after) = unsafe { out.align_to_mut() };
    assert!(before.is_empty() && after.is_empty(), "the output is not aligned");
    registers
}

/// Vector registers.
///
/// # Safety
/// Any bytes are a valid value, and any value is bytes.
pub unsafe trait Register {}

// SAFETY: registers have no invalid values and no padding.
unsafe impl Register for __m128i {}
// SAFETY: as above.
unsafe impl Register for __m256i {}

/// Normalises eight bytes for each register of `out`, and lets `store` round and write them.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn quotients<R>(
    constants: &Constants,
    bytes: &[u8],
    out: &mut [R],
    store: impl Fn(&mut R, __m256),
) {
    let byte = reciprocal(255.0).map(|part| _mm256_set1_ps(part));
    let mean = registers(&constants.mean);
    let scale = [registers(&constants.scale[0]), registers(&constants.scale[1])];
    each(bytes, out, |out, k, v| {
        let v = _mm256_fmadd_ps(v, byte[0], _mm256_mul_ps(v, byte[1]));
        let v = _mm256_sub_ps(v, mean[k]);
        store(out, _mm256_fmadd_ps(v, scale[0][k], _mm256_mul_ps(v, scale[1][k])));
    });
}

/// As [`quotients`], with [`Arithmetic::Line`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn line<R>(constants: &Constants, bytes: &[u8], out: &mut [R], store: impl Fn(&mut R, __m256)) {
    let [slope, offset] = [registers(&constants.line[0]), registers(&constants.line[1])];
    each(bytes, out, |out, k, v| store(out, _mm256_fmadd_ps(v, slope[k], offset[k])));
}

/// Calls `write` for each register of `out` with its number in the step and its eight bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn each<R>(bytes: &[u8], out: &mut [R], write: impl Fn(&mut R, usize, __m256)) {
    let (steps, rest) = bytes.as_chunks::<STEP>();
    assert!(rest.is_empty() && 8 * out.len() == bytes.len(), "a register for eight bytes");
    for (bytes, out) in steps.iter().zip(out.as_chunks_mut::<3>().0) {
        for (k, (bytes, out)) in bytes.as_chunks().0.iter().zip(out).enumerate() {
            write(out, k, floats(*bytes));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_256(to: &mut __m256i, v: __m256i, streaming: bool) {
    if streaming {
        // SAFETY: `to` is a whole register, aligned, and ours alone.
        unsafe { _mm256_stream_si256(to, v) };
    } else {
        *to = v;
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_128(to: &mut __m128i, v: __m128i, streaming: bool) {
    if streaming {
        // SAFETY: `to` is a whole register, aligned, and ours alone.
        unsafe { _mm_stream_si128(to, v) };
    } else {
        *to = v;
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn registers(numbers: &[f32; STEP]) -> [__m256; 3] {
    // SAFETY: a chunk is the eight numbers that are read.
    from_fn(|k| unsafe { _mm256_loadu_ps(numbers.as_chunks::<8>().0[k].as_ptr()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn floats(bytes: [u8; 8]) -> __m256 {
    let bytes = _mm_cvtsi64_si128(i64::from_ne_bytes(bytes));
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn to_f16(v: __m256) -> __m128i {
    _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)
}

/// To nearest even. NaN is not handled: with it, the comparison with the table fails.
#[inline]
#[target_feature(enable = "avx2")]
fn to_bf16(v: __m256) -> __m128i {
    let bits = _mm256_castps_si256(v);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let bits = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    let upper = _mm256_srli_epi32::<16>(bits);
    _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256::<1>(upper))
}

/// To nearest, and halfway away from zero.
#[inline]
#[target_feature(enable = "avx2")]
fn to_bf16_half_up(v: __m256) -> __m128i {
    let bits = _mm256_add_epi32(_mm256_castps_si256(v), _mm256_set1_epi32(0x8000));
    let upper = _mm256_srli_epi32::<16>(bits);
    _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256::<1>(upper))
}
