//! The nearest pixel.
//!
//! Pillow has three algorithms for it. They round differently, so all three are here:
//!
//! - `scaled`, for matrices that neither rotate nor shear: columns and rows are found separately,
//!   each by repeated addition.
//! - `fixed`, for most other matrices: coordinates are in fixed point ([`fixed`](mod@fixed)).
//! - `walked`, for coordinates that do not fit fixed point: repeated addition in both directions.
//!
//! Translations and shears have a form of their own, which moves more than a pixel at a time: rows
//! that are [`pieces`] of rows, or [`columns`] that are pieces of columns. All others in fixed point go
//! through a [`kernel`].

mod columns;
mod fixed;
mod kernel;
#[cfg(test)]
mod oracle;
mod pieces;

use std::ops::Range;

use super::padded::{PAD, Pixel, pad};
use super::rows::each_row;
use crate::image::Planes;
use crate::memory;
use crate::simd::Simd;
use columns::{Strip, move_columns};
use fixed::{Fixed, ONE};
use pieces::{Order, Piece, move_pieces};

/// What is kept between transforms.
#[derive(Debug, Default)]
pub struct Buffers {
    pieces: Vec<Piece>,
    strips: [Strip; 2],
    /// How far each output column is moved.
    offsets: Vec<i64>,
    /// The input column of each output column.
    columns: Vec<u32>,
    /// The input row of each output row, if it lies inside the image.
    rows: Vec<Option<usize>>,
    kernel: kernel::Buffers,
}

/// In a list of input columns: the output column lies outside the image.
const OUTSIDE: u32 = u32::MAX;

/// Pillow's `ImagingTransformAffine` without a filter.
pub fn transform(matrix: &[f64; 6], fill: Pixel, planes: &mut Planes<'_>, buffers: &mut Buffers) {
    transform_with(Simd::best(kernel::ISAS), matrix, fill, planes, buffers);
}

fn transform_with(
    simd: Simd,
    matrix: &[f64; 6],
    fill: Pixel,
    planes: &mut Planes<'_>,
    buffers: &mut Buffers,
) {
    let [a, b, c, d, e, f] = *matrix;
    let (h, w) = (planes.height() as f64, planes.width() as f64);
    let small =
        |x: f64, y: f64| (x * a + y * b + c).abs() < 32768.0 && (x * d + y * e + f).abs() < 32768.0;
    if b == 0.0 && d == 0.0 {
        scaled(matrix, fill, planes, buffers);
    } else if small(0.0, 0.0) && small(w, h) && small(0.0, h) && small(w, 0.0) {
        in_fixed_point(simd, &Fixed::new(matrix), fill, planes, buffers);
    } else {
        walked(matrix, fill, planes, buffers);
    }
}

/// Pillow's `ImagingScaleAffine`: columns and rows separately, each by repeated addition.
fn scaled(
    &[a, _, c, _, e, f]: &[f64; 6],
    fill: Pixel,
    planes: &mut Planes<'_>,
    buffers: &mut Buffers,
) {
    let (height, width) = (planes.height(), planes.width());
    let Buffers { pieces, columns, rows, kernel, .. } = buffers;
    let mut x = c + a * 0.5;
    let column = |_| {
        let column = inside(x, width).map_or(OUTSIDE, |x| x as u32);
        x += a;
        column
    };
    memory::collect((0..width).map(column), columns);
    let mut y = f + e * 0.5;
    let row = |_| {
        let row = inside(y, height);
        y += e;
        row
    };
    memory::collect((0..height).map(row), rows);
    if let Some((span, first)) = neighbours(columns) {
        let piece = |&row: &Option<usize>| row.map(|row| Piece { row, first, span: span.clone() });
        memory::collect(rows.iter().map(|row| piece(row).unwrap_or_default()), pieces);
        if let Some(order) = Order::of(pieces) {
            return move_pieces(pieces, order, fill, planes);
        }
    }
    let (source, line) = kernel.pixels();
    pad(planes, source);
    let stride = width + 2 * PAD;
    each_row(line, planes, |y, line| {
        let Some(row) = rows[y] else { return line.fill(fill) };
        let row = &source[(row + PAD) * stride + PAD..][..width];
        for (pixel, &column) in line.iter_mut().zip(&*columns) {
            *pixel = row.get(column as usize).copied().unwrap_or(fill);
        }
    });
}

/// Pillow's `affine_fixed`.
fn in_fixed_point(
    simd: Simd,
    map: &Fixed,
    fill: Pixel,
    planes: &mut Planes<'_>,
    buffers: &mut Buffers,
) {
    let (height, width) = (planes.height(), planes.width());
    let Buffers { pieces, strips, offsets, kernel, .. } = buffers;
    if map.right == (ONE, 0) && map.down.1 == ONE {
        let piece = |y| {
            let span = map.span(y, (height, width));
            if span.is_empty() {
                return Piece::default();
            }
            let (x, y) = map.at(span.start, y);
            Piece { row: (y >> 16) as usize, first: (x >> 16) as usize, span }
        };
        memory::collect((0..height).map(piece), pieces);
        if let Some(order) = Order::of(pieces) {
            return move_pieces(pieces, order, fill, planes);
        }
    }
    if map.right.0 == ONE && map.down == (0, ONE) && map.at(0, 0).0 >> 16 == 0 {
        memory::collect((0..width).map(|x| map.at(x, 0).1 >> 16), offsets);
        return move_columns(offsets, strips, fill, planes);
    }
    kernel::transform(simd, map, fill, planes, kernel);
}

/// Pillow's last resort, for coordinates beyond 16 bits: repeated addition in f64.
fn walked(
    &[a, b, c, d, e, f]: &[f64; 6],
    fill: Pixel,
    planes: &mut Planes<'_>,
    buffers: &mut Buffers,
) {
    let (height, width) = (planes.height(), planes.width());
    let (source, line) = buffers.kernel.pixels();
    pad(planes, source);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shears_and_translations_are_pillows(
            by in prop_oneof![-1.5..1.5f64, -90.0..90.0f64, (-5..6).prop_map(f64::from)],
            size in (1usize..80, 1usize..80),
            seed: u64,
        ) {
            let data = oracle::picture(size, seed);
            let fill = [10, 20, 30, 0];
            let run = |simd, matrix| {
                let mut ours = data.clone();
                let mut planes = Planes::new((size.0 as u32, size.1 as u32), &mut ours);
                transform_with(simd, &matrix, fill, &mut planes, &mut Buffers::default());
                ours
            };
            for translation in [(by, 0.0), (0.0, by)] {
                let expected = oracle::moved(translation, fill, size, &data);
                let matrix = [1.0, 0.0, translation.0, 0.0, 1.0, translation.1];
                prop_assert_eq!(run(Simd::PORTABLE, matrix), expected);
            }
            prop_assume!(by != 0.0);
            for matrix in [[1.0, by, 0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, by, 1.0, 0.0]] {
                let expected = oracle::fixed(&Fixed::new(&matrix), fill, size, &data);
                for simd in Simd::available(kernel::ISAS) {
                    prop_assert_eq!(&run(simd, matrix), &expected, "{:?} {}", matrix, simd.name());
                }
            }
        }
    }
}
