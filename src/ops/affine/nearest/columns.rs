//! Transforms of which each output column is a piece of an input column: shears along the columns.
//!
//! Output row `y` has, from left to right, runs of adjacent pixels of row `y + k`, for one `k` per
//! run. The runs are at the same columns in all rows. So a strip of columns is the sum of a few
//! copies of itself, each moved up by a `k` and masked:
//!
//! ```text
//! strip     masks: k = 0   k = 1   k = 2
//! a a a a          1000    0110    0001        a b b c
//! b b b b                                      b c c d
//! c c c c                                      c d d .
//! d d d d                                      d . . .
//! ```

use super::super::padded::Pixel;
use crate::image::Planes;
use crate::memory;

/// The columns of a strip. Two rows of them meet half as many runs as one row of twice as many
/// columns.
const WIDTH: usize = 16;
/// The rows that are made at once, with one look at the masks.
const ROWS: usize = 8;
/// The bytes that are masked at once.
const VECTOR: usize = 32;

type Line = [u8; WIDTH];
type Mask = [u8; VECTOR];

/// The buffers of a strip.
#[derive(Debug, Default)]
pub struct Strip {
    /// The rows of the strip, between rows of the fill colour.
    lines: Vec<Line>,
    /// The runs, from left to right: the first of `lines` for output row 0, and the mask, once for
    /// each row of a vector.
    runs: Vec<(usize, Mask)>,
}

/// Makes each output column `x` of the input column `x`, moved up by `offsets[x]`.
pub fn move_columns(offsets: &[i64], strip: &mut Strip, fill: Pixel, planes: &mut Planes<'_>) {
    let (height, width) = (planes.height(), planes.width());
    for (i, offsets) in offsets.chunks(WIDTH).enumerate() {
        // All columns that are moved by the height or more consist of the fill colour.
        let most = height as i64;
        let clamped = || offsets.iter().map(|&k| k.clamp(-most, most));
        let above = clamped().fold(0, |least, k| k.min(least)).unsigned_abs() as usize;
        let below = clamped().fold(0, |most, k| k.max(most)) as usize;
        strip.runs.clear();
        let mut last = None;
        for (x, k) in clamped().enumerate() {
            if last.replace(k) != Some(k) {
                strip.runs.push(((above as i64 + k) as usize, [0; VECTOR]));
            }
            let (_, mask) = strip.runs.last_mut().expect("a run has just begun");
            mask.iter_mut().skip(x).step_by(WIDTH).for_each(|byte| *byte = u8::MAX);
        }
        memory::resize(&mut strip.lines, above + height + below + ROWS, [0; WIDTH]);
        for (plane, fill) in planes.channels().into_iter().zip(fill) {
            let (first, rest) = strip.lines.split_at_mut(above);
            let (lines, end) = rest.split_at_mut(height);
            first.fill([fill; WIDTH]);
            end.fill([fill; WIDTH]);
            let column = i * WIDTH;
            for (line, row) in lines.iter_mut().zip(plane.chunks_exact(width)) {
                copy(&row[column..][..offsets.len()], line);
            }
            merge(&strip.lines, &strip.runs, column, width, plane);
        }
    }
}

/// Copies a part of a row. A whole line is one instruction rather than a call.
#[inline(always)]
fn copy(from: &[u8], line: &mut Line) {
    match from.try_into() {
        Ok(whole) => *line = whole,
        Err(_) => line[..from.len()].copy_from_slice(from),
    }
}

/// Writes the sum of the masked copies of `lines` to the columns of the plane from `column` on.
fn merge(lines: &[Line], runs: &[(usize, Mask)], column: usize, width: usize, plane: &mut [u8]) {
    for (i, rows) in plane.chunks_mut(ROWS * width).enumerate() {
        let mut sums = [[0; VECTOR]; ROWS * WIDTH / VECTOR];
        for (start, mask) in runs {
            let lines: &[Line; ROWS] =
                lines[start + i * ROWS..].first_chunk().expect("lines enough for every run");
            let (lines, _) = lines.as_flattened().as_chunks::<VECTOR>();
            for (sum, line) in sums.iter_mut().zip(lines) {
                for ((sum, v), mask) in sum.iter_mut().zip(line).zip(mask) {
                    *sum |= v & mask;
                }
            }
        }
        let (sums, _) = sums.as_flattened().as_chunks::<WIDTH>();
        for (row, sum) in rows.chunks_exact_mut(width).zip(sums) {
            let row = &mut row[column..];
            match row.first_chunk_mut::<WIDTH>() {
                Some(row) => *row = *sum,
                None => row.copy_from_slice(&sum[..row.len()]),
            }
        }
    }
}
