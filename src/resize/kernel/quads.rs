//! The horizontal pass over quads: one algorithm, for every instruction set that has [`Vectors`].
//!
//! A quad is four adjacent pixels of several rows, the channels apart. To weigh a column of the
//! output, the quads of its window are multiplied by its groups of weights and added. Four columns
//! fill a vector of bytes, and sixteen are transposed back to rows and stored.
//!
//! # Panels
//!
//! Columns are worked on in panels whose quads fit the smallest cache together with the rows that
//! they are made from. Where two panels meet, some quads are made twice.
//!
//! # Counts
//!
//! A loop over the few groups of a window often ends earlier or later than the branch predictor
//! thinks. So if no window has more than three groups, all windows have the same number. The
//! additional groups weigh 0.

use std::array::from_fn;

use super::super::coefficients::{Coefficients, GROUP};
use super::plan::{Column, Plan, STRIP};
use crate::image::ImageRef;
use crate::memory;

/// The most rows that any instruction set works on at once.
const MAX_ROWS: usize = 16;

/// The bytes of four pixels.
const PIXELS: usize = 3 * GROUP;

/// Sixteen bytes of a row.
pub type Lane = [u8; STRIP];

/// Four adjacent pixels of several rows, by channel: a row has 32 adjacent bits.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Quad<Rows>(pub [Rows; 3]);

/// Four bytes of each of eight rows.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
pub struct Rows8(pub [u8; 32]);

impl AsRef<[u8]> for Rows8 {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The vector instructions of the pass.
///
/// A value proves that the machine has them, so that its methods are safe. They have to be
/// `#[inline(always)]`, as everything here: only then do the instructions end up in the function
/// that enables them.
pub trait Vectors: Copy {
    /// Rows in a quad.
    const ROWS: usize;
    /// What is subtracted from the bytes of quads.
    const BIAS: u8 = 0;
    /// Four pixels of a channel in `ROWS` rows, or four columns of them.
    type Rows: Copy + Default + AsRef<[u8]>;
    /// The weights of a group.
    type Weights;
    /// The sums of a column in `ROWS` rows, not yet put together.
    type Sums: Copy;
    /// The sums of a column in `ROWS` rows.
    type Column: Copy;
    /// Two columns, narrower.
    type Pair: Copy;
    /// Sixteen columns of `ROWS` rows: row `y` is number `y % 4 * (ROWS / 4) + y / 4`.
    type Lanes: AsRef<[Lane]>;

    /// The weights of all groups.
    fn weights(coefficients: &Coefficients) -> &[Self::Weights];

    /// A quad from the first twelve bytes of the first `ROWS` of `lanes`.
    ///
    /// Of each four rows, the second channel begins with the last one, and the third channel with
    /// the last but one.
    fn quad(self, lanes: &[&Lane; MAX_ROWS]) -> [Self::Rows; 3];

    /// The sums before the first product. Without a bias, they always start from [`HALF`].
    ///
    /// [`HALF`]: super::buffers::HALF
    fn start(self, from: i32) -> Self::Sums;

    /// Adds the products of a group.
    fn add(self, sums: Self::Sums, rows: &Self::Rows, weights: &Self::Weights) -> Self::Sums;

    /// Puts the sums together.
    fn finish(self, sums: Self::Sums) -> Self::Column;

    /// Two columns, without bits that the bytes will not have.
    fn pair(self, first: Self::Column, second: Self::Column) -> Self::Pair;

    /// Four columns, clamped to bytes. Their order is between this and [`Self::to_rows`].
    fn four(self, first: Self::Pair, second: Self::Pair) -> Self::Rows;

