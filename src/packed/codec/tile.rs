//! The bytes of a tile: where its streams are.
//!
//! ```text
//! i16 per component      what the first DC coefficient of the component is a difference to
//! u16, u16               the lengths of the first and the later stream
//! u16                    how many exceptions there are
//! u8 per block           classes
//! bit streams            fixed, first, later
//! u8 each                escapes
//! u8, u8, i16 each       exceptions: block, coefficient, value
//! ```

use super::McuBlocks;
use super::codebook::{BLOCK, CODEBOOKS, RAW};
use crate::error::Result;
use crate::packed::broken;
use crate::packed::bytes::Bytes;

/// The most blocks of a tile: exceptions have their number in a byte.
pub(in crate::packed) const MAX_BLOCKS: usize = 255;

/// A coefficient that its class has no place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) block: u8,
    pub(super) coefficient: u8,
    /// The coefficient or, at 0, the difference to the DC coefficient before it.
    pub(super) value: i16,
}

impl Exception {
    const LENGTH: usize = 4;

    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend([self.block, self.coefficient]);
        out.extend(self.value.to_le_bytes());
    }
}

/// A tile's parts.
#[derive(Debug)]
pub(super) struct Streams<'a> {
    /// Per component.
    predictors: &'a [u8],
    /// Per block.
    pub(super) classes: &'a [u8],
    /// Bits whose number follows from the classes: first unary digits and raw bits. This slice and
    /// the next two go on beyond the end of the stream, so that it can be read in larger pieces.
    pub(super) fixed: &'a [u8],
    /// Second unary digits and signs.
    pub(super) first: &'a [u8],
    /// Further unary digits.
    pub(super) later: &'a [u8],
    /// The lengths of these three. That of `fixed` has all the bits of `classes`.
    pub(super) lengths: [usize; 3],
    pub(super) escapes: &'a [u8],
    exceptions: &'a [u8],
}

impl<'a> Streams<'a> {
    /// `image` begins with the tile, whose length is `length`, and goes on after it.
    pub(super) fn parse(
        image: &'a [u8],
        length: usize,
        mcu: &McuBlocks,
        blocks: usize,
    ) -> Result<Self> {
        let tile = image.get(..length).ok_or_else(|| broken("a tile beyond its end"))?;
        let mut bytes = Bytes::new(tile);
        let predictors = bytes.take(2 * mcu.components)?;
        let (first, later) = (bytes.u16()?, bytes.u16()?);
        let exceptions = bytes.u16()? * Exception::LENGTH;
        let classes = bytes.take(blocks)?;
        let fixed = length - bytes.remaining();
        let lengths = [fixed_length(classes, mcu), first, later];
        bytes.take(lengths.iter().sum())?;
        let escapes = bytes.remaining().checked_sub(exceptions);
        let escapes = bytes.take(escapes.ok_or_else(|| broken("a tile ends too early"))?)?;
        let first = fixed + lengths[0];
        Ok(Self {
            predictors,
            classes,
            fixed: &image[fixed..],
            first: &image[first..],
            later: &image[first + lengths[1]..],
            lengths,
            escapes,
            exceptions: bytes.take(exceptions)?,
        })
    }

    /// What the first DC coefficient of each component is a difference to.
    pub(super) fn predictors(&self) -> [i16; 4] {
        let mut predictors =
            self.predictors.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes));
        std::array::from_fn(|_| predictors.next().unwrap_or(0))
    }

    /// Puts the exceptions where they belong, into the first blocks of the tile, whose DC
    /// coefficients are summed up.
    pub(super) fn add_exceptions(
        &self,
        mcu: &McuBlocks,
        blocks: &mut [[i16; BLOCK]],
    ) -> Result<()> {
        for &[block, coefficient, low, high] in self.exceptions.as_chunks().0 {
            let (number, value) = (usize::from(block), i16::from_le_bytes([low, high]));
            if (blocks.len()..self.classes.len()).contains(&number) {
                continue;
            }
            let place = blocks
                .get_mut(number)
                .and_then(|block| block.get_mut(usize::from(coefficient)))
                .ok_or_else(|| broken("an exception beyond its tile"))?;
            if coefficient > 0 {
                *place = value;
            } else {
                self.replace_difference(mcu, blocks, number, value);
            }
        }
        Ok(())
    }

    /// Gives a block another DC difference, which changes all later blocks of its component.
    fn replace_difference(
        &self,
        mcu: &McuBlocks,
        blocks: &mut [[i16; BLOCK]],
        number: usize,
        difference: i16,
    ) {
        let component = |number: usize| mcu.blocks[number % mcu.blocks.len()].0;
        let same = |&other: &usize| component(other) == component(number);
        let before = match (0..number).rev().find(same) {
            Some(other) => blocks[other][0],
            None => self.predictors()[usize::from(component(number) % 4)],
        };
        let change = before.wrapping_add(difference).wrapping_sub(blocks[number][0]);
        for other in (number..blocks.len()).filter(same) {
            blocks[other][0] = blocks[other][0].wrapping_add(change);
        }
    }
}

/// The length of the fixed stream in bytes.
fn fixed_length(classes: &[u8], mcu: &McuBlocks) -> usize {
    let mut bits = 0;
    for classes in classes.chunks(mcu.blocks.len()) {
        for (&class, &(_, book)) in classes.iter().zip(&mcu.blocks) {
            let class = &CODEBOOKS[usize::from(book)][usize::from(class)];
            bits += usize::from(class.offsets[RAW]);
        }
    }
    bits.div_ceil(8)
}
