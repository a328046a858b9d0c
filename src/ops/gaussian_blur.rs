//! [`GaussianBlur`].

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Scratch};
use crate::image::Planes;
use crate::memory;

/// Pillow's `image.filter(ImageFilter.GaussianBlur(radius))`: three box blurs of a fractional
/// radius in each direction.
///
/// A box blur of a small radius adds up the pixels of each window. All windows of a row are
/// independent, so compilers vectorise it, in both directions.
///
/// A box blur of a large radius keeps one sum per column and moves down the rows: it adds the row
/// that enters the window and subtracts the row that leaves it, so that its cost does not depend on
/// the radius. To blur along the rows the plane is transposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianBlur {
    /// The standard deviation, in pixels.
    pub radius: f64,
}

impl Kernel for GaussianBlur {
    fn validate(&self) -> Result<(), String> {
        if !(0.0..=1e4).contains(&self.radius) {
            return Err(format!("radius must be from 0 to 10000, not {}", self.radius));
        }
        Ok(())
    }

    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch) {
        if self.radius == 0.0 {
            return;
        }
        let (height, width) = (planes.height(), planes.width());
        let weights = Weights::new(box_radius(self.radius as f32));
        let Scratch { plane: other, line, sums, .. } = scratch;
        memory::resize(other, height * width, 0);
        for plane in planes.channels() {
            match weights.radius {
                0 => blur_small::<3>(plane, other, width, weights, line),
                1 => blur_small::<5>(plane, other, width, weights, line),
                2 => blur_small::<7>(plane, other, width, weights, line),
                3 => blur_small::<9>(plane, other, width, weights, line),
                _ => {
                    // The columns of the transposed plane are the rows.
                    transpose(plane, width, other);
                    blur_thrice(other, plane, height, weights, sums);
                    transpose(plane, height, other);
                    blur_thrice(other, plane, width, weights, sums);
                }
            }
        }
    }
}

/// Pillow's passes in each direction.
const PASSES: usize = 3;

/// The radius of a box blur that, applied three times, has the standard deviation `sigma` (Gwosdek
/// et al. 2011, equations 7, 11 and 14), in Pillow's mix of f32 and f64.
fn box_radius(sigma: f32) -> f32 {
    let variance = sigma * sigma / PASSES as f32;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
    let mut part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    part /= 6.0 * (variance - (whole + 1.0) * (whole + 1.0));
    whole + part
}

/// The window of a box blur, and Pillow's weights in it, in 2^24ths.
#[derive(Clone, Copy, Debug)]
struct Weights {
    /// Pixels on each side of the centre that count in full.
    radius: usize,
    /// The weight of each of the `2 * radius + 1` pixels.
    inner: u32,
    /// The weight of the two pixels around them.
    outer: u32,
}

impl Weights {
    fn new(radius: f32) -> Self {
        let whole = radius as usize;
        let inner = ((1u32 << 24) as f32 / (radius * 2.0 + 1.0)) as u32;
        let outer = (1u32 << 24).wrapping_sub((2 * whole as u32 + 1).wrapping_mul(inner)) / 2;
        Self { radius: whole, inner, outer }
    }

    /// The blurred pixel, from the sum of the window and that of the two pixels around it.
    #[inline(always)]
    fn apply(self, window: u32, around: u32) -> u8 {
        let total = window.wrapping_mul(self.inner).wrapping_add(around.wrapping_mul(self.outer));
        (total.wrapping_add(1 << 23) >> 24) as u8
    }
}

