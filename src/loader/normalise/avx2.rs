//! Normalisation with AVX2, FMA and F16C: eight elements at a time.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::constants::{Constants, Element, STEP, reciprocal};

/// As [`super::Normalise::write`].
#[target_feature(enable = "avx2,fma,f16c")]
pub fn write(
    element: Element,
    constants: &Constants,
    bytes: &[u8],
    streaming: bool,
    out: &mut [u8],
) {
    // SAFETY, for each `align_to_mut`: any bytes are a register, and a register is any bytes.
    match element {
        Element::F32 => {
            // SAFETY: as above.
            let out = whole(unsafe { out.align_to_mut() });
            each(constants, bytes, out, |to, v| store_256(to, _mm256_castps_si256(v), streaming));
        }
        Element::F16 => {
            // SAFETY: as above.
            let out = whole(unsafe { out.align_to_mut() });
            each(constants, bytes, out, |to, v| store_128(to, to_f16(v), streaming));
        }
        Element::Bf16 => {
            // SAFETY: as above.
            let out = whole(unsafe { out.align_to_mut() });
            each(constants, bytes, out, |to, v| store_128(to, to_bf16(v), streaming));
        }
    }
}

/// Orders streaming stores before all later stores of this thread.
pub fn fence() {
    // SAFETY: every x86-64 has SSE.
    unsafe { _mm_sfence() };
}

/// The registers of an output that consists of nothing else.
fn whole<'a, R>((before, out, after): (&mut [u8], &'a mut [R], &mut [u8])) -> &'a mut [R] {
    assert!(before.is_empty() && after.is_empty(), "the output is not aligned");
    out
}

/// Normalises eight bytes for each register of `out`, and lets `store` round and write them.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn each<R>(constants: &Constants, bytes: &[u8], out: &mut [R], store: impl Fn(&mut R, __m256)) {
    let (steps, rest) = bytes.as_chunks::<STEP>();
    assert!(rest.is_empty() && 8 * out.len() == bytes.len(), "a register for eight bytes");
    let byte = reciprocal(255.0).map(|part| _mm256_set1_ps(part));
    let mean = registers(&constants.mean);
    let scale = [registers(&constants.scale[0]), registers(&constants.scale[1])];
    for (bytes, out) in steps.iter().zip(out.as_chunks_mut::<3>().0) {
        for (k, (bytes, out)) in bytes.as_chunks().0.iter().zip(out).enumerate() {
            let v = floats(*bytes);
            let v = _mm256_fmadd_ps(v, byte[0], _mm256_mul_ps(v, byte[1]));
            let v = _mm256_sub_ps(v, mean[k]);
            store(out, _mm256_fmadd_ps(v, scale[0][k], _mm256_mul_ps(v, scale[1][k])));
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
