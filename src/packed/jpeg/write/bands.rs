//! First scans of AC coefficients.

use std::ops::Range;

use super::Planes;
use super::runs::{Corrections, Runs};
use crate::packed::jpeg::bits::BitWriter;
use crate::packed::jpeg::habits::Habits;
use crate::packed::jpeg::huffman::{Class, Encoder};
use crate::packed::jpeg::scan::{Band, Layout, Scan};
use crate::packed::jpeg::unpackable::Unwritable;
use crate::packed::zigzag::{NATURAL, band, nonzero};

/// Writes AC coefficients without their lowest bits.
pub(super) struct AcFirst<'a> {
    table: Encoder,
    band: Band,
    runs: Runs<'a>,
}

impl<'a> AcFirst<'a> {
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
        let Self { table, band: Band { first, last, low }, runs } = self;
        let mut mask = nonzero(block, *low) & band(*first, *last);
        let zeros = runs.zeros();
        if mask != 0 || zeros > 0 {
            runs.flush(table, bits)?;
        }
        let mut next = u32::from(*first);
        let written = bits.burst(|bits| {
            let mut written = true;
            while mask != 0 {
                let k = mask.trailing_zeros();
                let mut run = k - next;
                while run > 15 {
                    written &= table.put(bits, 15, 0, 0);
                    run -= 16;
                }
                // Division by 2^low, rounded towards zero.
                let value = i32::from(block[usize::from(NATURAL[k as usize])]);
                written &= table.push(bits, run, (value.abs() >> *low) * value.signum());
                bits.flush();
                next = k + 1;
                mask &= mask - 1;
            }
            for _ in 0..zeros {
                written &= table.put(bits, 15, 0, 0);
                next += 16;
            }
            written
        });
        if !written {
            return Err(Unwritable::NoCode);
        }
        if next > u32::from(*last) {
            return Ok(());
        }
        runs.end(Corrections::default(), table, bits)
    }
}
