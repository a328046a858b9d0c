//! The weights of an antialiased resize along one axis, as Pillow computes them
//! (`precompute_coeffs` and `normalize_coeffs_8bpc` in `libImaging/Resample.c`, Pillow 13.0).
//!
//! An output sample is a weighted sum of adjacent input samples, its [`Window`]. The weights are
//! computed in f64, scaled to a sum of 1, and rounded to fixed point with 22 bits after the point.
//!
//! # Flips
//!
//! A mirrored axis has the same windows in the opposite order. [`Axis::flip`] reverses the list
//! once, so that no kernel knows of flips.
//!
//! # Groups and digits
//!
//! Vector instructions multiply bytes by short weights and add adjacent products. For their
//! kernels, the weights of a window come in groups of four samples, and each weight in parts: three
//! signed bytes ([`Digits`]), or a byte and 16 bits ([`Halves`]). Samples that a group has outside
//! its window weigh 0:
//!
//! ```text
//! samples        8   9  10  11 | 12  13  14  15
//! window                 a   b |  c   d   e            start 10, 5 samples
//! groups         0   0   a   b |  c   d   e   0        alignment 4: from sample 8
//!                a   b   c   d |  e   0   0   0        alignment 1: from sample 10
//! ```

use std::array::from_fn;
use std::ops::Range;

use multiversion::multiversion;

use super::axis::{Axis, Sampling};
use super::filter::{self, Filter};
use crate::memory;

/// The bits after the point of a weight.
pub const PRECISION_BITS: u32 = 22;

/// The samples in a group.
pub const GROUP: usize = 4;

/// The weights of a group as digits: `low + (middle << 8) + (high << 16)`.
///
/// All digits are signed. `high` has room for weights of up to 1.98. The largest weight is less
/// than 1.3: Lanczos, at the border between two pixels.
pub type Digits = [[i8; GROUP]; 3];

/// The weights of a group in two parts: `low + (high << 16)`.
///
/// Both parts are signed.
#[derive(Clone, Copy, Debug)]
#[cfg(any(target_arch = "x86_64", test))]
pub struct Halves {
    /// The low parts.
    pub low: [i16; GROUP],
    /// The high parts. Their magnitudes sum to at most 128, so that the sum of two products
    /// with bytes fits an i16.
    pub high: [i8; GROUP],
}

/// Weights that are computed approximately are computed again if they are this near to a place
/// where rounding to fixed point jumps. It is a hundred times their error.
const DOUBT: f64 = 1e-10;

/// The input samples that make an output sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// The first input sample.
    pub start: usize,
    /// The number of input samples.
    pub len: usize,
    /// The index of the first weight.
    offset: usize,
}

impl Window {
    /// The number of its groups.
    pub fn group_count(self) -> usize {
        (self.lead() + self.len).div_ceil(GROUP)
    }

