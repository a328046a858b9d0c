//! Bilinear and bicubic for any machine: Pillow's formulas as they stand, and the oracle of the others.

use super::Pixel;
use super::coordinates::Places;
use super::smooth::Kernels;

/// Pillow's `bilinear_filter32RGB`.
pub const BILINEAR: Kernels = Kernels {
    both: |source, stride, places, line| {
        each(places, line, |at, dx, dy, channel| {
            let row = |at: usize| linear(taps(source, at, 1, channel), dx);
            linear([row(at), row(at + stride)], dy)
        });
    },
    along_x: |source, _, places, line| {
        each(places, line, |at, dx, _, channel| linear(taps(source, at, 1, channel), dx));
    },
    along_y: |source, stride, places, line| {
        each(places, line, |at, _, dy, channel| linear(taps(source, at, stride, channel), dy));
    },
};

/// Pillow's `bicubic_filter32RGB`.
pub const BICUBIC: Kernels = Kernels {
    both: |source, stride, places, line| {
        each(places, line, |at, dx, dy, channel| {
            let first = at - stride - 1;
            let row = |i: usize| cubic(taps(source, first + i * stride, 1, channel), dx);
            cubic([row(0), row(1), row(2), row(3)], dy)
        });
    },
    along_x: |source, _, places, line| {
        each(places, line, |at, dx, _, channel| cubic(taps(source, at - 1, 1, channel), dx));
    },
    along_y: |source, stride, places, line| {
        each(places, line, |at, _, dy, channel| {
            cubic(taps(source, at - stride, stride, channel), dy)
        });
    },
};

/// Writes `value(place, dx, dy, channel)`, truncated and clamped, for each place.
#[inline(always)]
fn each(places: &Places, line: &mut [Pixel], value: impl Fn(usize, f64, f64, usize) -> f64) {
    let places = places.at.iter().zip(&places.dx).zip(&places.dy);
    for (pixel, ((&at, &dx), &dy)) in line.iter_mut().zip(places) {
        for (channel, v) in pixel[..3].iter_mut().enumerate() {
            *v = value(at as usize, dx, dy, channel) as u8;
        }
    }
}

/// A channel of `N` pixels from `at` on, `step` apart.
#[inline(always)]
fn taps<const N: usize>(source: &[Pixel], at: usize, step: usize, channel: usize) -> [f64; N] {
    std::array::from_fn(|i| f64::from(source[at + i * step][channel]))
}

/// Pillow's `BILINEAR`.
#[inline(always)]
fn linear([a, b]: [f64; 2], d: f64) -> f64 {
    a + (b - a) * d
}

/// Pillow's `BICUBIC`.
#[inline(always)]
fn cubic([v1, v2, v3, v4]: [f64; 4], d: f64) -> f64 {
    let p2 = -v1 + v3;
    let p3 = 2.0 * (v1 - v2) + v3 - v4;
    let p4 = -v1 + v2 - v3 + v4;
    v2 + d * (p2 + d * (p3 + d * p4))
}