/// Blurs `plane` three times in each direction, with windows of `N` pixels, the outer two included.
#[multiversion(targets = "simd")]
fn blur_small<const N: usize>(
    plane: &mut [u8],
    other: &mut [u8],
    width: usize,
    weights: Weights,
    line: &mut Vec<u8>,
) {
    // Two rows with the edges repeated.
    let padded = width + N - 1;
    memory::resize(line, 2 * padded, 0);
    let (a, b) = line.split_at_mut(padded);
    for (row, out) in plane.chunks_exact(width).zip(other.chunks_exact_mut(width)) {
        a[N / 2..][..width].copy_from_slice(row);
        weigh(windows::<N>(a, width), weights, &mut b[N / 2..][..width]);
        weigh(windows::<N>(b, width), weights, &mut a[N / 2..][..width]);
        weigh(windows::<N>(a, width), weights, out);
    }
    weigh_rows::<N>(other, plane, width, weights);
    weigh_rows::<N>(plane, other, width, weights);
    weigh_rows::<N>(other, plane, width, weights);
}

/// Repeats the edges of a row around it, and returns the pixels at each place of its windows.
#[inline(always)]
fn windows<const N: usize>(line: &mut [u8], width: usize) -> [&[u8]; N] {
    let (first, last) = (line[N / 2], line[N / 2 + width - 1]);
    line[..N / 2].fill(first);
    line[N / 2 + width..].fill(last);
    let line = &*line;
    std::array::from_fn(|i| &line[i..][..width])
}

/// One box blur along the columns.
#[inline(always)]
fn weigh_rows<const N: usize>(input: &[u8], out: &mut [u8], width: usize, weights: Weights) {
    let last = input.len() / width - 1;
    for (y, out) in out.chunks_exact_mut(width).enumerate() {
        let row = |i: usize| &input[(y + i).saturating_sub(N / 2).min(last) * width..][..width];
        weigh(std::array::from_fn::<_, N, _>(row), weights, out);
    }
}

/// Writes the weighted sums of windows. `taps` are the pixels at each of their places.
#[inline(always)]
fn weigh<const N: usize>(taps: [&[u8]; N], weights: Weights, out: &mut [u8]) {
    let taps = taps.map(|tap| &tap[..out.len()]);
    for (x, out) in out.iter_mut().enumerate() {
        let outer = u16::from(taps[0][x]) + u16::from(taps[N - 1][x]);
        let inner: u16 = taps[1..N - 1].iter().map(|tap| u16::from(tap[x])).sum();
        *out = weights.apply(u32::from(inner), u32::from(outer));
    }
}

/// Blurs `a` along its columns three times. The result is in `b`.
fn blur_thrice(a: &mut [u8], b: &mut [u8], width: usize, weights: Weights, sums: &mut Vec<u32>) {
    blur(a, b, width, weights, sums);
    blur(b, a, width, weights, sums);
    blur(a, b, width, weights, sums);
}

/// One box blur along the columns of rows of `width`: Pillow's `ImagingHorizontalBoxBlur`, turned.
///
/// `(inner pixels * inner weight + outer two * outer weight + 2^23) >> 24`, with the edges
/// repeated.
fn blur(input: &[u8], out: &mut [u8], width: usize, weights: Weights, sums: &mut Vec<u32>) {
    let last = (input.len() / width) as isize - 1;
    let row = |y: isize| &input[y.clamp(0, last) as usize * width..][..width];
    let radius = weights.radius as isize;
    sums.clear();
    memory::resize(sums, width, 0);
    // The sums of the window around row -1: rows above the first are the first.
    for (sum, &v) in sums.iter_mut().zip(row(0)) {
        *sum = u32::from(v) * (radius as u32 + 1);
    }
    for y in 0..radius {
        for (sum, &v) in sums.iter_mut().zip(row(y)) {
            *sum += u32::from(v);
        }
    }
    for (y, out) in out.chunks_exact_mut(width).enumerate() {
        let y = y as isize;
        let ends = WindowEnds {
            leaving: row(y - radius - 1),
            entering: row(y + radius),
            after: row(y + radius + 1),
        };
        blur_row(sums, ends, weights, out);
    }
}

/// The rows at the ends of a window that moves down by one.
#[derive(Clone, Copy, Debug)]
struct WindowEnds<'a> {
    /// The first row of the old window. It is the row before the new one.
    leaving: &'a [u8],
    /// The last row of the new window.
    entering: &'a [u8],
    /// The row after the new window.
    after: &'a [u8],
}

