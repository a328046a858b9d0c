//! What the versions of the passes work on.

use std::ops::Range;

use super::super::coefficients::PRECISION_BITS;

/// The bytes that the vector kernels sum at once.
pub const BLOCK: usize = 64;

/// Half a unit in the last place of a sum, so that shifting rounds.
pub const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Rows of bytes.
#[derive(Clone, Copy, Debug)]
pub struct ByteRows<'a> {
    /// The bytes from the first of the first row to the last of the last row.
    pub data: &'a [u8],
    /// The number of bytes between the starts of two rows.
    pub stride: usize,
    /// The number of bytes in a row.
    pub width: usize,
}

/// The order of the four pixels in a [`Quad<Rows8>`]: the even bytes have the first two pixels.
pub const QUAD_ORDER: [usize; 4] = [0, 2, 1, 3];

/// Four adjacent pixels of several rows, by channel: a row has 32 adjacent bits.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Quad<Rows>(pub [Rows; 3]);

/// Four bytes of each of eight rows.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(dead_code, reason = "no version uses them")
)]
pub struct Rows8(pub [u8; 32]);

/// Four bytes of each of sixteen rows.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no version uses them"))]
pub struct Rows16(pub [u8; 64]);

/// Where the quads and the weights of an output column are, found once for all rows.
#[derive(Clone, Debug)]
#[cfg_attr(not(target_arch = "aarch64"), expect(dead_code, reason = "no version uses them"))]
pub struct Column {
    /// The first quad.
    pub quad: usize,
    /// Which groups of weights.
    pub groups: Range<usize>,
    /// What its sums start from.
    pub from: i32,
}

/// The buffers of the horizontal pass. Reused between images.
#[derive(Clone, Debug, Default)]
pub struct HorizontalBuffers {
    pub input: Vec<u8>,
    pub output: Vec<u8>,
    pub quads8: Vec<Quad<Rows8>>,
    pub quads16: Vec<Quad<Rows16>>,
    pub columns: Vec<Column>,
}

impl HorizontalBuffers {
    /// The number of bytes held.
    pub fn memory(&self) -> usize {
        let quads8 = self.quads8.capacity() * size_of::<Quad<Rows8>>();
        let quads16 = self.quads16.capacity() * size_of::<Quad<Rows16>>();
        let columns = self.columns.capacity() * size_of::<Column>();
        self.input.capacity() + self.output.capacity() + quads8 + quads16 + columns
    }
}
