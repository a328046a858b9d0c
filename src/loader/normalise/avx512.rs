//! Normalisation with AVX-512: sixteen elements at a time.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::avx2::{self, Register, registers_of};
use super::constants::{Arithmetic, Constants, Element, STEP, reciprocal};

/// Two steps: whole pixels of three channels, in whole registers.
const STEPS: usize = 2 * STEP;

/// As [`super::Normalise::write`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl")]
pub fn write(
    kind: (Element, Arithmetic),
    constants: &Constants,
    bytes: &[u8],
    streaming: bool,
    out: &mut [u8],
) {
    let whole = bytes.len() / STEPS * STEPS;
    let size = out.len().checked_div(bytes.len()).unwrap_or(0);
    let (bytes, last) = bytes.split_at(whole);
    let (out, last_out) = out.split_at_mut(whole * size);
    match kind {
        (Element::F32, _) => quotients(constants, bytes, registers_of(out), |to, v| {
            store_512(to, _mm512_castps_si512(v), streaming);
        }),
        (Element::F16, Arithmetic::Quotients) => {
            quotients(constants, bytes, registers_of(out), |to, v| {
                store_256(to, to_f16(v), streaming);
            });
        }
        (Element::F16, Arithmetic::Line) => line(constants, bytes, registers_of(out), |to, v| {
            store_256(to, to_f16(v), streaming);
        }),
        (Element::Bf16, Arithmetic::Quotients) => {
            quotients(constants, bytes, registers_of(out), |to, v| {
                store_256(to, to_bf16(v), streaming);
            });
        }
        (Element::Bf16, Arithmetic::Line) => line(constants, bytes, registers_of(out), |to, v| {
            store_256(to, to_bf16_half_up(v), streaming);
        }),
    }
    avx2::write(kind, constants, last, streaming, last_out);
}

// SAFETY: registers have no invalid values and no padding.
unsafe impl Register for __m512i {}

/// Normalises sixteen bytes for each register of `out`, and lets `store` round and write them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn quotients<R>(
    constants: &Constants,
    bytes: &[u8],
    out: &mut [R],
    store: impl Fn(&mut R, __m512),
) {
    let byte = reciprocal(255.0).map(|part| _mm512_set1_ps(part));
    let mean = registers(&constants.mean);
    let scale = [registers(&constants.scale[0]), registers(&constants.scale[1])];
    each(bytes, out, |out, k, v| {
        let v = _mm512_fmadd_ps(v, byte[0], _mm512_mul_ps(v, byte[1]));
        let v = _mm512_sub_ps(v, mean[k]);
        store(out, _mm512_fmadd_ps(v, scale[0][k], _mm512_mul_ps(v, scale[1][k])));
    });
}

/// As [`quotients`], with [`Arithmetic::Line`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn line<R>(constants: &Constants, bytes: &[u8], out: &mut [R], store: impl Fn(&mut R, __m512)) {
    let [slope, offset] = [registers(&constants.line[0]), registers(&constants.line[1])];
    each(bytes, out, |out, k, v| store(out, _mm512_fmadd_ps(v, slope[k], offset[k])));
}

/// Calls `write` for each register of `out` with its number in two steps and its sixteen bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn each<R>(bytes: &[u8], out: &mut [R], write: impl Fn(&mut R, usize, __m512)) {
    let steps = bytes.as_chunks::<STEPS>().0;
    assert_eq!(16 * out.len(), bytes.len(), "a register for sixteen bytes");
    for (bytes, out) in steps.iter().zip(out.as_chunks_mut::<3>().0) {
        for (k, (bytes, out)) in bytes.as_chunks().0.iter().zip(out).enumerate() {
            write(out, k, floats(bytes));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn store_512(to: &mut __m512i, v: __m512i, streaming: bool) {
    if streaming {
        // SAFETY: `to` is a whole register, aligned, and ours alone.
        unsafe { _mm512_stream_si512(to, v) };
    } else {
        *to = v;
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn store_256(to: &mut __m256i, v: __m256i, streaming: bool) {
    if streaming {
        // SAFETY: `to` is a whole register, aligned, and ours alone.
        unsafe { _mm256_stream_si256(to, v) };
    } else {
        *to = v;
    }
}

/// The numbers of two steps.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn registers(numbers: &[f32; STEP]) -> [__m512; 3] {
    from_fn(|k| {
        let numbers: [f32; 16] = from_fn(|i| numbers[(16 * k + i) % STEP]);
        // SAFETY: the sixteen numbers that are read.
        unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
    })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn floats(bytes: &[u8; 16]) -> __m512 {
    // SAFETY: the sixteen bytes that are read.
    let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn to_f16(v: __m512) -> __m256i {
    _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)
}

/// To nearest even. NaN is not handled: with it, the comparison with the table fails.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn to_bf16(v: __m512) -> __m256i {
    let bits = _mm512_castps_si512(v);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(bits))
}

/// To nearest, and halfway away from zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn to_bf16_half_up(v: __m512) -> __m256i {
    let bits = _mm512_add_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(0x8000));
    _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(bits))
}
