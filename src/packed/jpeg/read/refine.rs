//! Scans that add a bit to coefficients.
//!
//! A coefficient that is not zero yet gets its bit after the symbol that passes it. Those after a
//! block's last new coefficient come with the symbol that ends the block.

use std::ops::Range;

use super::Planes;
use crate::packed::jpeg::bits::BitReader;
use crate::packed::jpeg::habits::Recorder;
use crate::packed::jpeg::huffman::{Class, Decoder};
use crate::packed::jpeg::scan::{Band, Layout, Scan};
use crate::packed::jpeg::unpackable::Unpackable;
use crate::packed::zigzag::{NATURAL, band, nonzero};

/// Reads a bit of each DC coefficient.
pub(super) struct DcRefine {
    low: u8,
}

impl DcRefine {
    pub(super) fn new(low: u8) -> Self {
        Self { low }
    }

    pub(super) fn interval(
        &mut self,
        bits: &mut BitReader,
        layout: &Layout,
        mcus: Range<usize>,
        planes: &mut Planes,
    ) -> Result<(), Unpackable> {
        layout.visit(mcus, |slot, index| {
            bits.refill()?;
            planes[slot][index][0] |= (bits.take(1) << self.low) as i16;
            Ok(())
        })
    }
}

/// Reads a bit of each AC coefficient of a band.
pub(super) struct AcRefine {
    table: Decoder,
    band: Band,
    /// Blocks read so far.
    blocks: u32,
    pub(super) recorder: Recorder,
}

impl AcRefine {
    pub(super) fn new(scan: &Scan, band: Band) -> Result<Self, Unpackable> {
        let table = Decoder::new(scan.components[0].ac()?, Class::Ac)?;
        Ok(Self { table, band, blocks: 0, recorder: Recorder::default() })
    }

    pub(super) fn interval(
        &mut self,
        bits: &mut BitReader,
        layout: &Layout,
        mcus: Range<usize>,
        planes: &mut Planes,
    ) -> Result<(), Unpackable> {
        let mut run = 0;
        layout.visit(mcus, |_, index| {
            let block = &mut planes[0][index];
            // The coefficients that get a bit, and those that may become other than zero.
            let all = band(self.band.first, self.band.last);
            let old = nonzero(block, 0) & all;
            let mut rest = all;
            if run == 0 {
                (run, rest) = self.symbols(bits, block, old)?;
            }
            if run > 0 {
                run -= 1;
                let corrections = correct(bits, block, old & rest, self.band.low)?;
                self.recorder.end(self.blocks, corrections, run > 0);
            }
            self.blocks += 1;
            Ok::<_, Unpackable>(())
        })?;
        self.recorder.restart();
        if run > 0 {
            Err(Unpackable::Broken("a run of blocks beyond the last one"))
        } else {
            Ok(())
        }
    }

    /// Reads the symbols of a block. Returns how many blocks end here, this one included, and the
    /// positions after the last symbol.
    fn symbols(
        &mut self,
        bits: &mut BitReader,
        block: &mut [i16; 64],
        old: u64,
    ) -> Result<(u32, u64), Unpackable> {
        let all = band(self.band.first, self.band.last);
        let (mut rest, mut zeros) = (all, 0);
        let ended = loop {
            let symbol = self.table.symbol(bits)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            let ends = size == 0 && run < 15;
            if rest == all {
                self.recorder.begin(ends);
            }
            if ends {
                break (1 << run) + bits.take(u32::from(run));
            }
            let value = match (size, run) {
                (0, _) => 0,
                (1, _) if bits.take(1) == 1 => 1,
                (1, _) => -1,
                _ => return Err(Unpackable::Broken("a new coefficient of several bits")),
            };
            zeros = if value == 0 { zeros + 1 } else { 0 };
            let place = nth(rest & !old, run);
            if place == 0 {
                return Err(Unpackable::Broken("a coefficient after the end of a block"));
            }
            correct(bits, block, old & rest & (place - 1), self.band.low)?;
            block[usize::from(NATURAL[place.trailing_zeros() as usize])] = value << self.band.low;
            rest &= !(place | (place - 1));
            if rest == 0 {
                break 0;
            }
        };
        if zeros > 0 {
            self.recorder.zeros(self.blocks, zeros);
        }
        Ok((ended, rest))
    }
}

/// The lowest set bit but `n`, or 0 if there are too few.
fn nth(mut mask: u64, n: u8) -> u64 {
    for _ in 0..n {
        mask &= mask.wrapping_sub(1);
    }
    mask & mask.wrapping_neg()
}

/// Reads the bit of each coefficient of `mask`. Returns how many there are.
fn correct(
    bits: &mut BitReader,
    block: &mut [i16; 64],
    mut mask: u64,
    low: u8,
) -> Result<u32, Unpackable> {
    let count = mask.count_ones();
    while mask != 0 {
        bits.refill()?;
        // The refill gives 56 bits.
        for _ in 0..mask.count_ones().min(56) {
            let coefficient = &mut block[usize::from(NATURAL[mask.trailing_zeros() as usize])];
            *coefficient += coefficient.signum() * ((bits.take(1) as i16) << low);
            mask &= mask - 1;
        }
    }
    Ok(count)
}
