//! The types that the loss is computed in, f32 and f64, and their exponential.
//!
//! The exponential is plain arithmetic, which the compiler vectorises. It does not use FMA, since
//! the result must not depend on the machine's instruction set.
//!
//! `e^x = 2^n * e^r` with `n = round(x / ln 2)`:
//!
//! - Adding `1.5 * 2^(mantissa bits)` rounds `x / ln 2` to an integer and leaves `n` in the low
//!   bits. Shifted into the exponent, it gives `2^n`.
//! - `r = x - n * ln 2`, where ln 2 is the sum of two constants. The first has so few bits that
//!   multiplying it by `n` is exact.
//! - `e^r` is Taylor's polynomial. On `|r| <= ln(2) / 2` its remainder is under a tenth of an ulp.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

use half::{bf16, f16};

use super::convert::Convert;

/// f32 or f64: a type that rows of every dtype are computed in.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + Convert<f16>
    + Convert<bf16>
    + Convert<f32>
    + Convert<f64>
{
    const ZERO: Self;
    const NEG_INFINITY: Self;

    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;

    /// `e^self` for `self <= 0` or NaN, which stays NaN.
    ///
    /// Within 2 ulp where the result is a normal number, 0 where it would be subnormal.
    fn exp_of_negative(self) -> Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn exp_of_negative(self) -> Self {
        const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
        const HIGH: f32 = 355.0 / 512.0;
        const LOW: f32 = (std::f64::consts::LN_2 - 355.0 / 512.0) as f32;
        const SMALLEST: f32 = -87.0; // e^-87 = 2^-125.5
        // Not `max`, which drops a NaN.
        let x = if self < SMALLEST { SMALLEST } else { self };
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = (x - n * HIGH) - n * LOW;
        let mut tail = 1.0 / 5040.0;
        for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
            tail = tail * r + coefficient;
        }
        let power = Self::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
        let value = (r * r * tail + r + 1.0) * power;
        if self < SMALLEST { 0.0 } else { value }
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const NEG_INFINITY: Self = Self::NEG_INFINITY;

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn exp_of_negative(self) -> Self {
        const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
        const HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000); // ln 2, its first 33 bits
        const LOW: f64 = 1.908_214_929_270_587_7e-10; // ln 2 - HIGH
        const SMALLEST: f64 = -708.0; // e^-708 = 2^-1021.4
        let x = if self < SMALLEST { SMALLEST } else { self };
        let shifted = x * std::f64::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = (x - n * HIGH) - n * LOW;
        let mut tail = 1.0 / 6_227_020_800.0; // 1 / 13!
        for coefficient in [
            1.0 / 479_001_600.0,
            1.0 / 39_916_800.0,
            1.0 / 3_628_800.0,
            1.0 / 362_880.0,
            1.0 / 40_320.0,
            1.0 / 5040.0,
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
        ] {
            tail = tail * r + coefficient;
        }
        let power = Self::from_bits((shifted.to_bits() << 52).wrapping_add(1023 << 52));
        let value = (r * r * tail + r + 1.0) * power;
        if self < SMALLEST { 0.0 } else { value }
    }
}

#[cfg(test)]
mod tests {
    use super::Real;

    #[test]
    fn exp_f32_is_within_two_ulp_of_f64() {
        let mut worst = 0f64;
        for i in 0..4_000_000u32 {
            let x = -87.0 * (i as f32 / 4e6);
            let exact = f64::from(x).exp();
            let ulp = f64::from(f32::EPSILON) * 2f64.powi(exact.log2().floor() as i32);
            worst = worst.max((f64::from(x.exp_of_negative()) - exact).abs() / ulp);
        }
        assert!(worst <= 2.0, "{worst} ulp");
    }

    #[test]
    fn exp_f64_is_within_two_ulp_of_the_system() {
        let mut worst = 0u64;
        for i in 0..1_000_000u32 {
            let x = -708.0 * (f64::from(i) / 1e6);
            // The system's own error is under 1 ulp.
            worst = worst.max(x.exp_of_negative().to_bits().abs_diff(x.exp().to_bits()));
        }
        assert!(worst <= 2, "{worst} ulp");
    }

    #[test]
    fn exp_at_the_edges() {
        assert_eq!(0f32.exp_of_negative().to_bits(), 1f32.to_bits());
        assert_eq!(0f64.exp_of_negative().to_bits(), 1f64.to_bits());
        for x in [-87.1, -1e4, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(x.exp_of_negative().to_bits(), 0, "{x}");
        }
        for x in [-708.1, f64::MIN, f64::NEG_INFINITY] {
            assert_eq!(x.exp_of_negative().to_bits(), 0, "{x}");
        }
        assert!(f32::NAN.exp_of_negative().is_nan() && f64::NAN.exp_of_negative().is_nan());
        assert!((-87f32).exp_of_negative().is_normal() && (-708f64).exp_of_negative().is_normal());
    }
}
