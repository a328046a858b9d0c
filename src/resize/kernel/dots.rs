//! The vertical pass with dot products of bytes, for every instruction set that has [`Interleave`].

use super::super::coefficients::{Coefficients, Digits, GROUP};
use super::buffers::{ByteRows, HALF};
use super::quads::Vectors;

/// What the pass needs besides the instructions of the horizontal pass.
pub trait Interleave: Vectors<Weights = Digits> {
    /// The bytes in a vector.
    const BLOCK: usize = GROUP * Self::ROWS;

    /// The first block of each of four rows, as four bytes of each column. [`Vectors::four`] undoes
    /// the order of the columns.
    fn columns(self, rows: [&[u8]; GROUP]) -> [Self::Rows; 4];
}

/// As [`super::vertical()`], for rows of at least a block and groups that are not aligned.
#[inline(always)]
pub fn vertical<V: Interleave>(
    vectors: V,
    input: ByteRows<'_>,
    coefficients: &Coefficients,
    out: &mut [u8],
) {
    let ByteRows { data, stride, width } = input;
    for (&window, out) in coefficients.windows().iter().zip(out.chunks_exact_mut(width)) {
        let rows = &data[window.start * stride..];
        let (_, weights) = coefficients.groups(window);
        for start in (0..width).step_by(V::BLOCK) {
            // The last block overlaps the one before it rather than being short.
            let start = start.min(width - V::BLOCK);
            let block = weigh_rows(vectors, &rows[start..], stride, window.len - 1, weights);
            out[start..][..V::BLOCK].copy_from_slice(block.as_ref());
        }
    }
}

/// The weighted sum of a block of each of the rows `0..=last`.
#[inline(always)]
fn weigh_rows<V: Interleave>(
    vectors: V,
    rows: &[u8],
    stride: usize,
    last: usize,
    weights: &[Digits],
) -> V::Rows {
    let mut sums = [vectors.start(HALF); 4];
    for (group, digits) in weights.iter().enumerate() {
        // After the last row any row will do, since its weight is 0.
        let row = |i: usize| &rows[(group * GROUP + i).min(last) * stride..][..V::BLOCK];
        let columns = vectors.columns([row(0), row(1), row(2), row(3)]);
        for (sums, column) in sums.iter_mut().zip(&columns) {
            *sums = vectors.add(*sums, column, digits);
        }
    }
    let [a, b, c, d] = sums;
    let ab = vectors.pair(vectors.finish(a), vectors.finish(b));
    vectors.four(ab, vectors.pair(vectors.finish(c), vectors.finish(d)))
}
