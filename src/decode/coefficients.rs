//! What libjpeg asks of whatever gives it coefficients.
//!
//! libjpeg makes pixels of quantised coefficients. They usually come from its own entropy decoder.
//! A type with [`Coefficients`] takes that decoder's place ([`super::libjpeg`] exchanges them).

/// The quantised coefficients of 8 x 8 pixels, in rows.
pub type Block = [i16; 64];

/// How many blocks an MCU has at most.
pub const MAX_BLOCKS: usize = 10;

/// A Huffman table as a file defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HuffmanTable {
    /// How many codes have 1, 2, ... 16 bits.
    pub counts: [u8; 16],
    /// What the codes stand for, the shortest code first.
    pub values: [u8; 256],
}

impl Default for HuffmanTable {
    /// A table without codes.
    fn default() -> Self {
        Self { counts: [0; 16], values: [0; 256] }
    }
}

/// A component of a scan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Component {
    /// How many blocks an MCU has of it. They follow each other.
    pub blocks: usize,
    /// The table of its DC differences.
    pub dc: HuffmanTable,
    /// The table of its other coefficients.
    pub ac: HuffmanTable,
}

/// The only scan of a sequential file, coded with Huffman tables.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// The file from the first byte after the scan's header.
    pub bytes: &'a [u8],
    /// How many MCUs lie between two restart markers; 0 if there are no such markers.
    pub restart_interval: usize,
    /// How many MCUs the scan has.
    pub mcus: usize,
    /// In the order in which they lie in an MCU.
    pub components: &'a [Component],
}

/// A source of coefficients.
///
/// A source may fail at any MCU. What it has given since `begin` is then thrown away, and libjpeg
/// decodes the file alone. So a source need not know what libjpeg makes of a broken file.
pub trait Coefficients {
    /// Turns to the first MCU of `scan`. Returns how many of the bytes the scan has, or `None` if
    /// libjpeg's own decoder has to decode it.
    fn begin(&mut self, scan: &Scan<'_>) -> Option<usize>;

    /// Writes the coefficients of the next MCU into `blocks`, which are zero.
    fn read(&mut self, blocks: &mut [Block]);

    /// Passes over the next MCU.
    fn skip(&mut self);

    /// Whether the scan is not what it should be.
    fn failed(&self) -> bool;
}
