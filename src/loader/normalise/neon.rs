//! Normalisation with NEON: eight elements at a time.
//!
//! There are no streaming stores. ARM has a pair of them (`stnp`), but they are a hint only, and
//! its cores don't need it: when a thread writes whole cache lines one after the other, as here,
//! they stop reading those lines first and stop filling the caches with them.

use std::arch::aarch64::*;
use std::arch::asm;
use std::array::from_fn;
use std::mem::transmute;

use super::constants::{Arithmetic, Constants, Element, STEP, reciprocal};

/// As [`super::Normalise::write`].
#[target_feature(enable = "neon")]
pub fn write(
    (element, arithmetic): (Element, Arithmetic),
    constants: &Constants,
    bytes: &[u8],
    out: &mut [u8],
) {
    match (element, arithmetic) {
        (Element::F32, _) => quotients(constants, bytes, out, |v| f32_bytes(v)),
        (Element::F16, Arithmetic::Quotients) => quotients(constants, bytes, out, |v| f16_bytes(v)),
        (Element::F16, Arithmetic::Line) => line(constants, bytes, out, |v| f16_bytes(v)),
        (Element::Bf16, Arithmetic::Quotients) => {
            quotients(constants, bytes, out, |v| bf16_bytes(v));
        }
        (Element::Bf16, Arithmetic::Line) => line(constants, bytes, out, |v| bf16_bytes(v)),
    }
}

/// Normalises eight bytes for each `SIZE` bytes of `out`, and lets `round` make those.
#[inline]
#[target_feature(enable = "neon")]
fn quotients<const SIZE: usize>(
    constants: &Constants,
    bytes: &[u8],
    out: &mut [u8],
    round: impl Fn([float32x4_t; 2]) -> [u8; SIZE],
) {
    let byte = reciprocal(255.0).map(|part| vdupq_n_f32(part));
    let mean = registers(&constants.mean);
    let scale = [registers(&constants.scale[0]), registers(&constants.scale[1])];
    each(bytes, out, |floats, k| {
        round(from_fn(|half| {
            let (v, k) = (floats[half], 2 * k + half);
            let v = vfmaq_f32(vmulq_f32(v, byte[1]), v, byte[0]);
            let v = vsubq_f32(v, mean[k]);
            vfmaq_f32(vmulq_f32(v, scale[1][k]), v, scale[0][k])
        }))
    });
}

/// As [`quotients`], with [`Arithmetic::Line`].
#[inline]
#[target_feature(enable = "neon")]
fn line<const SIZE: usize>(
    constants: &Constants,
    bytes: &[u8],
    out: &mut [u8],
    round: impl Fn([float32x4_t; 2]) -> [u8; SIZE],
) {
    let [slope, offset] = [registers(&constants.line[0]), registers(&constants.line[1])];
    each(bytes, out, |floats, k| {
        round(from_fn(|half| {
            let k = 2 * k + half;
            vfmaq_f32(offset[k], floats[half], slope[k])
        }))
    });
}

/// Calls `make` with eight bytes, as floats, and their number in the step for each `SIZE` bytes of
/// `out`.
#[inline]
#[target_feature(enable = "neon")]
fn each<const SIZE: usize>(
    bytes: &[u8],
    out: &mut [u8],
    make: impl Fn([float32x4_t; 2], usize) -> [u8; SIZE],
) {
    let (eights, _) = out.as_chunks_mut::<SIZE>();
    let (steps, rest) = bytes.as_chunks::<STEP>();
    assert!(rest.is_empty() && 8 * eights.len() == bytes.len(), "a chunk for eight bytes");
    for (bytes, out) in steps.iter().zip(eights.as_chunks_mut::<3>().0) {
        for (k, (bytes, out)) in bytes.as_chunks().0.iter().zip(out).enumerate() {
            *out = make(floats(bytes), k);
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn registers(numbers: &[f32; STEP]) -> [float32x4_t; 6] {
    // SAFETY: a chunk is the four numbers that are read.
    from_fn(|k| unsafe { vld1q_f32(numbers.as_chunks::<4>().0[k].as_ptr()) })
}

/// Eight bytes as floats. A look-up puts a byte and three bytes of a constant together, which is a
/// float: `0x4b0000bb` is 2^23 + `bb`. So there is no widening step by step.
#[inline]
#[target_feature(enable = "neon")]
fn floats(bytes: &[u8; 8]) -> [float32x4_t; 2] {
    let offset = vdupq_n_f32((1 << 23) as f32);
    // SAFETY: the eight bytes that are read.
    let bytes = unsafe { vld1_u8(bytes.as_ptr()) };
    let bytes = vcombine_u8(bytes, vget_low_u8(vreinterpretq_u8_f32(offset)));
    [0, 4].map(|first| {
        let index: [u8; 16] =
            from_fn(|i| if i % 4 == 0 { first + i as u8 / 4 } else { 8 + i as u8 % 4 });
        // SAFETY: 16 bytes on both sides, and all values are valid.
        let index = unsafe { transmute::<[u8; 16], uint8x16_t>(index) };
        vsubq_f32(vreinterpretq_f32_u8(vqtbl1q_u8(bytes, index)), offset)
    })
}

#[inline]
#[target_feature(enable = "neon")]
fn f32_bytes(v: [float32x4_t; 2]) -> [u8; 32] {
    // SAFETY: 32 bytes on both sides, and all values are valid.
    unsafe { transmute(v) }
}

/// Rounded to nearest even.
#[inline]
#[target_feature(enable = "neon")]
fn f16_bytes([a, b]: [float32x4_t; 2]) -> [u8; 16] {
    let halves: uint16x8_t;
    // SAFETY: every NEON has these instructions, and only a register changes. The intrinsics are
    // younger than the oldest Rust that the crate supports. A register has 16 bytes, and all values
    // are valid.
    unsafe {
        asm!(
            "fcvtn {halves:v}.4h, {a:v}.4s",
            "fcvtn2 {halves:v}.8h, {b:v}.4s",
            halves = out(vreg) halves,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
        transmute(halves)
    }
}

/// Rounded to nearest, and halves away from zero rather than to even. Halves are rare, and where
/// this makes a difference, the comparison with the table fails. With NaN it fails as well.
#[inline]
#[target_feature(enable = "neon")]
fn bf16_bytes([a, b]: [float32x4_t; 2]) -> [u8; 16] {
    let low = vrshrn_n_u32::<16>(vreinterpretq_u32_f32(a));
    let both = vrshrn_high_n_u32::<16>(low, vreinterpretq_u32_f32(b));
    // SAFETY: 16 bytes on both sides, and all values are valid.
    unsafe { transmute(both) }
}
