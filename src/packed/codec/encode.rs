//! Blocks of a tile to its bytes.

use super::McuBlocks;
use super::codebook::{BLOCK, CODEBOOKS, Class, RAW, UNARY};
use super::cost::{choose_class, fits};
use super::planes::Planes;
use super::tile::Exception;

/// The greatest escape.
pub(super) const MAX_ESCAPE: u32 = 255;

/// Bits, the lowest of each byte first.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    length: usize,
}

impl Bits {
    /// The bits of `plane` at which `mask` has ones.
    fn extract(&mut self, plane: u64, mut mask: u64) {
        let (mut bits, mut count) = (0u64, 0);
        while mask != 0 {
            bits |= (plane >> mask.trailing_zeros() & 1) << count;
            mask &= mask - 1;
            count += 1;
        }
        // They begin in the last byte, if that has room.
        let used = self.length % 8;
        let last = if used > 0 { self.bytes.pop().unwrap_or(0) } else { 0 };
        let bytes = (u128::from(bits) << used | u128::from(last)).to_le_bytes();
        self.bytes.extend(&bytes[..(used + count).div_ceil(8)]);
        self.length += count;
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.length = 0;
    }
}

/// Packs tiles; keeps memory between them.
#[derive(Debug, Default)]
pub(in crate::packed) struct Encoder {
    classes: Vec<u8>,
    fixed: Bits,
    first: Bits,
    later: Bits,
    escapes: Vec<u8>,
    exceptions: Vec<Exception>,
}

impl Encoder {
    /// Appends a tile to `out`. `blocks` are its blocks, MCU after MCU.
    pub(in crate::packed) fn tile<'a>(
        &mut self,
        mcu: &McuBlocks,
        blocks: impl Iterator<Item = &'a [i16; BLOCK]>,
        out: &mut Vec<u8>,
    ) {
        self.clear();
        let mut first = [None; 4];
        let mut before = [0i16; 4];
        for (number, (block, &(component, book))) in
            blocks.zip(mcu.blocks.iter().cycle()).enumerate()
        {
            let component = usize::from(component);
            let before = &mut before[component];
            let predicted = *first[component].get_or_insert_with(|| {
                *before = block[0];
                block[0]
            });
            debug_assert!(number > 0 || predicted == block[0]);
            let mut coded = *block;
            coded[0] = block[0].wrapping_sub(*before);
            *before = block[0];
            self.block(number as u8, book, coded);
        }
        for predictor in &first[..mcu.components] {
            out.extend(predictor.unwrap_or(0).to_le_bytes());
        }
        self.write(out);
    }

    /// `block` has the difference of its DC coefficient.
    fn block(&mut self, number: u8, book: u8, mut block: [i16; BLOCK]) {
        let (index, _) = choose_class(book, &block);
        let class = &CODEBOOKS[usize::from(book)][usize::from(index)];
        self.classes.push(index);
        for (i, value) in block.iter_mut().enumerate() {
            if *value != 0 && !fits(class, i, value.unsigned_abs()) {
                let exception = Exception { block: number, coefficient: i as u8, value: *value };
                self.exceptions.push(exception);
                *value = 0;
            }
        }
        let planes = self.planes(class, &block);
        self.fixed.extract(planes.unary[0], class.coded);
        for i in 0..RAW {
            self.fixed.extract(planes.raw[i], class.raw[i]);
        }
        self.first.extract(planes.unary[1], planes.unary[0]);
        self.first.extract(planes.negative, planes.nonzero());
        for i in 2..UNARY {
            self.later.extract(planes.unary[i], planes.unary[i - 1]);
        }
    }

    /// The planes of a block, all of whose coefficients fit the class. Notes the escapes.
    fn planes(&mut self, class: &Class, block: &[i16; BLOCK]) -> Planes {
        let mut planes = Planes::default();
        for (i, (&value, &weight)) in block.iter().zip(&class.weights).enumerate() {
            if value == 0 {
                continue;
            }
            let (magnitude, weight) = (value.unsigned_abs(), u16::from(weight));
            let digits = magnitude / weight;
            for (digit, plane) in planes.unary.iter_mut().enumerate() {
                *plane |= u64::from(usize::from(digits) > digit) << i;
            }
            for (bit, plane) in planes.raw.iter_mut().enumerate() {
                *plane |= u64::from((magnitude % weight) >> bit & 1) << i;
            }
            planes.negative |= u64::from(value < 0) << i;
            if let Some(escape) = usize::from(digits).checked_sub(UNARY) {
                self.escapes.push(escape as u8);
            }
        }
        planes
    }

    fn write(&self, out: &mut Vec<u8>) {
        let streams = [&self.fixed.bytes, &self.first.bytes, &self.later.bytes];
        for length in [self.first.bytes.len(), self.later.bytes.len(), self.exceptions.len()] {
            out.extend((length as u16).to_le_bytes());
        }
        out.extend(&self.classes);
        for stream in streams {
            out.extend(stream);
        }
        out.extend(&self.escapes);
        for exception in &self.exceptions {
            exception.write(out);
        }
    }

    fn clear(&mut self) {
        self.classes.clear();
        self.fixed.clear();
        self.first.clear();
        self.later.clear();
        self.escapes.clear();
        self.exceptions.clear();
    }
}
