//! The weights of an antialiased resize along one axis, as Pillow computes them
//! (`precompute_coeffs` and `normalize_coeffs_8bpc` in `libImaging/Resample.c`, Pillow 13.0).

use std::array::from_fn;
use std::f64::consts::PI;

use multiversion::multiversion;

/// Bits behind the point of a weight.
pub const PRECISION_BITS: u32 = 22;

/// Pillow's resampling filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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

#[inline(always)]
fn square(x: f64) -> f64 {
    f64::from(u8::from(x > -0.5 && x <= 0.5))
}

#[inline(always)]
fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

#[inline(always)]
fn hamming(x: f64) -> f64 {
    match x.abs() {
        0.0 => 1.0,
        x if x >= 1.0 => 0.0,
        // Pillow's constants are single precision.
        x => sinc(x) * (f64::from(0.54f32) + f64::from(0.46f32) * (x * PI).cos()),
    }
}

/// Both pieces always, so that compilers find no branch to predict.
#[inline(always)]
fn bicubic(x: f64) -> f64 {
    let x = x.abs();
    let inner = (1.5 * x - 2.5) * x * x + 1.0;
    let outer = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5;
    let outer = if x < 2.0 { outer } else { 0.0 };
    if x < 1.0 { inner } else { outer }
}

#[inline(always)]
fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

#[inline(always)]
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

/// Samples in a group.
pub const GROUP: usize = 4;

/// The weights of a group, digit by digit: `low + (middle << 8) + (high << 16)`.
///
/// All digits are signed. `high` has room for weights of up to 1.98; the largest is less than 1.3, that
/// of Lanczos at the edge of two pixels.
pub type Digits = [[i8; GROUP]; 3];

/// The weights of one axis. Reused between images without allocating.
#[derive(Clone, Debug, Default)]
pub struct Coefficients {
    windows: Vec<Window>,
    /// Of all windows, each in whole groups, with zeros around it.
    fixed: Vec<i32>,
    weights: Vec<f64>,
    digits: Vec<Digits>,
}

impl Coefficients {
    /// Fills the weights that take `input` samples to `output` samples.
    ///
    /// The groups of a window begin at its first sample or, if `aligned`, at the last multiple of four
    /// before it.
    pub fn compute(&mut self, filter: Filter, input: u32, output: u32, aligned: bool) {
        compute(self, filter, (input, output), aligned);
    }

    /// As `compute`, for a filter of half the width `support` at scale 1, in pixels.
    #[inline(always)]
    fn fill(
        &mut self,
        support: f64,
        weight: impl Fn(f64) -> f64,
        (input, output): (u32, u32),
        aligned: bool,
    ) {
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
            let (len, lead) = (end - start, if aligned { start % GROUP } else { 0 });
            let window = lead..lead + len;
            // Sides fit an i32, which machines turn into floats several at a time.
            let first = (start - lead) as i32;
            self.weights.resize(window.end.next_multiple_of(GROUP), 0.0);
            for (group, weights) in (0..).zip(self.weights.as_chunks_mut::<GROUP>().0) {
                let sample = |i| f64::from(first + group * GROUP as i32 + i as i32);
                *weights = from_fn(|i| weight((sample(i) - center + 0.5) * inverse));
            }
            let sum = self.weights[window.clone()].iter().fold(0.0, |sum, w| sum + w);
            let divisor = if sum == 0.0 { 1.0 } else { sum };
            self.weights[..lead].fill(0.0);
            self.weights[window.end..].fill(0.0);
            self.windows.push(Window { start, len, offset: self.fixed.len() + lead });
            for weights in self.weights.as_chunks::<GROUP>().0 {
                self.fixed.extend(weights.map(|w| to_fixed(w / divisor)));
            }
        }
    }

    /// Makes the digits of all weights, which `compute` leaves to those who want them.
    pub fn split(&mut self) {
        split(&self.fixed, &mut self.digits);
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

    /// The first sample and the weights of the groups of `window`, after [`Self::split`]. Samples
    /// around the window weigh 0.
    #[must_use]
    pub fn groups(&self, Window { start, len, offset }: Window) -> (usize, &[Digits]) {
        let lead = offset % GROUP;
        (start - lead, &self.digits[offset / GROUP..][..(lead + len).div_ceil(GROUP)])
    }

    /// The input samples from the first used to behind the last used.
    #[must_use]
    pub fn used(&self) -> std::ops::Range<usize> {
        let first = self.windows.first().copied().unwrap_or_default();
        let last = self.windows.last().copied().unwrap_or_default();
        first.start..last.start + last.len
    }
}

/// A loop for each filter, with its weights inlined.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn compute(coefficients: &mut Coefficients, filter: Filter, sides: (u32, u32), aligned: bool) {
    match filter {
        Filter::Nearest => coefficients.fill(0.0, |_| 1.0, sides, aligned),
        Filter::Box => coefficients.fill(0.5, square, sides, aligned),
        Filter::Bilinear => coefficients.fill(1.0, triangle, sides, aligned),
        Filter::Hamming => coefficients.fill(1.0, hamming, sides, aligned),
        Filter::Bicubic => coefficients.fill(2.0, bicubic, sides, aligned),
        Filter::Lanczos => coefficients.fill(3.0, lanczos, sides, aligned),
    }
}

/// Rounds half away from zero, as a C cast behind `+- 0.5` does.
#[inline(always)]
fn to_fixed(weight: f64) -> i32 {
    /// Added to an integer, it leaves that in the lowest bits: a cast that vectorises.
    const INTEGER: f64 = (3u64 << 51) as f64;
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    ((scaled + 0.5f64.copysign(scaled)).trunc() + INTEGER).to_bits() as i32
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn split(weights: &[i32], digits: &mut Vec<Digits>) {
    digits.clear();
    digits.extend(weights.as_chunks::<GROUP>().0.iter().map(|weights| {
        let low = weights.map(|weight| weight as i8);
        // Exact: what a signed digit leaves of a weight is a multiple of 256.
        let rest: [i32; GROUP] = from_fn(|i| (weights[i] - i32::from(low[i])) >> 8);
        let middle = rest.map(|rest| rest as i8);
        let high = from_fn(|i| (rest[i] - i32::from(middle[i])) >> 8);
        debug_assert!(high.iter().all(|&high| i8::try_from(high).is_ok()), "{weights:?}");
        [low, middle, high.map(|high: i32| high as i8)]
    }));
}

#[cfg(test)]
mod tests {
    use super::{Coefficients, Filter, GROUP, from_fn};

    #[test]
    fn digits_make_the_weights() {
        let mut coefficients = Coefficients::default();
        for (filter, aligned) in Filter::ALL.into_iter().flat_map(|f| [(f, false), (f, true)]) {
            for (input, output) in (1..60).flat_map(|i| (1..60).map(move |o| (i, o))) {
                coefficients.compute(filter, input, output, aligned);
                coefficients.split();
                for &window in coefficients.windows() {
                    let (start, groups) = coefficients.groups(window);
                    let flat = groups.iter().flat_map(|[low, middle, high]| {
                        let part = |digit: i8, shift| i32::from(digit) << shift;
                        from_fn::<_, GROUP, _>(|i| {
                            part(low[i], 0) + part(middle[i], 8) + part(high[i], 16)
                        })
                    });
                    let mut expected = vec![0; window.start - start];
                    expected.extend(coefficients.of(window));
                    expected.resize(groups.len() * GROUP, 0);
                    assert_eq!(flat.collect::<Vec<_>>(), expected);
                    assert!(!aligned || start % GROUP == 0);
                }
            }
        }
    }
}
