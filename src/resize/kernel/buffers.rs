//! What the versions of the passes work on.

use std::ops::Range;

use super::super::coefficients::PRECISION_BITS;
use super::plan::Plan;
use super::quads;

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

impl AsRef<[u8]> for Rows8 {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Four bytes of each of sixteen rows.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no version uses them"))]
pub struct Rows16(pub [u8; 64]);

impl AsRef<[u8]> for Rows16 {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

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
    pub plan: Plan,
    pub columns8: Vec<Quad<Rows8>>,
    pub quads8: Vec<Quad<Rows8>>,
    pub quads16: Vec<Quad<Rows16>>,
    pub columns16: Vec<Quad<Rows16>>,
    pub columns: Vec<Column>,
}

impl HorizontalBuffers {
    /// Those for kernels that work on eight rows.
    pub fn of_eight_rows(&mut self) -> quads::Buffers<'_, Rows8> {
        let Self { plan, quads8, columns8, .. } = self;
        quads::Buffers { plan, quads: quads8, columns: columns8 }
    }

    /// Those for kernels that work on sixteen rows.
    pub fn of_sixteen_rows(&mut self) -> quads::Buffers<'_, Rows16> {
        let Self { plan, quads16, columns16, .. } = self;
        quads::Buffers { plan, quads: quads16, columns: columns16 }
    }

    /// The number of bytes held.
    pub fn memory(&self) -> usize {
        let eight = (self.quads8.capacity() + self.columns8.capacity()) * size_of::<Quad<Rows8>>();
        let sixteen = self.quads16.capacity() + self.columns16.capacity();
        let quads = eight + sixteen * size_of::<Quad<Rows16>>();
        let columns = self.columns.capacity() * size_of::<Column>();
        self.input.capacity() + self.output.capacity() + self.plan.memory() + quads + columns
    }
}
