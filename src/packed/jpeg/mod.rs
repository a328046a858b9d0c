//! Takes JPEG files apart into coefficients and side information, and writes them again from both,
//! byte for byte.
//!
//! [`take_apart`] decodes the Huffman codes of a file, sequential or progressive. All other bytes,
//! such as headers and whatever follows the image, are kept as they are ([`Side`]). The codes
//! themselves need not be kept: coefficients and Huffman tables determine them, but for a few
//! liberties that the standard leaves to encoders ([`habits`], [`padding`]). The proof is in the
//! writing: a file that [`Parts::write`] does not give back is refused.
//!
//! Also refused are files about which libjpeg has doubts, such as those that it decodes with a
//! warning. It may then make up coefficients, or smooth blocks. So the coefficients are always the
//! ones that libjpeg would decode, and give the same pixels.
//!
//! A file says how large it is. Nothing is allocated and no loop is run for that before the bytes
//! that are there could fill it.
//!
//! ```text
//! headers   markers and segments ─▶ frame, scans
//! read      the data of a scan ─▶ coefficients, habits, padding
//! write     the other way round
//! side      side information as bytes
//! ```

mod bits;
mod colours;
mod frame;
mod habits;
mod headers;
mod huffman;
mod padding;
mod read;
mod scan;
mod side;
#[cfg(test)]
mod tests;
mod unpackable;
mod write;

use self::bits::BitWriter;
use self::headers::{Headers, Next};
use self::padding::{Fill, Recorder};
pub(crate) use self::side::Side;
pub use self::unpackable::Unpackable;
pub(crate) use self::unpackable::Unwritable;
use super::coefficients::Coefficients;
use crate::decode::Limits;

/// The most blocks that scans may code per byte of the file. An image of one color, in as many
/// scans as encoders write, has some hundreds.
const MAX_BLOCKS_PER_BYTE: usize = 4096;

/// A JPEG file, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) coefficients: Coefficients,
    pub(crate) side: Side,
}

/// Takes a file apart. Whatever this returns is written back as the same file.
pub(crate) fn take_apart(file: &[u8], limits: Limits) -> Result<Parts, Unpackable> {
    let mut headers = Headers::new(limits.max_pixels);
    let mut side = side::Builder::default();
    let mut padding = Recorder::default();
    let mut coefficients = Coefficients { components: Vec::new() };
    let (mut at, mut blocks) = (0, 0);
    loop {
        let start = at;
        let Next::Scan(scan) = headers.next(file, &mut at)? else {
            side.end(&file[start..]);
            break;
        };
        let frame = headers.frame().ok_or(Unpackable::Broken("a scan before the frame header"))?;
        if side.is_empty() {
            // A block takes a bit at least.
            if frame.blocks() > (file.len() - at).saturating_mul(8) {
                return Err(Unpackable::Truncated);
            }
            coefficients = frame.coefficients();
        }
        blocks += scan::Layout::new(frame, &scan).blocks();
        if blocks > file.len().saturating_mul(MAX_BLOCKS_PER_BYTE) {
            return Err(Unpackable::TooMuchWork);
        }
        let header = &file[start..at];
        let habits = read::scan(file, &mut at, (frame, &scan), &mut coefficients, &mut padding)?;
        side.scan(header, scan, habits);
    }
    let side = side.finish(headers, padding.finish())?;
    let parts = Parts { coefficients, side };
    match parts.write_about(file.len()) {
        Ok(written) if written == file => Ok(parts),
        _ => Err(Unpackable::NotRepeatable),
    }
}

impl Parts {
    /// Writes the file. Fails if the parts do not belong together.
    pub(crate) fn write(&self) -> Result<Vec<u8>, Unwritable> {
        self.write_about(0)
    }

    /// As [`Self::write`], with room for `capacity` bytes from the beginning.
    fn write_about(&self, capacity: usize) -> Result<Vec<u8>, Unwritable> {
        let Self { coefficients, side } = self;
        if !side.frame.fits(coefficients) {
            return Err(Unwritable::Shape);
        }
        let mut fill = Fill::new(&side.padding);
        let mut bits = BitWriter::new(Vec::with_capacity(capacity));
        for (header, (scan, habits)) in side.headers().zip(side.scans.iter().zip(&side.habits)) {
            bits.bytes(header);
            write::scan((&side.frame, scan), coefficients, habits, &mut fill, &mut bits)?;
        }
        bits.bytes(side.trailing());
        Ok(bits.into_bytes())
    }
}
