//! What the versions of the passes work on.

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

/// Four adjacent pixels of sixteen rows, by channel: a row has 32 adjacent bits.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Quad(pub [[u8; BLOCK]; 3]);

/// The buffers of the horizontal pass. Reused between images.
#[derive(Clone, Debug, Default)]
pub struct HorizontalBuffers {
    pub input: Vec<u8>,
    pub output: Vec<u8>,
    pub quads: Vec<Quad>,
}

impl HorizontalBuffers {
    /// The number of bytes held.
    pub fn memory(&self) -> usize {
        let quads = self.quads.capacity() * size_of::<Quad>();
        self.input.capacity() + self.output.capacity() + quads
    }
}
