//! ARM's dot products of bytes.
//!
//! The intrinsics for them are not stable, so each is one instruction in assembly.

use std::arch::aarch64::{int32x4_t, uint8x16_t};
use std::arch::asm;

/// An instruction that multiplies four adjacent bytes by signed bytes and adds the products to an
/// i32.
pub trait Dot: Copy {
    /// What is subtracted from bytes, so that the instruction can take them.
    const BIAS: u8;

    /// Adds four products to each of four sums.
    ///
    /// # Safety
    /// The machine must have the instruction.
    unsafe fn dot(sums: int32x4_t, bytes: uint8x16_t, digits: [i8; 4]) -> int32x4_t;
}

/// Signed by signed bytes, from the extension `dotprod`.
#[derive(Clone, Copy)]
pub struct Sdot;

/// Unsigned by signed bytes, from the extension `i8mm`.
#[derive(Clone, Copy)]
pub struct Usdot;

impl Dot for Sdot {
    const BIAS: u8 = 128;

    #[inline]
    unsafe fn dot(mut sums: int32x4_t, bytes: uint8x16_t, digits: [i8; 4]) -> int32x4_t {
        // SAFETY: only registers change, and the caller guarantees that the instruction exists.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {bytes:v}.16b, {digits:v}.4b[0]",
                sums = inout(vreg) sums,
                bytes = in(vreg) bytes,
                digits = in(vreg) register(digits),
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
}

impl Dot for Usdot {
    const BIAS: u8 = 0;

    #[inline]
    unsafe fn dot(mut sums: int32x4_t, bytes: uint8x16_t, digits: [i8; 4]) -> int32x4_t {
        // SAFETY: as above.
        unsafe {
            asm!(
                ".arch_extension i8mm",
                "usdot {sums:v}.4s, {bytes:v}.16b, {digits:v}.4b[0]",
                sums = inout(vreg) sums,
                bytes = in(vreg) bytes,
                digits = in(vreg) register(digits),
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
}

/// As a number that is loaded into a vector register, and not by way of another register.
#[inline]
fn register(digits: [i8; 4]) -> f32 {
    f32::from_ne_bytes(digits.map(|digit| digit as u8))
}
