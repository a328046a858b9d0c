//! Pillow's resampling filters: their names and their weights.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// Pillow's resampling filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// The mean of the covered pixels.
    Box,
    /// A triangle.
    Bilinear,
    /// A Hamming window.
    Hamming,
    /// Keys' cubic with a = -0.5.
    Bicubic,
    /// Lanczos with three lobes.
    Lanczos,
}

impl Filter {
    /// All filters, in the order of Pillow's documentation.
    pub const ALL: [Self; 6] =
        [Self::Nearest, Self::Box, Self::Bilinear, Self::Hamming, Self::Bicubic, Self::Lanczos];

    /// The name in timm and Pillow, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Box => "box",
            Self::Bilinear => "bilinear",
            Self::Hamming => "hamming",
            Self::Bicubic => "bicubic",
            Self::Lanczos => "lanczos",
        }
    }

    /// How many pixels of the output it reaches to each side.
    pub(super) fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The filter called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.name() == name)
    }
}

// The weight of a pixel at distance `x`, in pixels of the output. Rounding depends on the order of
// the operations, which is Pillow's.

#[inline(always)]
pub(super) fn square(x: f64) -> f64 {
    f64::from(u8::from(x > -0.5 && x <= 0.5))
}

#[inline(always)]
pub(super) fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

#[inline(always)]
pub(super) fn hamming(x: f64) -> f64 {
    match x.abs() {
        0.0 => 1.0,
        x if x >= 1.0 => 0.0,
        // Pillow's constants are single precision.
        x => sinc(x) * (f64::from(0.54f32) + f64::from(0.46f32) * (x * PI).cos()),
    }
}

/// Computes both pieces and selects one, since a loop without branches vectorises.
#[inline(always)]
pub(super) fn bicubic(x: f64) -> f64 {
    let x = x.abs();
    let inner = (1.5 * x - 2.5) * x * x + 1.0;
    let outer = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5;
    let outer = if x < 2.0 { outer } else { 0.0 };
    if x < 1.0 { inner } else { outer }
}

#[inline(always)]
pub(super) fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

/// `lanczos` to within 1e-12, without a call: its sines are polynomials, which vectorise.
///
/// With `s = sin(pi x / 3)`, `sin(pi x)` is `3 s - 4 s^3`.
#[inline(always)]
pub(super) fn nearly_lanczos(x: f64) -> f64 {
    /// Adding and subtracting it rounds to an integer.
    const INTEGER: f64 = (3u64 << 51) as f64;
    let third = x / 3.0;
    // The sine of at most half of pi, which differs from `s` at most in its sign.
    let angle = (third - ((third + INTEGER) - INTEGER)) * PI;
    let square = angle * angle;
    // Taylor's series up to the power 19.
    let mut sine = 1.0;
    for power in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        sine = 1.0 - sine * (square / (power * (power - 1.0)));
    }
    let sine = sine * angle;
    let product = sine * sine * (3.0 - 4.0 * sine * sine);
    let weight = 3.0 * product / (x * PI * (x * PI));
    let weight = if x == 0.0 { 1.0 } else { weight };
    if (-3.0..3.0).contains(&x) { weight } else { 0.0 }
}

#[inline(always)]
fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}
