//! The nearest pixel.
//!
//! Pillow has three algorithms for it. They round differently, so all three are here:
//!
//! - `scaled`, for matrices that neither rotate nor shear: columns and rows are found separately,
//!   each by repeated addition.
//! - `fixed`, for most other matrices: coordinates are in fixed point.
//! - `walked`, for coordinates that do not fit fixed point: repeated addition in both directions.
//!
//! Where a row of the output is a piece of a row of the input, the piece is copied.

use std::ops::Range;

use multiversion::multiversion;

use super::coordinates::interval;
use super::padded::{PAD, Pixel, pad};
use super::transformer::{Piece, Transformer, each_row};
use crate::image::Planes;

/// In a list of input columns: the output column lies outside the image.
const OUTSIDE: u32 = u32::MAX;

impl Transformer {
    /// Pillow's `ImagingTransformAffine` without a filter.
    pub(super) fn nearest(&mut self, matrix: &[f64; 6], fill: Pixel, planes: &mut Planes<'_>) {
        let [a, b, c, d, e, f] = *matrix;
        let (h, w) = (planes.height() as f64, planes.width() as f64);
        let small = |x: f64, y: f64| {
            (x * a + y * b + c).abs() < 32768.0 && (x * d + y * e + f).abs() < 32768.0
        };
        if b == 0.0 && d == 0.0 {
            self.scaled(matrix, fill, planes);
        } else if small(0.0, 0.0) && small(w, h) && small(0.0, h) && small(w, 0.0) {
            self.fixed(matrix, fill, planes);
        } else {
            self.walked(matrix, fill, planes);
        }
    }

    /// Pillow's `ImagingScaleAffine`: columns and rows separately, each by repeated addition.
    fn scaled(&mut self, &[a, _, c, _, e, f]: &[f64; 6], fill: Pixel, planes: &mut Planes<'_>) {
        let (height, width) = (planes.height(), planes.width());
        let mut x = c + a * 0.5;
        self.columns.clear();
        self.columns.extend((0..width).map(|_| {
            let column = inside(x, width).map_or(OUTSIDE, |x| x as u32);
            x += a;
            column
        }));
        let mut y = f + e * 0.5;
        let mut next_row = || {
            let row = inside(y, height);
            y += e;
            row
        };
        if let Some((span, first)) = neighbours(&self.columns) {
            let piece = |_| next_row().map(|row| Piece { row, first, span: span.clone() });
            return self.copy_pieces(fill, planes, piece);
        }
        pad(planes, &mut self.source);
        let Self { source, line, columns, .. } = self;
        let stride = width + 2 * PAD;
        each_row(line, planes, |_, line| {
            let Some(row) = next_row() else { return line.fill(fill) };
            let row = &source[(row + PAD) * stride + PAD..][..width];
            for (pixel, &column) in line.iter_mut().zip(&*columns) {
                *pixel = row.get(column as usize).copied().unwrap_or(fill);
            }
        });
    }

    /// Pillow's `affine_fixed`: fixed point, 16 bits before and 16 after the point.
    fn fixed(&mut self, matrix: &[f64; 6], fill: Pixel, planes: &mut Planes<'_>) {
        let (height, width) = (planes.height(), planes.width());
        let map = Fixed::new(matrix);
        if map.right == (1 << 16, 0) {
            let piece = |y| {
                let span = map.span(y, (height, width));
                let (x, y) = map.at(span.start, y);
                let (row, first) = ((y >> 16) as usize, (x >> 16) as usize);
                (!span.is_empty()).then_some(Piece { row, first, span })
            };
            return self.copy_pieces(fill, planes, piece);
        }
        pad(planes, &mut self.source);
        let Self { source, line, columns, .. } = self;
        let stride = width + 2 * PAD;
        each_row(line, planes, |y, line| {
            let span = map.span(y, (height, width));
            line[..span.start].fill(fill);
            line[span.end..].fill(fill);
            columns.resize(span.len(), 0);
            // Inside the image, coordinates are not negative. They fit, since its sides are at most
            // 2^15.
            let (x, y) = map.at(span.start, y);
            let right = (map.right.0 as i32, map.right.1 as i32);
            indices((x as i32, y as i32), right, stride, columns);
            for (pixel, &at) in line[span].iter_mut().zip(&*columns) {
                *pixel = source[at as usize];
            }
        });
    }