    /// Rows of sixteen columns.
    fn to_rows(self, columns: [&Self::Rows; 4]) -> Self::Lanes;
}

/// The buffers of the pass. Reused between images.
#[derive(Clone, Debug, Default)]
pub struct Buffers<Rows> {
    plan: Plan,
    /// The quads of a panel.
    quads: Vec<Quad<Rows>>,
    /// Fours of columns.
    columns: Vec<Quad<Rows>>,
}

impl<Rows> Buffers<Rows> {
    /// The number of bytes held.
    pub fn memory(&self) -> usize {
        let quads = self.quads.capacity() + self.columns.capacity();
        self.plan.memory() + quads * size_of::<Quad<Rows>>()
    }
}

/// As [`super::horizontal`], for aligned groups.
#[inline(always)]
pub fn horizontal<V: Vectors>(
    vectors: V,
    source: ImageRef<'_>,
    coefficients: &Coefficients,
    Buffers { plan, quads, columns }: &mut Buffers<V::Rows>,
    out: &mut [u8],
) {
    let (rows, width) = (source.height as usize, coefficients.windows().len());
    plan.fill(coefficients, V::BIAS);
    memory::resize(quads, plan.most_quads, Quad::default());
    memory::resize(columns, plan.columns.len() / 4, Quad::default());
    let weights = V::weights(coefficients);
    for top in (0..rows).step_by(V::ROWS) {
        let count = V::ROWS.min(rows - top);
        for panel in &plan.panels {
            to_quads(vectors, source, top, count, panel.quads.start, quads);
            let fours = plan.columns[panel.columns.clone()].as_chunks().0;
            let weighed = &mut columns[panel.columns.start / 4..][..fours.len()];
            match plan.most_groups {
                1 => weigh_columns::<V, 1>(vectors, quads, weights, fours, weighed),
                2 => weigh_columns::<V, 2>(vectors, quads, weights, fours, weighed),
                3 => weigh_columns::<V, 3>(vectors, quads, weights, fours, weighed),
                _ => weigh_columns::<V, 0>(vectors, quads, weights, fours, weighed),
            }
            for x in panel.columns.clone().step_by(STRIP) {
                let strip: &[Quad<V::Rows>; 4] = columns[x / 4..].first_chunk().expect("a strip");
                for channel in 0..3 {
                    let lanes = vectors.to_rows(strip.each_ref().map(|four| &four.0[channel]));
                    let out = &mut out[(channel * rows + top) * width..][..count * width];
                    store::<V>(lanes, channel, x, width, out);
                }
            }
        }
    }
}

/// Weighs columns. Each has `COUNT` groups, or its own number if that is 0.
#[inline(always)]
fn weigh_columns<V: Vectors, const COUNT: usize>(
    vectors: V,
    quads: &[Quad<V::Rows>],
    weights: &[V::Weights],
    fours: &[[Column; 4]],
    out: &mut [Quad<V::Rows>],
) {
    for (four, out) in fours.iter().zip(out) {
        *out = weigh_four::<V, COUNT>(vectors, quads, weights, four);
    }
}

/// Four columns of each channel.
///
/// By reference, since the compiler would copy them to the stack: that took 5% of a resize with AVX2.
#[inline(always)]
fn weigh_four<V: Vectors, const COUNT: usize>(
    vectors: V,
    quads: &[Quad<V::Rows>],
    weights: &[V::Weights],
    [a, b, c, d]: &[Column; 4],
) -> Quad<V::Rows> {
    let a = weigh::<V, COUNT>(vectors, quads, weights, a);
    let b = weigh::<V, COUNT>(vectors, quads, weights, b);
    let ab = [vectors.pair(a[0], b[0]), vectors.pair(a[1], b[1]), vectors.pair(a[2], b[2])];
    let c = weigh::<V, COUNT>(vectors, quads, weights, c);
    let d = weigh::<V, COUNT>(vectors, quads, weights, d);
    Quad([
        vectors.four(ab[0], vectors.pair(c[0], d[0])),
        vectors.four(ab[1], vectors.pair(c[1], d[1])),
        vectors.four(ab[2], vectors.pair(c[2], d[2])),
    ])
}

/// One column of each channel.
#[inline(always)]
fn weigh<V: Vectors, const COUNT: usize>(
    vectors: V,
    quads: &[Quad<V::Rows>],
    weights: &[V::Weights],
    column: &Column,
) -> [V::Column; 3] {
    let mut sums = [vectors.start(column.from); 3];
    let quads = &quads[column.quad as usize..];
    let weights = &weights[column.group as usize..];
    if COUNT == 0 {
        for (quad, weights) in quads[..column.count as usize].iter().zip(weights) {
            for (sums, rows) in sums.iter_mut().zip(&quad.0) {
                *sums = vectors.add(*sums, rows, weights);
            }
        }
    } else {
        let quads: &[_; COUNT] = quads.first_chunk().expect("as many quads as groups");
        let weights: &[_; COUNT] = weights.first_chunk().expect("as many groups");
        for (quad, weights) in quads.iter().zip(weights) {
            for (sums, rows) in sums.iter_mut().zip(&quad.0) {
                *sums = vectors.add(*sums, rows, weights);
            }
        }
    }
    [vectors.finish(sums[0]), vectors.finish(sums[1]), vectors.finish(sums[2])]
}

/// Writes sixteen columns of a channel, from `x` on, to rows of `width` bytes.
#[inline(always)]
fn store<V: Vectors>(lanes: V::Lanes, channel: usize, x: usize, width: usize, out: &mut [u8]) {
    // The order of `Vectors::quad`.
    let lane = |y: usize| &lanes.as_ref()[(y + channel) % 4 * (V::ROWS / 4) + y / 4];
    if x + STRIP <= width && out.len() == V::ROWS * width {
        for y in 0..V::ROWS {
            out[y * width + x..][..STRIP].copy_from_slice(lane(y));
        }
    } else {
        for (y, row) in out.chunks_exact_mut(width).enumerate() {
            let row = row[x..].iter_mut().zip(lane(y));
            row.for_each(|(out, byte)| *out = *byte);
        }
    }
}

/// Rearranges `count` rows of `source`, from `top` on, into `quads`, from quad number `base` on.
///
/// Missing rows repeat the last one. Pixels after the end of a row have any value.
#[inline(always)]
fn to_quads<V: Vectors>(
    vectors: V,
    source: ImageRef<'_>,
    top: usize,
    count: usize,
    base: usize,
    quads: &mut [Quad<V::Rows>],
) {
    let (data, stride) = source.bytes();
    let row = |y: usize| &data[(top + y.min(count - 1)) * stride + base * PIXELS..];
    let rows: [&[u8]; MAX_ROWS] = from_fn(row);
    let all = (source.width as usize - base * GROUP).div_ceil(GROUP).min(quads.len());
    // A quad is 12 bytes of a row, but 16 are loaded. They may end in the next row.
    let left = rows[count - 1].len();
    let whole = (left.saturating_sub(4) / PIXELS).min(all);
    let (quads, last) = quads[..all].split_at_mut(whole);
    for (number, quad) in quads.iter_mut().enumerate() {
        quad.0 = vectors.quad(&rows.map(|row| {
            // SAFETY: the lane ends at most at `whole * 12 + 4`, and so at most at `left`. All rows
            // have at least as many bytes. Bytes have no alignment, and all values are valid.
            unsafe { &*row.as_ptr().add(number * PIXELS).cast::<Lane>() }
        }));
    }
    for (number, quad) in last.iter_mut().enumerate() {
        let lanes: [Lane; MAX_ROWS] = rows.map(|row| {
            let mut bytes = row[(whole + number) * PIXELS..].iter().copied();
            from_fn(|_| bytes.next().unwrap_or(0))
        });
        quad.0 = vectors.quad(&lanes.each_ref());
    }
}
