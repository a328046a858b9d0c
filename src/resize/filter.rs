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

#[inline(always)]
fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}
