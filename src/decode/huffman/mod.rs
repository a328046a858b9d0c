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
//!   after some MCUs, by the position.
//! - **Bits are refilled without a branch** ([`bits`]), once for several look-ups.
//! - **A look-up gives up to two symbols with their numbers** ([`ac`]). What limits a Huffman
//!   decoder is that a symbol's length must be known before the next can be looked up. Here that
//!   takes a shift, a load and a shift for 1.5 symbols of a photograph. Both values are always
//!   written; if there is only one, it is written twice.
//! - **One branch ends a block.** The end of the block is an advance past the last coefficient, and
//!   so is what the table does not resolve. The places past the last coefficient are that of the DC
//!   coefficient, which is written last.
//! - **Other MCUs are passed over** ([`skip`]), those beside and above what is wanted. Only lengths
//!   and positions count there, and more symbols fit into one look-up.
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
        self.read_mcus(1, blocks);
    }

    fn skip(&mut self) {
        self.skip_mcus(1);
    }

    fn failed(&self) -> bool {
        self.failed
    }
}

impl Huffman {
    /// Writes the coefficients of the next MCUs into `blocks`, which are zero.
    pub fn read_mcus(&mut self, count: usize, blocks: &mut [Block]) {
        self.failed = self.failed || self.mcus(count, Some(blocks)).is_none();
    }

    /// Passes over the next MCUs.
    pub fn skip_mcus(&mut self, count: usize) {
        self.failed = self.failed || self.mcus(count, None).is_none();
    }

    /// Decodes the next MCUs into `blocks`, or passes over them.
    fn mcus(&mut self, mut count: usize, mut blocks: Option<&mut [Block]>) -> Option<()> {
        while count > 0 {
            if self.left == 0 {
                self.restart()?;
            }
            let some = count.min(self.left);
            (count, self.left) = (count - some, self.left - some);
            let end = self.scan.ends[self.begun - 1];
            let Self { scan, components, dc, ac, .. } = self;
            let (bytes, tables) = (&scan.bytes, (&*dc, &*ac));
            self.position = match &mut blocks {
                Some(blocks) => {
                    let per_mcu: usize = components.iter().map(|component| component.blocks).sum();
                    let now = blocks.split_off_mut(..some * per_mcu)?;
                    read(bytes, self.position, components, tables, now)?
                }
                None => skip(bytes, self.position, components, tables, some)?,
            };
            (self.position <= end * 8).then_some(())?;
        }
        Some(())
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

/// Reads the MCUs from `position` on into `blocks`. Returns the position after them.
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
    while !blocks.as_slice().is_empty() {
        for component in &mut *components {
            let (dc, ac) = (dc.get(component.dc), ac.get(component.ac));
            for block in blocks.by_ref().take(component.blocks) {
                bits.refill();
                component.last = component.last.wrapping_add(dc.read(&mut bits)?);
                ac.read(&mut bits, block)?;
                block[0] = component.last;
            }
        }
    }
    Some(bits.position())
}

/// Passes over `count` MCUs from `position` on. Returns the position after them.
#[multiversion(targets = "simd")]
fn skip(
    bytes: &[u8],
    position: usize,
    components: &mut [Component],
    (dc, ac): (&Tables<DcTable>, &Tables<AcTable>),
    count: usize,
) -> Option<usize> {
    let mut bits = Bits::new(bytes, position);
    for _ in 0..count {
        for component in &mut *components {
            let (dc, ac) = (dc.get(component.dc), ac.get(component.ac));
            for _ in 0..component.blocks {
                bits.refill();
                component.last = component.last.wrapping_add(dc.read(&mut bits)?);
                ac.skip(&mut bits)?;
            }
        }
    }
    Some(bits.position())
}
