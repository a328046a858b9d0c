//! First scans of AC coefficients.

use std::ops::Range;

use super::Planes;
use crate::packed::jpeg::bits::BitReader;
use crate::packed::jpeg::habits::Recorder;
use crate::packed::jpeg::huffman::{Class, Decoder, Entry, extend};
use crate::packed::jpeg::scan::{Band, Layout, Scan};
use crate::packed::jpeg::unpackable::Unpackable;
use crate::packed::zigzag::NATURAL;

/// Reads AC coefficients without their lowest bits.
pub(super) struct AcFirst {
    table: Decoder,
    band: Band,
    /// Blocks read so far.
    blocks: u32,
    pub(super) recorder: Recorder,
}

/// What a symbol says.
enum Symbol {
    /// A coefficient so many positions further, or zeros if it is zero.
    Value(usize, i16),
    /// This block ends, and so do all of a run, this one included.
    End(u32),
}

impl AcFirst {
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
            if run == 0 {
                run = self.block(bits, &mut planes[0][index])?;
            }
            if run > 0 {
                run -= 1;
                self.recorder.end(self.blocks, 0, run > 0);
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

    /// Reads a block. Returns how many blocks end here, this one included: none if the block has
    /// its last coefficient.
    fn block(&mut self, bits: &mut BitReader, block: &mut [i16; 64]) -> Result<u32, Unpackable> {
        let last = usize::from(self.band.last);
        let before = usize::from(self.band.first) - 1;
        // The last position that a symbol has reached, and "sixteen zeros" since a coefficient.
        let (mut k, mut zeros) = (before, 0);
        let ended = loop {
            match symbol(bits, &self.table)? {
                Symbol::End(run) => {
                    self.recorder.begin(k == before);
                    break run;
                }
                Symbol::Value(advance, value) => {
                    if k == before {
                        self.recorder.begin(false);
                    }
                    k += advance;
                    if k > last {
                        return Err(Unpackable::Broken("a coefficient after the end of a block"));
                    }
                    if value == 0 {
                        zeros += 1;
                    } else {
                        zeros = 0;
                        let shifted = i16::try_from(i32::from(value) << self.band.low);
                        let place = &mut block[usize::from(NATURAL[k])];
                        *place = shifted.map_err(|_| Unpackable::OutOfRange)?;
                    }
                }
            }
            if k == last {
                break 0;
            }
        };
        if zeros > 0 {
            self.recorder.zeros(self.blocks, zeros);
        }
        Ok(ended)
    }
}

#[inline(always)]
fn symbol(bits: &mut BitReader, table: &Decoder) -> Result<Symbol, Unpackable> {
    bits.refill()?;
    let entry = table.look_up(bits);
    if entry.length() != 0 {
        bits.skip(entry.length());
        return Ok(match entry.advance() {
            Entry::END => Symbol::End(1),
            advance => Symbol::Value(advance, entry.value()),
        });
    }
    let symbol = table.symbol(bits)?;
    let (run, size) = (symbol >> 4, u32::from(symbol & 15));
    Ok(match (run, size) {
        (15, 0) => Symbol::Value(16, 0),
        (_, 0) => Symbol::End((1 << run) + bits.take(u32::from(run))),
        _ => Symbol::Value(usize::from(run) + 1, extend(bits.take(size), size)),
    })
}
