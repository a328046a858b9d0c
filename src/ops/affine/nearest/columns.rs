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
//!
//! The fewer columns, the fewer runs in a strip. So a row of a strip is eight bytes, a number, of
//! which a vector holds several. Two strips are moved at a time, since eight bytes are slow to copy.

use std::iter::zip;
use std::ops::Range;

use multiversion::multiversion;

use super::super::padded::Pixel;
use crate::image::Planes;
use crate::memory;

/// The columns of a strip.
const WIDTH: usize = size_of::<Row>();
/// The columns of two strips.
const PAIR: usize = 2 * WIDTH;
/// The rows that are made at once, with one look at the masks.
const ROWS: usize = 16;

/// A row of a strip: its bytes.
type Row = u64;

/// The buffers of a strip.
#[derive(Debug, Default)]
pub struct Strip {
    /// The rows of the strip, between rows of the fill colour.
    rows: Vec<Row>,
    /// From left to right.
    runs: Vec<Run>,
}

/// Adjacent columns that are moved alike.
#[derive(Debug)]
struct Run {
    /// The row of the strip that is output row 0.
    start: usize,
    /// All bits of the columns.
    mask: Row,
}

impl Strip {
    /// Prepares for columns that are moved up by `offsets`, after `above` rows of the fill colour.
    fn prepare(&mut self, offsets: &[i64], above: usize, rows: usize) {
        self.runs.clear();
        let mut last = None;
        for (x, &k) in offsets.iter().enumerate() {
            if last.replace(k) != Some(k) {
                self.runs.push(Run { start: (above as i64 + k) as usize, mask: 0 });
            }
            let Run { mask, .. } = self.runs.last_mut().expect("a run has just begun");
            let mut columns = [0; WIDTH];
            columns[x] = u8::MAX;
            *mask |= Row::from_ne_bytes(columns);
        }
        memory::resize(&mut self.rows, rows, 0);
    }

    /// Fills the rows above and below those of the image.
    fn surround(&mut self, above: usize, height: usize, fill: u8) {
        self.rows[..above].fill(Row::from_ne_bytes([fill; WIDTH]));
        self.rows[above + height..].fill(Row::from_ne_bytes([fill; WIDTH]));
    }

    /// The sum of the masked copies: the rows from `y` on.
    #[inline(always)]
    fn sum(&self, y: usize) -> [Row; ROWS] {
        let mut sums = [0; ROWS];
        for &Run { start, mask } in &self.runs {
            let rows = self.rows[start + y..].first_chunk::<ROWS>().expect("rows for every run");
            sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum |= row & mask);
        }
        sums
    }
}

/// Makes each output column `x` of the input column `x`, moved up by `offsets[x]`.
pub fn move_columns(
    offsets: &[i64],
    strips: &mut [Strip; 2],
    fill: Pixel,
    planes: &mut Planes<'_>,
) {
    let (height, width) = (planes.height(), planes.width());
    // All columns that are moved by the height or more consist of the fill colour.
    let most = height as i64;
    for (i, offsets) in offsets.chunks(PAIR).enumerate() {
        let mut clamped = [0; PAIR];
        clamped.iter_mut().zip(offsets).for_each(|(to, k)| *to = (*k).clamp(-most, most));
        let clamped = &clamped[..offsets.len()];
        let above = clamped.iter().fold(0, |least, &k| k.min(least)).unsigned_abs() as usize;
        let below = clamped.iter().fold(0, |most, &k| k.max(most)) as usize;
        let (left, right) = clamped.split_at(clamped.len().min(WIDTH));
        for (strip, offsets) in strips.iter_mut().zip([left, right]) {
            strip.prepare(offsets, above, above + height + below + ROWS);
        }
        let columns = || i * PAIR..i * PAIR + offsets.len();
        for (plane, fill) in planes.channels().into_iter().zip(fill) {
            strips.iter_mut().for_each(|strip| strip.surround(above, height, fill));
            let [left, right] = strips.each_mut().map(|strip| &mut strip.rows[above..][..height]);
            gather(plane, width, columns(), left, right);
            scatter(strips, plane, width, columns());
        }
    }
}

/// Copies columns of a plane of this width to two strips.
#[multiversion(targets = "simd")]
fn gather(plane: &[u8], width: usize, columns: Range<usize>, left: &mut [Row], right: &mut [Row]) {
    if columns.len() < PAIR {
        for (row, (left, right)) in zip(plane.chunks(width), zip(left, right)) {
            let mut pair = [[0; WIDTH]; 2];
            pair.as_flattened_mut()[..columns.len()].copy_from_slice(&row[columns.clone()]);
            [*left, *right] = pair.map(Row::from_ne_bytes);
        }
        return;
    }
    let halves = |row: &[u8]| {
        let (halves, _) = row[columns.clone()].as_chunks();
        [Row::from_ne_bytes(halves[0]), Row::from_ne_bytes(halves[1])]
    };
    // Two rows at once, of which the compiler makes vectors.
    let (left, last_left) = left.as_chunks_mut::<2>();
    let (right, last_right) = right.as_chunks_mut::<2>();
    let mut rows = plane;
    for (left, right) in zip(left, right) {
        let (two, rest) = rows.split_at(2 * width);
        let (upper, lower) = two.split_at(width);
        let (upper, lower) = (halves(upper), halves(lower));
        *left = [upper[0], lower[0]];
        *right = [upper[1], lower[1]];
        rows = rest;
    }
    for (left, right) in zip(last_left, last_right) {
        [*left, *right] = halves(rows);
    }
}

/// Writes the sums of strips to columns of a plane of this width.
#[multiversion(targets = "simd")]
fn scatter(strips: &[Strip; 2], plane: &mut [u8], width: usize, columns: Range<usize>) {
    for (i, rows) in plane.chunks_mut(ROWS * width).enumerate() {
        let y = i * ROWS;
        if columns.len() < PAIR || rows.len() < ROWS * width {
            scatter_some(strips, y, rows, width, columns.clone());
            continue;
        }
        let mut rows = rows;
        for pair in zip(strips[0].sum(y), strips[1].sum(y)) {
            let pair = <[_; 2]>::from(pair).map(Row::to_ne_bytes);
            let (row, rest) = rows.split_at_mut(width);
            row[columns.clone()].copy_from_slice(pair.as_flattened());
            rows = rest;
        }
    }
}

/// As `scatter`, for fewer rows or columns: from row `y` on.
///
/// A function of its own, since this keeps sums in memory, which in `scatter` stay in registers.
#[inline(never)]
fn scatter_some(
    strips: &[Strip; 2],
    y: usize,
    rows: &mut [u8],
    width: usize,
    columns: Range<usize>,
) {
    for (row, pair) in rows.chunks_mut(width).zip(zip(strips[0].sum(y), strips[1].sum(y))) {
        let pair = <[_; 2]>::from(pair).map(Row::to_ne_bytes);
        row[columns.clone()].copy_from_slice(&pair.as_flattened()[..columns.len()]);
    }
}
