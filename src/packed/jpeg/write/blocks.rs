//! Sequential scans, and first scans of DC coefficients.

use std::ops::Range;

use super::Planes;
use crate::packed::jpeg::bits::{BitWriter, Burst};
use crate::packed::jpeg::habits::{Cuts, Habits};
use crate::packed::jpeg::huffman::{Class, Encoder, sized};
use crate::packed::jpeg::scan::{Layout, Scan};
use crate::packed::jpeg::unpackable::Unwritable;
use crate::packed::zigzag::{NATURAL, nonzero};

/// Writes whole blocks.
pub(super) struct Sequential<'a> {
    /// The DC and AC tables of each component.
    tables: Vec<(Encoder, Encoder)>,
    /// Blocks written so far.
    blocks: u32,
    cuts: Cuts<'a>,
}

impl<'a> Sequential<'a> {
    pub(super) fn new(scan: &Scan, habits: &'a Habits) -> Result<Self, Unwritable> {
        let mut tables = Vec::new();
        for component in &scan.components {
            let dc = Encoder::new(component.dc()?, Class::Dc)?;
            tables.push((dc, Encoder::new(component.ac()?, Class::Ac)?));
        }
        Ok(Self { tables, blocks: 0, cuts: Cuts::new(habits) })
    }

    pub(super) fn interval(
        &mut self,
        bits: &mut BitWriter,
        layout: &Layout,
        mcus: Range<usize>,
        planes: &Planes,
    ) -> Result<(), Unwritable> {
        let Self { tables, blocks, cuts } = self;
        let mut last = [0; 4];
        layout.visit(mcus, |slot, index| {
            let (dc, ac) = &tables[slot];
            let block = &planes[slot][index];
            let value = i32::from(block[0]);
            let (size, extra) = sized(value - last[slot]);
            last[slot] = value;
            let zeros = cuts.zeros(*blocks);
            *blocks += 1;
            let written = bits
                .burst(|bits| dc.put(bits, 0, size, extra) & coefficients(bits, ac, block, zeros));
            if written { Ok(()) } else { Err(Unwritable::NoCode) }
        })
    }
}

/// Writes the AC coefficients of a block. False if the table lacks a symbol.
#[inline(always)]
fn coefficients(bits: &mut Burst, table: &Encoder, block: &[i16; 64], zeros: u8) -> bool {
    let mut written = true;
    let mut mask = nonzero(block, 0) & !1;
    let mut next = 1;
    while mask != 0 {
        // Two coefficients fill the bit buffer.
        written &= coefficient(bits, table, block, &mut mask, &mut next);
        if mask != 0 {
            written &= coefficient(bits, table, block, &mut mask, &mut next);
        }
        bits.flush();
    }
    for _ in 0..zeros {
        written &= table.put(bits, 15, 0, 0);
        next += 16;
    }
    if next < 64 {
        written &= table.put(bits, 0, 0, 0);
    }
    written
}

/// Writes the first coefficient of `mask`. The one before it is that before `next`.
#[inline(always)]
fn coefficient(
    bits: &mut Burst,
    table: &Encoder,
    block: &[i16; 64],
    mask: &mut u64,
    next: &mut u32,
) -> bool {
    let k = mask.trailing_zeros();
    let mut run = k - *next;
    let mut written = true;
    if run > 15 {
        bits.flush();
    }
    while run > 15 {
        written &= table.put(bits, 15, 0, 0);
        run -= 16;
    }
    *next = k + 1;
    *mask &= *mask - 1;
    let value = i32::from(block[usize::from(NATURAL[k as usize])]);
    written & table.push(bits, run, value)
}

/// Writes DC coefficients without their lowest bits.
pub(super) struct DcFirst {
    tables: Vec<Encoder>,
    low: u8,
}

impl DcFirst {
    pub(super) fn new(scan: &Scan, low: u8) -> Result<Self, Unwritable> {
        let mut tables = Vec::new();
        for component in &scan.components {
            tables.push(Encoder::new(component.dc()?, Class::Dc)?);
        }
        Ok(Self { tables, low })
    }

    pub(super) fn interval(
        &mut self,
        bits: &mut BitWriter,
        layout: &Layout,
        mcus: Range<usize>,
        planes: &Planes,
    ) -> Result<(), Unwritable> {
        let mut last = [0; 4];
        layout.visit(mcus, |slot, index| {
            let value = i32::from(planes[slot][index][0]) >> self.low;
            let (size, extra) = sized(value - last[slot]);
            last[slot] = value;
            let written = bits.burst(|bits| self.tables[slot].put(bits, 0, size, extra));
            if written { Ok(()) } else { Err(Unwritable::NoCode) }
        })
    }
}
