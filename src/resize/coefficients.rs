//! The weights of an antialiased resize along one axis, as Pillow computes them
//! (`precompute_coeffs` and `normalize_coeffs_8bpc` in `libImaging/Resample.c`, Pillow 13.0).

use std::f64::consts::PI;

/// Bits behind the point of a weight.
pub const PRECISION_BITS: u32 = 22;

/// Pillow's resampling filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// All filters, in the order of their names' appearance in Pillow's documentation.
    pub const ALL: [Self; 6] =
        [Self::Nearest, Self::Box, Self::Bilinear, Self::Hamming, Self::Bicubic, Self::Lanczos];

    /// The name that timm's and Pillow's users know.
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

    /// The filter of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.name() == name)
    }
}

// The weights at distance `x`. The order of the operations is Pillow's: rounding depends on it.

fn square(x: f64) -> f64 {
    f64::from(u8::from(x > -0.5 && x <= 0.5))
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

fn hamming(x: f64) -> f64 {
    match x.abs() {
        0.0 => 1.0,
        x if x >= 1.0 => 0.0,
        // Pillow's constants are single precision.
        x => sinc(x) * (f64::from(0.54f32) + f64::from(0.46f32) * (x * PI).cos()),
    }
}

/// Both pieces always, so that compilers find no branch to predict.
fn bicubic(x: f64) -> f64 {
    let x = x.abs();
    let inner = (1.5 * x - 2.5) * x * x + 1.0;
    let outer = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5;
    let outer = if x < 2.0 { outer } else { 0.0 };
    if x < 1.0 { inner } else { outer }
}

fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

/// Which input samples make an output sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// The first input sample.
    pub start: usize,
    /// How many input samples.
    pub len: usize,
    /// Where their weights start.
    offset: usize,
}

/// The weights of one axis. Reused between images without allocating.
#[derive(Clone, Debug, Default)]
pub struct Coefficients {
    windows: Vec<Window>,
    fixed: Vec<i32>,
    weights: Vec<f64>,
}

impl Coefficients {
    /// Fills the weights that take `input` samples to `output` samples.
    pub fn compute(&mut self, filter: Filter, input: u32, output: u32) {
        // A loop for each filter, with its weights inlined.
        match filter {
            Filter::Nearest => self.fill(0.0, |_| 1.0, input, output),
            Filter::Box => self.fill(0.5, square, input, output),
            Filter::Bilinear => self.fill(1.0, triangle, input, output),
            Filter::Hamming => self.fill(1.0, hamming, input, output),
            Filter::Bicubic => self.fill(2.0, bicubic, input, output),
            Filter::Lanczos => self.fill(3.0, lanczos, input, output),
        }
    }

    /// As `compute`, for a filter of half the width `support` at scale 1, in pixels.
    fn fill(&mut self, support: f64, weight: impl Fn(f64) -> f64, input: u32, output: u32) {
        self.windows.clear();
        self.fixed.clear();
        let scale = f64::from(input as f32) / f64::from(output);
        let filter_scale = scale.max(1.0);
        let support = support * filter_scale;
        let inverse = 1.0 / filter_scale;
        for out in 0..output {
            let center = (f64::from(out) + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(input as usize);
            self.weights.clear();
            // Sides fit an i32, which machines turn into floats several at a time.
            let samples = start as i32..end as i32;
            self.weights.extend(samples.map(|x| weight((f64::from(x) - center + 0.5) * inverse)));
            let sum = self.weights.iter().fold(0.0, |sum, w| sum + w);
            let divisor = if sum == 0.0 { 1.0 } else { sum };
            self.windows.push(Window { start, len: end - start, offset: self.fixed.len() });
            self.fixed.extend(self.weights.iter().map(|w| to_fixed(w / divisor)));
        }
    }

    /// The windows, one an output sample.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The fixed-point weights of `window`.
    #[must_use]
    pub fn of(&self, window: Window) -> &[i32] {
        &self.fixed[window.offset..][..window.len]
    }

    /// The input samples from the first used to behind the last used.
    #[must_use]
    pub fn used(&self) -> std::ops::Range<usize> {
        let first = self.windows.first().copied().unwrap_or_default();
        let last = self.windows.last().copied().unwrap_or_default();
        first.start..last.start + last.len
    }
}

/// Rounds half away from zero, as a C cast behind `+- 0.5` does.
fn to_fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    (scaled + 0.5f64.copysign(scaled)) as i32
}
