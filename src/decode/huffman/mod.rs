//! Decodes the Huffman codes of a sequential JPEG, about twice as fast as libjpeg.
//!
//! The coefficients equal libjpeg's, or there are none: what is not exactly as the standard (ITU-T
//! T.81) has it is refused, or fails while it is decoded. Then libjpeg decodes the whole file with
//! its own decoder, and a broken file gives what it always gave. So there is no code here that
//! repairs anything, and no slow path for the end of the data.
//!
//! The speed comes from five decisions:
//!
//! - **The scan is taken apart first** ([`unstuff`]). Afterwards bits can be read eight bytes at a
//!   time, without looking for markers. Bits beyond the end of a restart interval are found out
//!   after each MCU, by its position.
//! - **Bits are refilled without a branch** ([`bits`]), once for several look-ups.
//! - **A look-up gives up to two symbols with their numbers** ([`ac`]). What limits a Huffman
//!   decoder is that a symbol's length must be known before the next can be looked up. Here that
//!   takes a shift, a load and a shift for 1.5 symbols of a photograph. Both values are always
//!   written; if there is only one, it is written twice.
//! - **One branch ends a block.** The end of the block is an advance past the last coefficient, and
//!   so is what the table does not resolve. The places past the last coefficient are that of the DC
//!   coefficient, which is written last.
//! - **Other MCUs are passed over** ([`skip`]), four fifths of them beside the region and the others
//!   above it. Only lengths and positions count there, and more symbols fit into one look-up.
//!
//! Tables are kept from file to file ([`tables`]), since most files have the same ones.

mod ac;
mod bits;
mod codes;
mod dc;
mod skip;
mod tables;
mod unstuff;

#[cfg(test)]
mod tests;

use multiversion::multiversion;

use self::ac::AcTable;
use self::bits::Bits;
use self::dc::DcTable;
use self::tables::Tables;
use self::unstuff::Unstuffed;
use super::coefficients::{Block, Coefficients, Scan};

/// Decodes scans. Keeps memory and tables from one file to the next.
#[derive(Debug, Default)]
pub struct Huffman {
    scan: Unstuffed,
    dc: Tables<DcTable>,
    ac: Tables<AcTable>,
    components: Vec<Component>,
    /// How many MCUs a restart interval has.
    interval: usize,
    /// How many MCUs are left in the current one.
    left: usize,
    /// How many intervals have begun.
    begun: usize,
    /// The number of the next bit.
    position: usize,
    failed: bool,
}

/// A component of the scan.
#[derive(Debug)]
struct Component {
    blocks: usize,
    dc: usize,
    ac: usize,
    /// The last DC coefficient.
    last: i16,
}

impl Coefficients for Huffman {
    fn begin(&mut self, scan: &Scan<'_>) -> Option<usize> {
        // Positions count bits, with a few bytes to spare.
        (scan.bytes.len() < usize::MAX / 16).then_some(())?;
        let length = self.scan.read(scan.bytes)?;
        self.interval = if scan.restart_interval == 0 { scan.mcus } else { scan.restart_interval };
        if self.scan.ends.len() != scan.mcus.div_ceil(self.interval) {
            return None;
        }
        self.components.clear();
        self.dc.begin();
        self.ac.begin();
        for component in scan.components {
            self.components.push(Component {
                blocks: component.blocks,
                dc: self.dc.find(&component.dc)?,
                ac: self.ac.find(&component.ac)?,
                last: 0,
            });
        }
        (self.left, self.begun, self.position, self.failed) = (0, 0, 0, false);
        Some(length)
    }

    fn read(&mut self, blocks: &mut [Block]) {
        self.failed = self.failed || self.mcu(Some(blocks)).is_none();
    }

    fn skip(&mut self) {
        self.failed = self.failed || self.mcu(None).is_none();
    }

    fn failed(&self) -> bool {
        self.failed
    }
}

impl Huffman {
    /// Decodes the next MCU into `blocks`, or passes over it.
    fn mcu(&mut self, blocks: Option<&mut [Block]>) -> Option<()> {
        if self.left == 0 {
            self.restart()?;
        }
        self.left -= 1;
        let end = self.scan.ends[self.begun - 1];
        let Self { scan, components, dc, ac, .. } = self;
        self.position = match blocks {
            Some(blocks) => read(&scan.bytes, self.position, components, (dc, ac), blocks)?,
            None => skip(&scan.bytes, self.position, components, (dc, ac))?,
        };
        (self.position <= end * 8).then_some(())
    }

    /// Turns to the next restart interval.
    fn restart(&mut self) -> Option<()> {
        let start = if self.begun == 0 { 0 } else { self.scan.ends[self.begun - 1] };
        self.position = start * 8;
        (self.begun < self.scan.ends.len()).then_some(())?;
        self.begun += 1;
        self.left = self.interval;
        for component in &mut self.components {
            component.last = 0;
        }
        Some(())
    }
}

/// Reads the MCU at `position` into `blocks`. Returns the position after it.
#[multiversion(targets = "simd")]
fn read(
    bytes: &[u8],
    position: usize,
    components: &mut [Component],
    (dc, ac): (&Tables<DcTable>, &Tables<AcTable>),
    blocks: &mut [Block],
) -> Option<usize> {
    let mut bits = Bits::new(bytes, position);
    let mut blocks = blocks.iter_mut();
    for component in components {
        let (dc, ac) = (dc.get(component.dc), ac.get(component.ac));
        for block in blocks.by_ref().take(component.blocks) {
            bits.refill();
            component.last = component.last.wrapping_add(dc.read(&mut bits)?);
            ac.read(&mut bits, block)?;
            block[0] = component.last;
        }
    }
    Some(bits.position())
}

/// Passes over the MCU at `position`. Returns the position after it.
#[multiversion(targets = "simd")]
fn skip(
    bytes: &[u8],
    position: usize,
    components: &mut [Component],
    (dc, ac): (&Tables<DcTable>, &Tables<AcTable>),
) -> Option<usize> {
    let mut bits = Bits::new(bytes, position);
    for component in components {
        let (dc, ac) = (dc.get(component.dc), ac.get(component.ac));
        for _ in 0..component.blocks {
            bits.refill();
            component.last = component.last.wrapping_add(dc.read(&mut bits)?);
            ac.skip(&mut bits)?;
        }
    }
    Some(bits.position())
}
