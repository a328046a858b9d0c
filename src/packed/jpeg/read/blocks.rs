//! Sequential scans, and first scans of DC coefficients.

use std::ops::Range;

use super::Planes;
use crate::packed::jpeg::bits::BitReader;
use crate::packed::jpeg::habits::Recorder;
use crate::packed::jpeg::huffman::{Class, Decoder, Entry, extend};
use crate::packed::jpeg::scan::{Layout, Scan};
use crate::packed::jpeg::unpackable::Unpackable;
use crate::packed::zigzag::NATURAL;

/// Reads whole blocks.
pub(super) struct Sequential {
    /// The DC and AC tables of each component.
    tables: Vec<(Decoder, Decoder)>,
    /// Blocks read so far.
    blocks: u32,
    pub(super) recorder: Recorder,
}

impl Sequential {
    pub(super) fn new(scan: &Scan) -> Result<Self, Unpackable> {
        let mut tables = Vec::new();
        for component in &scan.components {
            let dc = Decoder::new(component.dc()?, Class::Dc)?;
            tables.push((dc, Decoder::new(component.ac()?, Class::Ac)?));
        }
        Ok(Self { tables, blocks: 0, recorder: Recorder::default() })
    }

    pub(super) fn interval(
        &mut self,
        bits: &mut BitReader,
        layout: &Layout,
        mcus: Range<usize>,
        planes: &mut Planes,
    ) -> Result<(), Unpackable> {
        let Self { tables, blocks, recorder } = self;
        let mut last = [0; 4];
        layout.visit(mcus, |slot, index| {
            let (dc, ac) = &tables[slot];
            let block = &mut planes[slot][index];
            let mut local = *bits;
            let value = last[slot] + i32::from(difference(&mut local, dc)?);
            last[slot] = value;
            let end = coefficients(&mut local, ac, block)?;
            *bits = local;
            if end != 0 && block[usize::from(NATURAL[end])] == 0 {
                recorder.zeros(*blocks, needless_zeros(block, end));
            }
            block[0] = i16::try_from(value).map_err(|_| Unpackable::OutOfRange)?;
            *blocks += 1;
            Ok(())
        })
    }
}

/// Reads a DC difference.
#[inline(always)]
fn difference(bits: &mut BitReader, table: &Decoder) -> Result<i16, Unpackable> {
    bits.refill()?;
    let entry = table.look_up(bits);
    if entry.length() != 0 {
        bits.skip(entry.length());
        return Ok(entry.value());
    }
    let size = u32::from(table.symbol(bits)?);
    Ok(extend(bits.take(size), size))
}

/// Reads the AC coefficients of a block. Returns the last position, in zigzag order, that a symbol
/// before the end of the block has reached. What is then in the DC coefficient's place means
/// nothing.
#[inline(always)]
fn coefficients(
    bits: &mut BitReader,
    table: &Decoder,
    block: &mut [i16; 64],
) -> Result<usize, Unpackable> {
    let mut k = 0;
    'refill: while k < 63 {
        bits.refill()?;
        // Five look-ups take at most 55 bits.
        for _ in 0..5 {
            let entry = table.look_up(bits);
            if entry.length() == 0 {
                let (advance, value) = symbol(bits, table)?;
                k += advance;
                block[usize::from(NATURAL[k & 0xFF])] = value;
                continue 'refill;
            }
            bits.skip(entry.length());
            k += entry.advance();
            // The end of the block, which advances beyond it, is stored in the place of DC. Sixteen
            // zeros are stored as one, which is there already.
            block[usize::from(NATURAL[k & 0xFF])] = entry.value();
            if k >= 63 {
                break 'refill;
            }
        }
    }
    match k {
        63 => Ok(63),
        Entry::END.. => Ok(k - Entry::END),
        _ => Err(Unpackable::Broken("a coefficient after the end of a block")),
    }
}

/// Reads what an [`Entry`] has.
#[inline(always)]
fn symbol(bits: &mut BitReader, table: &Decoder) -> Result<(usize, i16), Unpackable> {
    let symbol = table.symbol(bits)?;
    let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
    match (run, size) {
        (0, 0) => Ok((Entry::END, 0)),
        (15, 0) => Ok((16, 0)),
        (_, 0) => Err(Unpackable::Broken("a run of blocks in a sequential scan")),
        _ => Ok((run + 1, extend(bits.take(size), size))),
    }
}

/// How many "sixteen zeros" lie between the last coefficient and `end`.
#[cold]
fn needless_zeros(block: &[i16; 64], end: usize) -> u8 {
    let is_zero = |&k: &usize| block[usize::from(NATURAL[k])] == 0;
    let zeros = (1..=end).rev().take_while(is_zero).count();
    (zeros / 16) as u8
}

/// Reads DC coefficients without their lowest bits.
pub(super) struct DcFirst {
    tables: Vec<Decoder>,
    low: u8,
}

impl DcFirst {
    pub(super) fn new(scan: &Scan, low: u8) -> Result<Self, Unpackable> {
        let tables =
            scan.components.iter().map(|component| Decoder::new(component.dc()?, Class::Dc));
        Ok(Self { tables: tables.collect::<Result<_, _>>()?, low })
    }

    pub(super) fn interval(
        &mut self,
        bits: &mut BitReader,
        layout: &Layout,
        mcus: Range<usize>,
        planes: &mut Planes,
    ) -> Result<(), Unpackable> {
        let mut last = [0; 4];
        layout.visit(mcus, |slot, index| {
            let value = last[slot] + i32::from(difference(bits, &self.tables[slot])?);
            last[slot] = value;
            let shifted = i16::try_from(i64::from(value) << self.low);
            planes[slot][index][0] = shifted.map_err(|_| Unpackable::OutOfRange)?;
            Ok(())
        })
    }
}
