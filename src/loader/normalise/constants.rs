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

/// How an element is computed from a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// As two quotients.
    Quotients,
    /// As one product and a sum. Halfway between two bfloat16, rounding may go either way.
    Line,
}

/// The numbers that the bytes of a step are combined with.
#[derive(Clone, Debug)]
pub struct Constants {
    pub mean: [f32; STEP],
    /// The reciprocal of the standard deviation, in two parts.
    pub scale: [[f32; STEP]; 2],
    /// The slope and the offset of the line.
    pub line: [[f32; STEP]; 2],
}

/// The slope and the offset of `(v / 255 - mean) / std`.
pub fn line(mean: f32, std: f32) -> [f32; 2] {
    let (mean, std) = (f64::from(mean), f64::from(std));
    [(1.0 / (255.0 * std)) as f32, (-mean / std) as f32]
}

/// 1 / b as the sum of two numbers.
pub fn reciprocal(b: f32) -> [f32; 2] {
    let exact = 1.0 / f64::from(b);
    let near = exact as f32;
    [near, (exact - f64::from(near)) as f32]
}
