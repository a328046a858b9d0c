//! DC differences.

use super::bits::{Bits, signed};
use super::codes::Codes;
use super::tables::Resolved;
use crate::decode::coefficients::HuffmanTable;

/// How many bits the table looks at.
const WINDOW: u32 = 10;

/// A DC table, resolved: the next bits give the difference and how many bits it takes.
#[derive(Clone, Debug)]
pub struct DcTable {
    entries: Box<[Entry; 1 << WINDOW]>,
    codes: Codes,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// The bits of code and number; 0 if they don't fit.
    length: u16,
    difference: i16,
}

impl Resolved for DcTable {
    fn new(table: &HuffmanTable) -> Option<Self> {
        let codes = Codes::new(table)?;
        let mut entries = Box::new([Entry::default(); 1 << WINDOW]);
        for code in codes.iter() {
            let size = u32::from(code.symbol);
            let length = code.length + size;
            if size > 15 {
                return None;
            }
            if length > WINDOW {
                continue;
            }
            for raw in 0..1 << size {
                let difference = if size == 0 { 0 } else { signed(raw, size) as i16 };
                let first = (code.bits << size | raw as u32) << (WINDOW - length);
                let same = &mut entries[first as usize..][..1 << (WINDOW - length)];
                same.fill(Entry { length: length as u16, difference });
            }
        }
        Some(Self { entries, codes })
    }
}

impl DcTable {
    /// Reads a difference; `None` if there is no such code. Needs 31 bits; if it takes more than
    /// 12, there are 56 again.
    #[inline(always)]
    pub fn read(&self, bits: &mut Bits<'_>) -> Option<i16> {
        let entry = self.entries[bits.peek(WINDOW)];
        if entry.length != 0 {
            bits.consume(u64::from(entry.length));
            return Some(entry.difference);
        }
        let size = self.codes.read(bits)?;
        let difference = bits.number(u32::from(size));
        bits.refill();
        Some(difference)
    }
}
