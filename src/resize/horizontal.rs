//! The horizontal pass: interleaved rows in, three planes out, 64 rows at a time.
//!
//! The rows are transposed, so that a byte column of the input is 64 adjacent bytes: then weighing
//! columns is weighing rows, with no shuffles, and channels come apart by themselves.

use multiversion::multiversion;

use super::Coefficients;
use super::transpose::{Lane, transpose};
#[cfg(target_arch = "x86_64")]
use super::vnni;
use super::weigh::{BLOCK, Level, Rows};
use crate::image::ImageRef;

const LANE: usize = size_of::<Lane>();

/// The columns of a strip of rows, each `BLOCK` bytes. Reused between images.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    input: Vec<u8>,
    output: Vec<u8>,
    #[cfg(target_arch = "x86_64")]
    quads: Vec<vnni::Quad>,
}

impl Columns {
    /// The bytes held.
    pub fn memory(&self) -> usize {
        let bytes = self.input.capacity() + self.output.capacity();
        #[cfg(target_arch = "x86_64")]
        let bytes = bytes + self.quads.capacity() * size_of::<vnni::Quad>();
        bytes
    }
}

/// Resizes rows `first..first + rows` of `source` to as many columns as `coefficients` has windows.
///
/// Row `y` of channel `c` goes to `out[(c * rows + y) * width..]`, mirrored if `flip`.
pub fn resize(
    level: Level,
    source: ImageRef<'_>,
    (first, rows): (usize, usize),
    coefficients: &Coefficients,
    flip: bool,
    columns: &mut Columns,
    out: &mut [u8],
) {
    #[cfg(target_arch = "x86_64")]
    if level.is_vnni() {
        // SAFETY: this level exists only where the instructions do.
        return unsafe {
            vnni::across(source, (first, rows), coefficients, flip, &mut columns.quads, out)
        };
    }
    let width = coefficients.windows().len();
    let row_len = source.width as usize * 3;
    columns.input.resize(row_len.next_multiple_of(LANE) * BLOCK, 0);
    columns.output.resize((3 * width).next_multiple_of(3 * LANE) * BLOCK, 0);
    for top in (0..rows).step_by(BLOCK) {
        let count = BLOCK.min(rows - top);
        split(source, first + top, count, &mut columns.input);
        let stride = 3 * BLOCK;
        let data = &columns.input[..row_len * BLOCK];
        let input = Rows { data, stride, width: stride, first: 0 };
        level.weigh(input, coefficients, flip, &mut columns.output[..width * stride]);
        for channel in 0..3 {
            let plane = &mut out[(channel * rows + top) * width..][..count * width];
            join(&columns.output[channel * BLOCK..], width, plane);
        }
    }
}

/// Transposes `count` rows of `source` from `top` on into byte columns of `BLOCK` bytes each; what
/// there is room for beyond them repeats the last row.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn split(source: ImageRef<'_>, top: usize, count: usize, columns: &mut [u8]) {
    let rows: [&[u8]; BLOCK] = std::array::from_fn(|y| source.row((top + y.min(count - 1)) as u32));
    for (number, columns) in columns.as_chunks_mut::<{ LANE * BLOCK }>().0.iter_mut().enumerate() {
        let start = number * LANE;
        for (part, rows) in rows.as_chunks::<LANE>().0.iter().enumerate() {
            let lanes = transpose(rows.map(|row| load(row, start)));
            for (column, lane) in columns.as_chunks_mut::<BLOCK>().0.iter_mut().zip(lanes) {
                column[part * LANE..][..LANE].copy_from_slice(&lane);
            }
        }
    }
}

/// Sixteen bytes of `row` from `start` on, with zeros for what it lacks.
#[inline]
fn load(row: &[u8], start: usize) -> Lane {
    row[start..].first_chunk().copied().unwrap_or_else(|| {
        let mut lane = [0; LANE];
        lane[..row.len() - start].copy_from_slice(&row[start..]);
        lane
    })
}

/// Transposes the columns of one channel, `3 * BLOCK` bytes apart, back into rows of `width` bytes.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn join(columns: &[u8], width: usize, rows: &mut [u8]) {
    for start in (0..width).step_by(LANE) {
        let columns = &columns[start * 3 * BLOCK..];
        for (part, rows) in rows.chunks_mut(LANE * width).enumerate() {
            let lanes =
                transpose(std::array::from_fn(|x| load(columns, x * 3 * BLOCK + part * LANE)));
            for (row, lane) in rows.chunks_exact_mut(width).zip(&lanes) {
                if let Some(whole) = row[start..].first_chunk_mut::<LANE>() {
                    *whole = *lane;
                } else {
                    row[start..].copy_from_slice(&lane[..width - start]);
                }
            }
        }
    }
}
