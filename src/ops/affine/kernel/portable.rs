//! Bilinear and bicubic in plain Rust: Pillow's formulas as they stand.

use super::super::coordinates::{Axes, Places};
use super::super::padded::{Padded, Pixel};
use super::filter::Smooth;

/// As [`super::interpolate`].
pub fn interpolate(
    filter: Smooth,
    axes: Axes,
    source: Padded<'_>,
    places: &Places,
    line: &mut [Pixel],
) {
    let stride = source.stride;
    match (filter, axes) {
        (Smooth::Bilinear, Axes::X) => {
            write(places, line, |at, dx, _, channel| linear(taps(source, at, 1, channel), dx));
        }
        (Smooth::Bilinear, Axes::Y) => {
            write(places, line, |at, _, dy, channel| linear(taps(source, at, stride, channel), dy));
        }
        (Smooth::Bilinear, Axes::Both) => write(places, line, |at, dx, dy, channel| {
            let row = |at| linear(taps(source, at, 1, channel), dx);
            linear([row(at), row(at + stride)], dy)
        }),
        (Smooth::Bicubic, Axes::X) => {
            write(places, line, |at, dx, _, channel| cubic(taps(source, at - 1, 1, channel), dx));
        }
        (Smooth::Bicubic, Axes::Y) => write(places, line, |at, _, dy, channel| {
            cubic(taps(source, at - stride, stride, channel), dy)
        }),
        (Smooth::Bicubic, Axes::Both) => write(places, line, |at, dx, dy, channel| {
            let first = at - stride - 1;
            let row = |i| cubic(taps(source, first + i * stride, 1, channel), dx);
            cubic([row(0), row(1), row(2), row(3)], dy)
        }),
    }
}

/// Writes `value(index, dx, dy, channel)`, truncated and clamped, for each place.
#[inline(always)]
fn write(places: &Places, line: &mut [Pixel], value: impl Fn(usize, f64, f64, usize) -> f64) {
    for (pixel, (at, dx, dy)) in line.iter_mut().zip(places.iter()) {
        for (channel, v) in pixel[..3].iter_mut().enumerate() {
            *v = value(at, dx, dy, channel) as u8;
        }
    }
}

/// A channel of `N` pixels, `step` apart, from `at` on.
#[inline(always)]
fn taps<const N: usize>(source: Padded<'_>, at: usize, step: usize, channel: usize) -> [f64; N] {
    std::array::from_fn(|i| f64::from(source.pixels[at + i * step][channel]))
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
