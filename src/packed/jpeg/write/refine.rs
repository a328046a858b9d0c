//! Scans that add a bit to coefficients.

use std::ops::Range;

use super::Planes;
use super::runs::{Corrections, Runs};
use crate::packed::jpeg::bits::BitWriter;
use crate::packed::jpeg::habits::Habits;
use crate::packed::jpeg::huffman::{Class, Encoder};
use crate::packed::jpeg::scan::{Band, Layout, Scan};
use crate::packed::jpeg::unpackable::Unwritable;
use crate::packed::zigzag::{NATURAL, band, nonzero};

/// Writes a bit of each DC coefficient.
pub(super) struct DcRefine {
    low: u8,
}

impl DcRefine {
    pub(super) fn new(low: u8) -> Self {
        Self { low }
    }

    pub(super) fn interval(
        &mut self,
        bits: &mut BitWriter,
        layout: &Layout,
        mcus: Range<usize>,
        planes: &Planes,
    ) -> Result<(), Unwritable> {
        layout.visit(mcus, |slot, index| {
            bits.put((planes[slot][index][0] >> self.low & 1) as u32, 1);
            Ok(())
        })
    }
}

/// Writes a bit of each AC coefficient of a band.
pub(super) struct AcRefine<'a> {
    table: Encoder,
    band: Band,
    runs: Runs<'a>,
}

impl<'a> AcRefine<'a> {
    pub(super) fn new(scan: &Scan, band: Band, habits: &'a Habits) -> Result<Self, Unwritable> {
        let table = Encoder::new(scan.components[0].ac()?, Class::Ac)?;
        Ok(Self { table, band, runs: Runs::new(habits) })
    }

    pub(super) fn interval(
        &mut self,
        bits: &mut BitWriter,
        layout: &Layout,
        mcus: Range<usize>,
        planes: &Planes,
    ) -> Result<(), Unwritable> {
        layout.visit(mcus, |_, index| {
            self.block(bits, &planes[0][index])?;
            self.runs.next();
            Ok::<_, Unwritable>(())
        })?;
        self.runs.flush(&self.table, bits)
    }

    fn block(&mut self, bits: &mut BitWriter, block: &[i16; 64]) -> Result<(), Unwritable> {
        let Band { first, last, low } = self.band;
        let all = band(first, last);
        let mut mask = nonzero(block, low) & all;
        let old = nonzero(block, low + 1) & all;
        let mut new = mask & !old;
        let mut needless = self.runs.zeros();
        let mut pending = Corrections::default();
        // The next position, and the zeros since the last symbol.
        let (mut next, mut zeros) = (u32::from(first), 0);
        while mask != 0 {
            let k = mask.trailing_zeros();
            zeros += k - next;
            next = k + 1;
            mask &= mask - 1;
            // Zeros before the last new coefficient have symbols, those after it need none.
            while zeros > 15 && (new != 0 || needless > 0) {
                needless -= u8::from(new == 0);
                self.symbol(bits, 15, None, &mut pending)?;
                zeros -= 16;
            }
            let value = block[usize::from(NATURAL[k as usize])];
            if old >> k & 1 == 1 {
                pending.push(value.unsigned_abs() >> low & 1 == 1);
            } else {
                self.symbol(bits, zeros, Some(value > 0), &mut pending)?;
                new &= new - 1;
                zeros = 0;
            }
        }
        zeros += u32::from(last) + 1 - next;
        while zeros > 15 && needless > 0 {
            needless -= 1;
            self.symbol(bits, 15, None, &mut pending)?;
            zeros -= 16;
        }
        if zeros == 0 && pending.is_empty() {
            return Ok(());
        }
        self.runs.end(pending, &self.table, bits)
    }

    /// Writes a symbol: a new coefficient after `run` zeros, or sixteen zeros. Then the corrections
    /// of the coefficients that it passes.
    fn symbol(
        &mut self,
        bits: &mut BitWriter,
        run: u32,
        positive: Option<bool>,
        pending: &mut Corrections,
    ) -> Result<(), Unwritable> {
        self.runs.flush(&self.table, bits)?;
        let size = u32::from(positive.is_some());
        let sign = u32::from(positive == Some(true));
        if !bits.burst(|bits| self.table.put(bits, run, size, sign)) {
            return Err(Unwritable::NoCode);
        }
        std::mem::take(pending).put(bits);
        Ok(())
    }
}
