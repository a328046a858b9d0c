//! What the versions of the passes work on.

use super::super::coefficients::PRECISION_BITS;
#[cfg(target_arch = "x86_64")]
use super::avx512vnni;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
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

/// The buffers of the horizontal pass. Reused between images.
#[derive(Clone, Debug, Default)]
pub struct HorizontalBuffers {
    pub input: Vec<u8>,
    pub output: Vec<u8>,
    /// For kernels that work on eight rows.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub quads8: quads::Buffers<quads::Rows8>,
    /// For the kernel that works on sixteen rows.
    #[cfg(target_arch = "x86_64")]
    pub quads16: quads::Buffers<avx512vnni::Rows16>,
}

impl HorizontalBuffers {
    /// The number of bytes held.
    pub fn memory(&self) -> usize {
        let memory = self.input.capacity() + self.output.capacity();
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        let memory = memory + self.quads8.memory();
        #[cfg(target_arch = "x86_64")]
        let memory = memory + self.quads16.memory();
        memory
    }
}
