//! The bit planes of a block.

use super::codebook::{BLOCK, RAW, UNARY};

/// A block's coefficients as planes: bit `i` of each belongs to coefficient `i` in natural order.
///
/// A magnitude is `digits * weight + raw bits`, where `digits` counts the unary planes that have
/// the coefficient. A coefficient in the last of them has an escape besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Planes {
    /// Those whose quotient by the weight is greater than `i`.
    pub(super) unary: [u64; UNARY],
    /// Bits of value `1 << i`.
    pub(super) raw: [u64; RAW],
    /// Those below zero.
    pub(super) negative: u64,
}

impl Planes {
    /// The coefficients other than zero.
    #[inline(always)]
    pub(super) fn nonzero(&self) -> u64 {
        self.raw.iter().fold(self.unary[0], |all, plane| all | plane)
    }
}

/// Instructions that turn bits into coefficients and back. [`super::portable`] says what the functions
/// compute.
pub(super) trait Instructions {
    /// The lowest bits of `bits`, one for each bit of `mask` and at its place.
    ///
    /// # Safety
    /// The machine has the instructions of the implementation.
    unsafe fn deposit(bits: u64, mask: u64) -> u64;

    /// The bits at the places of the bits of `mask`, the lowest one first: what `deposit` undoes.
    ///
    /// # Safety
    /// The machine has the instructions of the implementation.
    unsafe fn extract(bits: u64, mask: u64) -> u64;

    /// The coefficients without their escapes. A magnitude is a byte, which is taken as signed: a
    /// coefficient with an escape may exceed it.
    ///
    /// # Safety
    /// The machine has the instructions of the implementation.
    unsafe fn coefficients(planes: &Planes, weights: &[u8; BLOCK], out: &mut [i16; BLOCK]);
}
