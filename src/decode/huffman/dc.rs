//! DC differences.

use super::bits::{Bits, smallest};
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
            if code.length + size.min(1) > WINDOW {
                continue;
            }
            let spare = WINDOW - code.length;
            let same = &mut entries[(code.bits << spare) as usize..][..1 << spare];
            let (negative, positive) = same.split_at_mut(same.len() / 2);
            let difference = -((code.bits << size) as i32);
            let entry =
                |difference: i32| Entry { length: length as u16, difference: difference as i16 };
            negative.fill(entry(difference + smallest(size)));
            positive.fill(entry(difference));
        }
        Some(Self { entries, codes })
    }
}

impl DcTable {
    /// Reads a difference; `None` if there is no such code. Needs 31 bits.
    #[inline(always)]
    pub fn read(&self, bits: &mut Bits<'_>) -> Option<i16> {
        let entry = self.entries[bits.peek(WINDOW)];
        if entry.length != 0 {
            let number = bits.take(u64::from(entry.length)) as i16;
            return Some(entry.difference.wrapping_add(number));
        }
        let size = self.codes.read(bits)?;
        Some(bits.number(u32::from(size)))
    }
}