    /// The samples that its groups have before it.
    fn lead(self) -> usize {
        self.offset % GROUP
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", test))]
impl Window {
    /// The first sample of its groups.
    pub fn first_group_sample(self) -> usize {
        self.start - self.lead()
    }

    /// The index of its first group.
    pub fn first_group(self) -> usize {
        self.offset / GROUP
    }

    /// The first sample of its groups, and those of `groups`, which has the groups of all windows.
    fn groups<T>(self, groups: &[T]) -> (usize, &[T]) {
        (self.first_group_sample(), &groups[self.first_group()..][..self.group_count()])
    }
}

/// The weights of one axis. Reused between images without allocating.
#[derive(Clone, Debug, Default)]
pub struct Coefficients {
    windows: Vec<Window>,
    /// The weights of all windows, each in whole groups, with zeros around it.
    fixed: Vec<i32>,
    digits: Vec<Digits>,
    #[cfg(any(target_arch = "x86_64", test))]
    halves: Vec<Halves>,
    /// The weights of the present window.
    weights: Vec<f64>,
}

impl Coefficients {
    /// Fills in the windows and weights of `axis`.
    ///
    /// Groups start at a multiple of `alignment`, 1 or [`GROUP`].
    pub fn compute(&mut self, filter: Filter, axis: Axis, alignment: usize) {
        compute(self, filter, axis, alignment);
        if axis.flip {
            self.windows.reverse();
        }
    }

    /// Computes the digits of all weights, for kernels that use [`Self::groups`].
    pub fn compute_digits(&mut self) {
        digits(&self.fixed, &mut self.digits);
    }

    /// Computes the halves of all weights, for kernels that use [`Self::halves`].
    ///
    /// `order` is the order of the high parts in a group.
    #[cfg(any(target_arch = "x86_64", test))]
    pub fn compute_halves(&mut self, order: [usize; GROUP]) {
        halves(&self.fixed, order, &mut self.halves);
    }

    /// Returns the range of input samples that are used. Afterwards, windows count from its start.
    pub fn trim(&mut self) -> Range<usize> {
        let starts = self.windows.iter().map(|window| window.start);
        let ends = self.windows.iter().map(|window| window.start + window.len);
        let (first, end) = (starts.min().unwrap_or(0), ends.max().unwrap_or(0));
        self.windows.iter_mut().for_each(|window| window.start -= first);
        first..end
    }

    /// The windows, one per output sample.
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The fixed-point weights of `window`.
    pub fn weights(&self, window: Window) -> &[i32] {
        &self.fixed[window.offset..][..window.len]
    }

    /// The first sample and the digits of the groups of `window`, after [`Self::compute_digits`].
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", test))]
    pub fn groups(&self, window: Window) -> (usize, &[Digits]) {
        window.groups(&self.digits)
    }

    /// The digits of the groups of all windows. Where a window has fewer groups than the largest,
    /// groups that weigh 0 follow.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub fn all_groups(&self) -> &[Digits] {
        &self.digits
    }

    /// The first sample and the halves of the groups of `window`, after [`Self::compute_halves`].
    #[cfg(any(target_arch = "x86_64", test))]
    pub fn halves(&self, window: Window) -> (usize, &[Halves]) {
        window.groups(&self.halves)
    }

    /// As [`Self::all_groups`], the halves.
    #[cfg(target_arch = "x86_64")]
    pub fn all_halves(&self) -> &[Halves] {
        &self.halves
    }

    /// As `compute`, for a filter that reaches `support` pixels to each side at scale 1.
    #[inline(always)]
    fn fill(
        &mut self,
        support: f64,
        weight: impl Fn(f64) -> f64,
        exact: Option<fn(f64) -> f64>,
        axis: Axis,
        alignment: usize,
    ) {
        let sampling = Sampling::new(axis, support);
        let inverse = 1.0 / sampling.scale.max(1.0);
        let origin = axis.origin as usize;
        let window = |out| {
            let window = sampling.window(out);
            let start = window.start - origin;
            Window { start, len: window.len(), offset: start & (alignment - 1) }
        };
        memory::collect(axis.wanted().map(window), &mut self.windows);
        let most = self.windows.iter().map(|window| window.group_count()).max().unwrap_or(0).max(1);
        self.fixed.clear();
        memory::resize(&mut self.fixed, axis.count as usize * most * GROUP, 0);
        memory::resize(&mut self.weights, most * GROUP, 0.0);
        let windows = self.windows.iter_mut().zip(self.fixed.chunks_exact_mut(most * GROUP));
        for ((out, slot), (window, fixed)) in
            axis.wanted().zip((0..).step_by(most * GROUP)).zip(windows)
        {
            let (center, lead) = (sampling.center(out), window.offset);
            let used = lead..lead + window.len;
            let weights = &mut self.weights[..window.group_count() * GROUP];
            // Sides fit an i32. Vector instructions convert i32 to f64, but not usize.
            let first = (origin + window.start - lead) as i32;
            let position = |i: i32| (f64::from(first + i) - center + 0.5) * inverse;
            for (group, weights) in (0..).zip(weights.as_chunks_mut::<GROUP>().0) {
                *weights = from_fn(|i| weight(position(group * GROUP as i32 + i as i32)));
            }
            window.offset += slot;
            let sure = normalize(weights, used.clone(), fixed);
            if let Some(exact) = exact.filter(|_| !sure) {
                for (i, weight) in (0..).zip(&mut *weights) {
                    *weight = exact(position(i));
                }
                normalize(weights, used, fixed);
            }
        }
    }
}

/// Scales `weights` to a sum of 1 and rounds them into `fixed`. Only those in `used` count.
///
/// Returns whether weights that differ by less than `DOUBT` would have been rounded to the same.
#[inline(always)]
fn normalize(weights: &mut [f64], used: Range<usize>, fixed: &mut [i32]) -> bool {
    let sum = weights[used.clone()].iter().fold(0.0, |sum, w| sum + w);
    let divisor = if sum == 0.0 { 1.0 } else { sum };
    weights[..used.start].fill(0.0);
    weights[used.end..].fill(0.0);
    let mut sure = [true; GROUP];
    let groups = fixed.as_chunks_mut::<GROUP>().0.iter_mut();
    for (fixed, weights) in groups.zip(weights.as_chunks::<GROUP>().0) {
        let weights = weights.map(|weight| weight / divisor);
        *fixed = weights.map(to_fixed);
        for (sure, weight) in sure.iter_mut().zip(weights) {
            *sure &= to_fixed(weight - DOUBT) == to_fixed(weight + DOUBT);
        }
    }
    sure == [true; GROUP]
}

/// A loop for each filter, with its weights inlined.
#[multiversion(targets = "simd")]
fn compute(coefficients: &mut Coefficients, filter: Filter, axis: Axis, alignment: usize) {
    let support = filter.support();
    match filter {
        Filter::Nearest => coefficients.fill(support, |_| 1.0, None, axis, alignment),
        Filter::Box => coefficients.fill(support, filter::square, None, axis, alignment),
        Filter::Bilinear => coefficients.fill(support, filter::triangle, None, axis, alignment),
        Filter::Hamming => coefficients.fill(support, filter::hamming, None, axis, alignment),
        Filter::Bicubic => coefficients.fill(support, filter::bicubic, None, axis, alignment),
        Filter::Lanczos => {
            let exact: Option<fn(f64) -> f64> = Some(filter::lanczos);
            coefficients.fill(support, filter::nearly_lanczos, exact, axis, alignment);
        }
    }
}

/// Rounds half away from zero, as a C cast after `+- 0.5` does.
#[inline(always)]
fn to_fixed(weight: f64) -> i32 {
    /// Adding it to an integer leaves the integer in the low bits: a conversion that vectorises.
    const INTEGER: f64 = (3u64 << 51) as f64;
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    ((scaled + 0.5f64.copysign(scaled)).trunc() + INTEGER).to_bits() as i32
}

#[multiversion(targets = "simd")]
fn digits(weights: &[i32], digits: &mut Vec<Digits>) {
    digits.clear();
    memory::reserve(digits, weights.len() / GROUP);
    digits.extend(weights.as_chunks::<GROUP>().0.iter().map(|weights| {
        let low = weights.map(|weight| weight as i8);
        // Exact: a weight minus its signed low digit is a multiple of 256.
        let rest: [i32; GROUP] = from_fn(|i| (weights[i] - i32::from(low[i])) >> 8);
        let middle = rest.map(|rest| rest as i8);
        let high = from_fn(|i| (rest[i] - i32::from(middle[i])) >> 8);
        debug_assert!(high.iter().all(|&high| i8::try_from(high).is_ok()), "{weights:?}");
        [low, middle, high.map(|high: i32| high as i8)]
    }));
}

#[cfg(any(target_arch = "x86_64", test))]
#[multiversion(targets = "simd")]
fn halves(weights: &[i32], order: [usize; GROUP], halves: &mut Vec<Halves>) {
    halves.clear();
    memory::reserve(halves, weights.len() / GROUP);
    halves.extend(weights.as_chunks::<GROUP>().0.iter().map(|weights| {
        let low = weights.map(|weight| weight as i16);
        // Exact: a weight minus its signed low part is a multiple of 65536.
        let high: [i32; GROUP] = from_fn(|i| (weights[i] - i32::from(low[i])) >> 16);
        debug_assert!(high.iter().map(|high| high.abs()).sum::<i32>() <= 128, "{weights:?}");
        Halves { low, high: order.map(|i| high[i] as i8) }
    }));
}

#[cfg(test)]
mod tests {
    use super::{Axis, Coefficients, Filter, GROUP, from_fn};

