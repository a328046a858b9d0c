//! Pillow's blend, and its conversion of floats to bytes.

/// `t` truncated and clamped to 0..=255; NaN gives 0.
///
/// `t as u8` means the same, but compilers do not vectorise it.
#[inline(always)]
pub fn byte(t: f32) -> u8 {
    let t = if t > 0.0 { t } else { 0.0 };
    let t = if t < 255.0 { t } else { 255.0 };
    // SAFETY: `t` is from 0 to 255.
    unsafe { t.to_int_unchecked::<i32>() as u8 }
}

/// Pillow's blend (`ImagingBlend`): `from + alpha * (to - from)` in f32, truncated and clamped.
///
/// Pillow clamps only for an `alpha` outside [0, 1]. Inside there is nothing to clamp.
#[derive(Clone, Copy, Debug)]
pub struct Blend {
    alpha: f32,
}

impl Blend {
    /// Blends with `alpha`, which may be infinite.
    #[inline(always)]
    #[expect(clippy::manual_clamp, reason = "`clamp` leaves NaN, these give a bound")]
    pub fn new(alpha: f32) -> Self {
        // With more, too, every difference ends at 0 or 255.
        Self { alpha: alpha.max(-1024.0).min(1024.0) }
    }

    /// The blend of two values.
    #[inline(always)]
    pub fn of(self, from: u8, to: u8) -> u8 {
        let t = f32::from(from) + self.alpha * (i32::from(to) - i32::from(from)) as f32;
        // SAFETY: `t` is less than 2^19, since `alpha` is at most 1024.
        let t = unsafe { t.to_int_unchecked::<i32>() };
        // Compilers make one instruction of this and of putting bytes together.
        t.clamp(0, 255) as u8
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn large_factors_are_pillows(
            alpha in prop_oneof![-3f32..3.0, -2000f32..2000.0, any::<f32>()],
            from: u8,
            to: u8,
        ) {
            prop_assume!(!alpha.is_nan());
            let difference = f32::from(to) - f32::from(from);
            let expected = if difference == 0.0 { from } else {
                byte(f32::from(from) + alpha * difference)
            };
            prop_assert_eq!(Blend::new(alpha).of(from, to), expected);
        }
    }
}
