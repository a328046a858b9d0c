//! The horizontal pass by means of the vertical one: rows are transposed to columns and back.

use std::array::from_fn;

use multiversion::multiversion;

use super::super::coefficients::Coefficients;
use super::buffers::{BLOCK, ByteRows, HorizontalBuffers};
use super::transpose::{Lane, transpose};
use super::vertical::vertical;
use crate::image::ImageRef;
use crate::memory;
use crate::simd::Simd;

const LANE: usize = size_of::<Lane>();

/// As [`super::horizontal`].
pub fn horizontal(
    simd: Simd,
    source: ImageRef<'_>,
    coefficients: &Coefficients,
    buffers: &mut HorizontalBuffers,
    out: &mut [u8],
) {
    let width = coefficients.windows().len();
    let (rows, row_len) = (source.height as usize, source.width as usize * 3);
    // A column of pixels: three of bytes.
    let stride = 3 * BLOCK;
    memory::resize(&mut buffers.input, row_len.next_multiple_of(LANE) * BLOCK, 0);
    memory::resize(&mut buffers.output, width.next_multiple_of(LANE) * stride, 0);
    for top in (0..rows).step_by(BLOCK) {
        let count = BLOCK.min(rows - top);
        to_columns(source, top, count, &mut buffers.input);
        let input = ByteRows { data: &buffers.input[..row_len * BLOCK], stride, width: stride };
        vertical(simd, input, coefficients, &mut buffers.output[..width * stride]);
        for channel in 0..3 {
            let plane = &mut out[(channel * rows + top) * width..][..count * width];
            to_rows(&buffers.output[channel * BLOCK..], width, plane);
        }
    }
}

/// Transposes `count` rows of `source`, from `top` on, into byte columns of `BLOCK` bytes each. The
/// rest of a column repeats the last row.
#[multiversion(targets = "simd")]
fn to_columns(source: ImageRef<'_>, top: usize, count: usize, columns: &mut [u8]) {
    let rows: [&[u8]; BLOCK] = from_fn(|y| source.row((top + y.min(count - 1)) as u32));
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

/// Sixteen bytes of `row` from `start` on, with zeros after its end.
#[inline]
fn load(row: &[u8], start: usize) -> Lane {
    row[start..].first_chunk().copied().unwrap_or_else(|| {
        let mut lane = [0; LANE];
        lane[..row.len() - start].copy_from_slice(&row[start..]);
        lane
    })
}

/// Transposes the columns of one channel, `3 * BLOCK` bytes apart, back into rows of `width` bytes.
#[multiversion(targets = "simd")]
fn to_rows(columns: &[u8], width: usize, rows: &mut [u8]) {
    for start in (0..width).step_by(LANE) {
        let columns = &columns[start * 3 * BLOCK..];
        for (part, rows) in rows.chunks_mut(LANE * width).enumerate() {
            let lanes = transpose(from_fn(|x| load(columns, x * 3 * BLOCK + part * LANE)));
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