    #[test]
    fn halves_make_the_weights() {
        let mut coefficients = Coefficients::default();
        for (filter, alignment) in Filter::ALL.into_iter().flat_map(|f| [(f, 1), (f, GROUP)]) {
            for (input, output) in (1..60).flat_map(|i| (1..60).map(move |o| (i, o))) {
                let axis = Axis::whole(input, output, false);
                coefficients.compute(filter, axis, alignment);
                coefficients.compute_halves([0, 1, 2, 3]);
                for &window in coefficients.windows() {
                    let (start, groups) = coefficients.halves(window);
                    let flat = groups.iter().flat_map(|halves| {
                        let high = halves.high.map(|high| i32::from(high) << 16);
                        from_fn::<_, GROUP, _>(|i| i32::from(halves.low[i]) + high[i])
                    });
                    let mut expected = vec![0; window.start - start];
                    expected.extend(coefficients.weights(window));
                    expected.resize(groups.len() * GROUP, 0);
                    assert_eq!(flat.collect::<Vec<_>>(), expected);
                }
            }
        }
    }

    #[test]
    fn digits_make_the_weights() {
        let mut coefficients = Coefficients::default();
        for (filter, alignment) in Filter::ALL.into_iter().flat_map(|f| [(f, 1), (f, GROUP)]) {
            for (input, output) in (1..60).flat_map(|i| (1..60).map(move |o| (i, o))) {
                let axis = Axis::whole(input, output, false);
                coefficients.compute(filter, axis, alignment);
                coefficients.compute_digits();
                for &window in coefficients.windows() {
                    let (start, groups) = coefficients.groups(window);
                    let flat = groups.iter().flat_map(|[low, middle, high]| {
                        let part = |digit: i8, shift| i32::from(digit) << shift;
                        from_fn::<_, GROUP, _>(|i| {
                            part(low[i], 0) + part(middle[i], 8) + part(high[i], 16)
                        })
                    });
                    let mut expected = vec![0; window.start - start];
                    expected.extend(coefficients.weights(window));
                    expected.resize(groups.len() * GROUP, 0);
                    assert_eq!(flat.collect::<Vec<_>>(), expected);
                    assert!(start % alignment == 0);
                }
            }
        }
    }
}
