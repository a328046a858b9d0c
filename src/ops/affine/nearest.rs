//! The nearest pixel, by the three ways in which Pillow computes where it is.

use super::coordinates::interval;
use super::{Buffers, PAD, Pixel, each_row};

/// Outside the image, in a table of columns.
const OUTSIDE: u32 = u32::MAX;

impl Buffers {
    /// Pillow's `ImagingTransformAffine` without a filter.
    pub(super) fn nearest(
        &mut self,
        matrix: &[f64; 6],
        fill: Pixel,
        size: (usize, usize),
        planes: &mut [u8],
    ) {
        let [a, b, c, d, e, f] = *matrix;
        let (h, w) = (size.0 as f64, size.1 as f64);
        let small = |x: f64, y: f64| {
            (x * a + y * b + c).abs() < 32768.0 && (x * d + y * e + f).abs() < 32768.0
        };
        if b == 0.0 && d == 0.0 {
            self.scaled(matrix, fill, size, planes);
        } else if small(0.0, 0.0) && small(w, h) && small(0.0, h) && small(w, 0.0) {
            self.fixed(matrix, fill, size, planes);
        } else {
            self.walked(matrix, fill, size, planes);
        }
    }

    /// `ImagingScaleAffine`: columns and rows apart, each by repeated addition.
    fn scaled(
        &mut self,
        &[a, _, c, _, e, f]: &[f64; 6],
        fill: Pixel,
        (height, width): (usize, usize),
        planes: &mut [u8],
    ) {
        let Self { source, line, columns, .. } = self;
        let stride = width + 2 * PAD;
        let mut x = c + a * 0.5;
        columns.clear();
        columns.extend((0..width).map(|_| {
            let column = whole(x, width).map_or(OUTSIDE, |x| x as u32);
            x += a;
            column
        }));
        let mut y = f + e * 0.5;
        each_row(line, (height, width), planes, |_, line| {
            let row = whole(y, height);
            y += e;
            let Some(row) = row else { return line.fill(fill) };
            let row = &source[(row + PAD) * stride + PAD..][..width];
            for (pixel, &column) in line.iter_mut().zip(&*columns) {
                *pixel = row.get(column as usize).copied().unwrap_or(fill);
            }
        });
    }

    /// `affine_fixed`: 16.16 fixed point.
    fn fixed(
        &mut self,
        &[a, b, c, d, e, f]: &[f64; 6],
        fill: Pixel,
        (height, width): (usize, usize),
        planes: &mut [u8],
    ) {
        let Self { source, line, .. } = self;
        let stride = width + 2 * PAD;
        let fix = |v: f64| (v * 65536.0 + 0.5).floor() as i64;
        let start = (fix(c + a * 0.5 + b * 0.5), fix(f + d * 0.5 + e * 0.5));
        let (right, down) = ((fix(a), fix(d)), (fix(b), fix(e)));
        each_row(line, (height, width), planes, |y, line| {
            let y = y as i64;
            let (x0, y0) = (start.0 + y * down.0, start.1 + y * down.1);
            let inside = |from: i64, step: i64, limit: usize| {
                let at = move |x: usize| from + x as i64 * step;
                let limit = (limit as i64) << 16;
                interval(width, step >= 0, move |x| at(x) >= 0, move |x| at(x) < limit)
            };
            let (xs, ys) = (inside(x0, right.0, width), inside(y0, right.1, height));
            let start = xs.start.max(ys.start);
            let end = xs.end.min(ys.end).max(start);
            line[..start].fill(fill);
            line[end..].fill(fill);
            // Inside, the coordinates are not negative and fit: below 2^31, as the image's sides do.
            let mut x = (x0 + start as i64 * right.0) as i32;
            let mut y = (y0 + start as i64 * right.1) as i32;
            for pixel in &mut line[start..end] {
                let at = ((y >> 16) as usize + PAD) * stride + (x >> 16) as usize + PAD;
                *pixel = source[at];
                x = x.wrapping_add(right.0 as i32);
                y = y.wrapping_add(right.1 as i32);
            }
        });
    }

    /// Pillow's last resort, for coordinates beyond 16 bits: repeated addition in f64.
    fn walked(
        &mut self,
        &[a, b, c, d, e, f]: &[f64; 6],
        fill: Pixel,
        (height, width): (usize, usize),
        planes: &mut [u8],
    ) {
        let Self { source, line, .. } = self;
        let stride = width + 2 * PAD;
        let mut start = (c + b * 0.5 + a * 0.5, f + e * 0.5 + d * 0.5);
        each_row(line, (height, width), planes, |_, line| {
            let (mut x, mut y) = start;
            for pixel in line {
                let place = whole(x, width).zip(whole(y, height));
                *pixel = place.map_or(fill, |(x, y)| source[(y + PAD) * stride + x + PAD]);
                x += a;
                y += d;
            }
            start = (start.0 + b, start.1 + e);
        });
    }
}

/// `v` without its fraction, if it is in [0, limit).
fn whole(v: f64, limit: usize) -> Option<usize> {
    (v >= 0.0 && v < limit as f64).then_some(v as usize)
}
