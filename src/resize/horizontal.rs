//! The horizontal pass: interleaved rows in, three planes out, sixteen rows at a time.
//!
//! Sixteen rows are transposed so that each byte column of the input is one vector; a tap is then one
//! multiplication of a vector by a number, with no shuffles, and channels come apart by themselves.

use multiversion::multiversion;

use super::Coefficients;
use super::coefficients::PRECISION_BITS;
use super::transpose::{Lane, transpose};
use crate::image::ImageRef;

const ROWS: usize = 16;

/// Reused columns of sixteen rows.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    input: Vec<Lane>,
    output: Vec<Lane>,
}

/// Resizes rows `first..first + rows` of `source` to `width` columns.
///
/// Row `y` of channel `c` goes to `out[(c * rows + y) * width..]`, mirrored if `flip`.
pub fn resize(
    source: ImageRef<'_>,
    first: usize,
    rows: usize,
    coefficients: &Coefficients,
    flip: bool,
    columns: &mut Columns,
    out: &mut [u8],
) {
    let width = coefficients.windows().len();
    let padded = width.next_multiple_of(ROWS);
    columns.input.resize((source.width as usize * 3).next_multiple_of(ROWS), [0; ROWS]);
    columns.output.resize(padded * 3, [0; ROWS]);
    for top in (0..rows).step_by(ROWS) {
        let count = ROWS.min(rows - top);
        let row = |y: usize| source.row((first + top + y.min(count - 1)) as u32);
        split(std::array::from_fn(row), &mut columns.input);
        convolve(&columns.input, coefficients, flip, padded, &mut columns.output);
        for (channel, lanes) in columns.output.chunks_exact(padded).enumerate() {
            let block = &mut out[(channel * rows + top) * width..][..count * width];
            join(lanes, width, block);
        }
    }
}

/// Transposes sixteen rows into byte columns.
fn split(rows: [&[u8]; ROWS], columns: &mut [Lane]) {
    let len = rows[0].len();
    for (block, lanes) in columns.chunks_exact_mut(ROWS).enumerate() {
        let start = block * ROWS;
        let piece = |row: &[u8]| -> Lane {
            if let Some(whole) = row[start..].first_chunk() {
                return *whole;
            }
            let mut lane = [0; ROWS];
            lane[..len - start].copy_from_slice(&row[start..]);
            lane
        };
        lanes.copy_from_slice(&transpose(rows.map(piece)));
    }
}

/// Transposes the columns of one channel back into the rows of its plane.
fn join(lanes: &[Lane], width: usize, block: &mut [u8]) {
    for (number, columns) in lanes.as_chunks::<ROWS>().0.iter().enumerate() {
        let start = number * ROWS;
        let len = ROWS.min(width - start);
        let rows = transpose(*columns);
        for (row, lane) in block.chunks_exact_mut(width).zip(&rows) {
            if let Some(whole) = row[start..].first_chunk_mut::<ROWS>() {
                *whole = *lane;
            } else {
                row[start..].copy_from_slice(&lane[..len]);
            }
        }
    }
}

/// `clamp((2^21 + sum of sample * weight) >> 22)` for sixteen rows and three channels at once, in i32:
/// exact, since a window's weights sum to 1 and Pillow keeps two spare bits.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn convolve(
    input: &[Lane],
    coefficients: &Coefficients,
    flip: bool,
    padded: usize,
    output: &mut [Lane],
) {
    let windows = coefficients.windows();
    for (x, &window) in windows.iter().enumerate() {
        let mut sums = [[1i32 << (PRECISION_BITS - 1); ROWS]; 3];
        let (pixels, _) = input[window.start * 3..].as_chunks::<3>();
        for (pixel, &weight) in pixels.iter().zip(coefficients.of(window)) {
            for (sum, lane) in sums.iter_mut().zip(pixel) {
                for (s, &v) in sum.iter_mut().zip(lane) {
                    *s += i32::from(v) * weight;
                }
            }
        }
        let x = if flip { windows.len() - 1 - x } else { x };
        for (channel, sum) in sums.iter().enumerate() {
            output[channel * padded + x] = sum.map(|s| (s >> PRECISION_BITS).clamp(0, 255) as u8);
        }
    }
}