    /// Writes output row `y` from `piece(y)`. A row without a piece lies outside the image.
    fn copy_pieces(
        &mut self,
        fill: Pixel,
        planes: &mut Planes<'_>,
        mut piece: impl FnMut(usize) -> Option<Piece>,
    ) {
        let (height, width) = (planes.height(), planes.width());
        let Self { plane: copy, pieces, .. } = self;
        pieces.clear();
        pieces.extend((0..height).map(|y| piece(y).unwrap_or_default()));
        for (plane, fill) in planes.channels().into_iter().zip(fill) {
            copy.clear();
            copy.extend_from_slice(plane);
            for (line, Piece { row, first, span }) in plane.chunks_exact_mut(width).zip(&*pieces) {
                let from = &copy[row * width + first..][..span.len()];
                line[..span.start].fill(fill);
                line[span.end..].fill(fill);
                line[span.clone()].copy_from_slice(from);
            }
        }
    }

    /// Pillow's last resort, for coordinates beyond 16 bits: repeated addition in f64.
    fn walked(&mut self, &[a, b, c, d, e, f]: &[f64; 6], fill: Pixel, planes: &mut Planes<'_>) {
        let (height, width) = (planes.height(), planes.width());
        pad(planes, &mut self.source);
        let Self { source, line, .. } = self;
        let stride = width + 2 * PAD;
        let mut start = (c + b * 0.5 + a * 0.5, f + e * 0.5 + d * 0.5);
        each_row(line, planes, |_, line| {
            let (mut x, mut y) = start;
            for pixel in line {
                let place = inside(x, width).zip(inside(y, height));
                *pixel = place.map_or(fill, |(x, y)| source[(y + PAD) * stride + x + PAD]);
                x += a;
                y += d;
            }
            start = (start.0 + b, start.1 + e);
        });
    }
}

/// A matrix in Pillow's fixed point: coordinates in 65,536ths of a pixel.
struct Fixed {
    start: (i64, i64),
    right: (i64, i64),
    down: (i64, i64),
}

impl Fixed {
    fn new(&[a, b, c, d, e, f]: &[f64; 6]) -> Self {
        let fix = |v: f64| (v * 65536.0 + 0.5).floor() as i64;
        Self {
            start: (fix(c + a * 0.5 + b * 0.5), fix(f + d * 0.5 + e * 0.5)),
            right: (fix(a), fix(d)),
            down: (fix(b), fix(e)),
        }
    }

    fn at(&self, x: usize, y: usize) -> (i64, i64) {
        let (x, y) = (x as i64, y as i64);
        (
            self.start.0 + y * self.down.0 + x * self.right.0,
            self.start.1 + y * self.down.1 + x * self.right.1,
        )
    }

    /// The columns of output row `y` that lie inside the image.
    fn span(&self, y: usize, (height, width): (usize, usize)) -> Range<usize> {
        let (right, bottom) = ((width as i64) << 16, (height as i64) << 16);
        let xs = interval(
            width,
            self.right.0 >= 0,
            |x| self.at(x, y).0 >= 0,
            |x| self.at(x, y).0 < right,
        );
        let ys = interval(
            width,
            self.right.1 >= 0,
            |x| self.at(x, y).1 >= 0,
            |x| self.at(x, y).1 < bottom,
        );
        let start = xs.start.max(ys.start);
        start..xs.end.min(ys.end).max(start)
    }
}

/// The indices, in the padded copy, of the pixel at `(x, y)` and of those at steps of `right` from
/// it.
#[multiversion(targets = "simd")]
fn indices((x, y): (i32, i32), right: (i32, i32), stride: usize, indices: &mut [u32]) {
    let (stride, pad) = (stride as i32, PAD as i32);
    for (i, at) in indices.iter_mut().enumerate() {
        let x = x.wrapping_add((i as i32).wrapping_mul(right.0));
        let y = y.wrapping_add((i as i32).wrapping_mul(right.1));
        *at = (((y >> 16) + pad) * stride + (x >> 16) + pad) as u32;
    }
}

/// The output columns inside the image and the first of their input columns, if these are adjacent.
fn neighbours(columns: &[u32]) -> Option<(Range<usize>, usize)> {
    let start = columns.iter().position(|&column| column != OUTSIDE)?;
    let end = columns.iter().rposition(|&column| column != OUTSIDE)? + 1;
    let first = columns[start];
    let apart = columns[start..end].iter().zip(first..).any(|(&column, next)| column != next);
    (!apart).then_some((start..end, first as usize))
}

/// The pixel that contains the coordinate `v`, if `v` is in [0, limit).
fn inside(v: f64, limit: usize) -> Option<usize> {
    (v >= 0.0 && v < limit as f64).then_some(v as usize)
}