#[multiversion(targets = "simd")]
fn blur_row(sums: &mut [u32], ends: WindowEnds<'_>, weights: Weights, out: &mut [u8]) {
    let len = out.len();
    let (sums, leaving) = (&mut sums[..len], &ends.leaving[..len]);
    let (entering, after) = (&ends.entering[..len], &ends.after[..len]);
    for x in 0..len {
        let sum = sums[x].wrapping_add(u32::from(entering[x])).wrapping_sub(u32::from(leaving[x]));
        sums[x] = sum;
        let outer = u32::from(leaving[x]) + u32::from(after[x]);
        out[x] = weights.apply(sum, outer);
    }
}

/// Writes the rows of `input`, which are `width` long, as the columns of `out`.
///
/// Works in tiles that stay in the first-level cache.
fn transpose(input: &[u8], width: usize, out: &mut [u8]) {
    const TILE: usize = 16;
    let height = input.len() / width;
    for top in (0..height).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for x in left..width.min(left + TILE) {
                for y in top..height.min(top + TILE) {
                    out[x * height + y] = input[y * width + x];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// Pillow's box blur of one line, with each sum from scratch.
    fn line(input: &[u8], radius: f32) -> Vec<u8> {
        let r = radius as i64;
        let ww = ((1u32 << 24) as f32 / (radius * 2.0 + 1.0)) as u64;
        let fw = ((1 << 24) - (2 * r as u64 + 1) * ww) / 2;
        let at = |x: i64| u64::from(input[x.clamp(0, input.len() as i64 - 1) as usize]);
        let blurred = |x: i64| {
            let sum: u64 = (x - r..=x + r).map(at).sum();
            let outer = at(x - r - 1) + at(x + r + 1);
            ((sum * ww + outer * fw + (1 << 23)) >> 24) as u8
        };
        (0..input.len() as i64).map(blurred).collect()
    }

    proptest! {
        #[test]
        fn running_sums_are_sums(
            input in prop::collection::vec(any::<u8>(), 1..60),
            radius in 0.0f32..20.0,
        ) {
            let mut out = vec![0; input.len()];
            // One column.
            super::blur(&input, &mut out, 1, super::Weights::new(radius), &mut Vec::new());
            prop_assert_eq!(out, line(&input, radius));
        }

        #[test]
        fn small_windows_are_summed_as_large_ones_are(
            (height, width) in (1usize..40, 1usize..40),
            seed: u64,
            radius in 0.0f32..4.0,
        ) {
            let mut plane: Vec<u8> = (0..height as u64 * width as u64)
                .map(|i| ((i ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
                .collect();
            let weights = super::Weights::new(radius);
            let mut expected = plane.clone();
            let (mut other, mut sums) = (vec![0; plane.len()], Vec::new());
            super::transpose(&plane, width, &mut other);
            super::blur_thrice(&mut other, &mut expected, height, weights, &mut sums);
            super::transpose(&expected, height, &mut other);
            super::blur_thrice(&mut other, &mut expected, width, weights, &mut sums);
            let line = &mut Vec::new();
            match weights.radius {
                0 => super::blur_small::<3>(&mut plane, &mut other, width, weights, line),
                1 => super::blur_small::<5>(&mut plane, &mut other, width, weights, line),
                2 => super::blur_small::<7>(&mut plane, &mut other, width, weights, line),
                _ => super::blur_small::<9>(&mut plane, &mut other, width, weights, line),
            }
            prop_assert_eq!(plane, expected);
        }

        #[test]
        fn a_transposition_undoes_itself(width in 1usize..40, height in 1usize..40) {
            let input: Vec<u8> = (0..width * height).map(|i| i as u8).collect();
            let (mut turned, mut back) = (vec![0; input.len()], vec![0; input.len()]);
            super::transpose(&input, width, &mut turned);
            prop_assert_eq!(turned[(width - 1) * height], input[width - 1]);
            super::transpose(&turned, height, &mut back);
            prop_assert_eq!(back, input);
        }
    }
}
