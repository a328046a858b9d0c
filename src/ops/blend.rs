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
#[inline(always)]
pub fn blend(from: u8, to: u8, alpha: f32) -> u8 {
    byte(f32::from(from) + alpha * (i32::from(to) - i32::from(from)) as f32)
}
