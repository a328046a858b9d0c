//! The numbers that bytes are combined with, for all versions of the arithmetic.

/// The number of elements that are made at once: whole pixels of three channels, in whole
/// registers.
pub const STEP: usize = 24;

/// The type of the elements.
#[derive(Clone, Copy, Debug)]
pub enum Element {
    F32,
    F16,
    Bf16,
}

/// The numbers that the bytes of a step are combined with.
#[derive(Clone, Debug)]
pub struct Constants {
    pub mean: [f32; STEP],
    /// The reciprocal of the standard deviation, in two parts.
    pub scale: [[f32; STEP]; 2],
}

/// 1 / b as the sum of two numbers.
pub fn reciprocal(b: f32) -> [f32; 2] {
    let exact = 1.0 / f64::from(b);
    let near = exact as f32;
    [near, (exact - f64::from(near)) as f32]
}
