//! The codes of one Huffman table.

use super::bits::Bits;
use crate::decode::coefficients::HuffmanTable;

/// The codes of a table in canonical order (ITU-T T.81, annex C), which is that of their values
/// when they are filled up to 16 bits.
#[derive(Clone, Debug)]
pub struct Codes {
    /// For each length: 1 more than the last code of at most that length, filled up to 16 bits.
    limits: [u32; 17],
    /// For each length: what has to be added to a code to get the index of its symbol.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

/// A code and what it stands for.
pub struct Code {
    /// The code, in its lowest `length` bits.
    pub bits: u32,
    /// How many bits it has, 1 to 16.
    pub length: u32,
    pub symbol: u8,
}

impl Codes {
    /// `None` if the lengths are those of no code.
    pub fn new(table: &HuffmanTable) -> Option<Self> {
        let (mut limits, mut offsets) = ([0; 17], [0; 17]);
        let (mut code, mut index) = (0u32, 0u32);
        for (length, &count) in (1..).zip(&table.counts) {
            offsets[length] = index as i32 - code as i32;
            code += u32::from(count);
            index += u32::from(count);
            if code > 1 << length || index > 256 {
                return None;
            }
            limits[length] = code << (16 - length);
            code <<= 1;
        }
        Some(Self { limits, offsets, symbols: table.values })
    }

    /// All codes, the shortest first.
    pub fn iter(&self) -> impl Iterator<Item = Code> {
        (1..=16usize).flat_map(move |length| {
            let short = 16 - length;
            let codes = self.limits[length - 1] >> short..self.limits[length] >> short;
            codes.map(move |bits| Code {
                bits,
                length: length as u32,
                symbol: self.symbol(bits, length),
            })
        })
    }

    /// Reads the next code. `None` if there is no such code.
    pub fn read(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let next = bits.peek(16) as u32;
        let length = (1..=16).find(|&length| next < self.limits[length])?;
        bits.consume(length as u64);
        Some(self.symbol(next >> (16 - length), length))
    }

    fn symbol(&self, code: u32, length: usize) -> u8 {
        self.symbols[(code as i32 + self.offsets[length]) as usize & 0xFF]
    }
}
