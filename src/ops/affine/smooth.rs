//! Bilinear and bicubic, four channels of a pixel at once in f64.

use multiversion::multiversion;

use super::coordinates::{Map, Place};
use super::{Buffers, PAD, Pixel, each_row};

/// The channels of a pixel, on their way.
type Lane = [f64; 4];

impl Buffers {
    pub(super) fn bilinear(
        &mut self,
        matrix: &[f64; 6],
        fill: Pixel,
        size: (usize, usize),
        planes: &mut [u8],
    ) {
        self.smooth(matrix, fill, size, planes, [bilinear, bilinear_x, bilinear_y]);
    }

    pub(super) fn bicubic(
        &mut self,
        matrix: &[f64; 6],
        fill: Pixel,
        size: (usize, usize),
        planes: &mut [u8],
    ) {
        self.smooth(matrix, fill, size, planes, [bicubic, bicubic_x, bicubic_y]);
    }

    /// Looks up each row with `both`; or with `along_x` or `along_y` alone if the other direction needs
    /// no interpolation: between pixels 0 apart every formula gives the first of them, exactly.
    fn smooth(
        &mut self,
        matrix: &[f64; 6],
        fill: Pixel,
        (height, width): (usize, usize),
        planes: &mut [u8],
        [both, along_x, along_y]: [Kernel; 3],
    ) {
        let map = Map { matrix, height, width };
        let kernel = match map.aligned() {
            (_, true) => along_x,
            (true, false) => along_y,
            (false, false) => both,
        };
        let Self { source, line, places, .. } = self;
        let stride = width + 2 * PAD;
        each_row(line, (height, width), planes, |y, line| {
            let span = map.span(y);
            map.places(y, span.clone(), places);
            line[..span.start].fill(fill);
            line[span.end..].fill(fill);
            kernel(source, stride, places, &mut line[span]);
        });
    }
}

/// Writes the pixels at `places` of `source`, whose rows are `stride` apart.
type Kernel = fn(&[Pixel], usize, &[Place], &mut [Pixel]);

#[inline(always)]
fn lane(pixel: Pixel) -> Lane {
    pixel.map(|v| f64::from(i32::from(v)))
}

#[inline(always)]
fn lanes(f: impl Fn(usize) -> f64) -> Lane {
    std::array::from_fn(f)
}

/// `N` neighbours in a row.
#[inline(always)]
fn row<const N: usize>(source: &[Pixel], at: usize) -> [Lane; N] {
    let pixels: &[Pixel; N] = source[at..].first_chunk().expect("the padding holds every tap");
    pixels.map(lane)
}

/// `a + (b - a) * d`, Pillow's `BILINEAR`.
#[inline(always)]
fn linear([a, b]: [Lane; 2], d: f64) -> Lane {
    lanes(|i| a[i] + (b[i] - a[i]) * d)
}

/// Pillow's `BICUBIC`.
#[inline(always)]
fn cubic([v1, v2, v3, v4]: [Lane; 4], d: f64) -> Lane {
    lanes(|i| {
        let p2 = v3[i] - v1[i];
        let p3 = 2.0 * (v1[i] - v2[i]) + v3[i] - v4[i];
        let p4 = v2[i] - v1[i] - v3[i] + v4[i];
        v2[i] + d * (p2 + d * (p3 + d * p4))
    })
}

#[inline(always)]
fn bytes(lane: Lane) -> Pixel {
    lane.map(super::super::float::byte_f64)
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn bilinear(source: &[Pixel], stride: usize, places: &[Place], line: &mut [Pixel]) {
    for (pixel, place) in line.iter_mut().zip(places) {
        let at = place.at as usize;
        let above = linear(row(source, at), place.dx);
        let below = linear(row(source, at + stride), place.dx);
        *pixel = bytes(linear([above, below], place.dy));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn bilinear_x(source: &[Pixel], _stride: usize, places: &[Place], line: &mut [Pixel]) {
    for (pixel, place) in line.iter_mut().zip(places) {
        *pixel = bytes(linear(row(source, place.at as usize), place.dx));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn bilinear_y(source: &[Pixel], stride: usize, places: &[Place], line: &mut [Pixel]) {
    for (pixel, place) in line.iter_mut().zip(places) {
        let at = place.at as usize;
        let taps = std::array::from_fn(|i| lane(source[at + i * stride]));
        *pixel = bytes(linear(taps, place.dy));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn bicubic(source: &[Pixel], stride: usize, places: &[Place], line: &mut [Pixel]) {
    for (pixel, place) in line.iter_mut().zip(places) {
        let at = place.at as usize - stride - 1;
        let rows = std::array::from_fn(|i| cubic(row(source, at + i * stride), place.dx));
        *pixel = bytes(cubic(rows, place.dy));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn bicubic_x(source: &[Pixel], _stride: usize, places: &[Place], line: &mut [Pixel]) {
    for (pixel, place) in line.iter_mut().zip(places) {
        *pixel = bytes(cubic(row(source, place.at as usize - 1), place.dx));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn bicubic_y(source: &[Pixel], stride: usize, places: &[Place], line: &mut [Pixel]) {
    for (pixel, place) in line.iter_mut().zip(places) {
        let at = place.at as usize - stride;
        let taps = std::array::from_fn(|i| lane(source[at + i * stride]));
        *pixel = bytes(cubic(taps, place.dy));
    }
}
