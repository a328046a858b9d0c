//! Runs of ended blocks, with the correction bits that wait for a run's end.

use crate::packed::jpeg::bits::BitWriter;
use crate::packed::jpeg::habits::{Cuts, Habits, MAX_RUN};
use crate::packed::jpeg::huffman::Encoder;
use crate::packed::jpeg::unpackable::Unwritable;

/// Correction bits of a block or a part of it: the last one lowest, and how many.
#[derive(Clone, Copy, Default)]
pub(super) struct Corrections {
    bits: u64,
    count: u32,
}

impl Corrections {
    pub(super) fn push(&mut self, bit: bool) {
        self.bits = self.bits << 1 | u64::from(bit);
        self.count += 1;
    }

    pub(super) fn is_empty(self) -> bool {
        self.count == 0
    }

    pub(super) fn put(self, bits: &mut BitWriter) {
        let low = self.count.min(32);
        bits.put((self.bits >> low) as u32, self.count - low);
        bits.put((self.bits & ((1 << low) - 1)) as u32, low);
    }
}

/// The run of ended blocks that has not been written yet.
pub(super) struct Runs<'a> {
    cuts: Cuts<'a>,
    /// Blocks in the run.
    length: u32,
    /// The corrections of these blocks, and how many bits that is.
    corrections: Vec<Corrections>,
    bits: u32,
    /// The current block, by its order in the scan.
    block: u32,
}

impl<'a> Runs<'a> {
    pub(super) fn new(habits: &'a Habits) -> Self {
        Self { cuts: Cuts::new(habits), length: 0, corrections: Vec::new(), bits: 0, block: 0 }
    }

    /// How many "sixteen zeros" end the current block needlessly.
    pub(super) fn zeros(&mut self) -> u8 {
        self.cuts.zeros(self.block)
    }

    /// Goes on to the next block, the current one being complete.
    pub(super) fn next(&mut self) {
        self.block += 1;
    }

    /// The rest of the current block is ended.
    pub(super) fn end(
        &mut self,
        corrections: Corrections,
        table: &Encoder,
        bits: &mut BitWriter,
    ) -> Result<(), Unwritable> {
        self.length += 1;
        if !corrections.is_empty() {
            self.corrections.push(corrections);
            self.bits += corrections.count;
        }
        if self.cuts.cut(self.block, self.length, self.bits) {
            self.flush(table, bits)?;
        }
        Ok(())
    }

    /// Writes the run, if there is one.
    #[inline]
    pub(super) fn flush(
        &mut self,
        table: &Encoder,
        bits: &mut BitWriter,
    ) -> Result<(), Unwritable> {
        if self.length == 0 { Ok(()) } else { self.write(table, bits) }
    }

    fn write(&mut self, table: &Encoder, bits: &mut BitWriter) -> Result<(), Unwritable> {
        if self.length > MAX_RUN {
            return Err(Unwritable::Side("a run of too many blocks"));
        }
        let size = self.length.ilog2();
        if !bits.burst(|bits| table.put(bits, size, 0, 0)) {
            return Err(Unwritable::NoCode);
        }
        bits.put(self.length ^ 1 << size, size);
        for corrections in self.corrections.drain(..) {
            corrections.put(bits);
        }
        (self.length, self.bits) = (0, 0);
        Ok(())
    }
}
