//! The 63 coefficients after the DC coefficient.
//!
//! A symbol is a run of zeros and the size of the number after it, which is coded in so many bits.
//! The table is indexed by the next 11 bits. It resolves 95% of the look-ups in a photograph, and
//! more than half of them to two symbols. Of the rest, most have a code that fits and a number that
//! does not.
//!
//! A pair may reach beyond its block: if the first symbol fills the block, the second belongs to the
//! next one, and its bits are given back.

use std::hint::assert_unchecked;

use super::bits::{Bits, signed};
use super::codes::Codes;
use super::skip::SkipTable;
use super::tables::Resolved;
use crate::decode::coefficients::{Block, HuffmanTable};

/// How many bits the table looks at.
const WINDOW: u32 = 11;

const SIZE: usize = 1 << WINDOW;

/// The advance of the end of a block. It leads past the last coefficient from everywhere.
pub const END: u64 = 128;

/// The advance of an entry that does not resolve its bits.
const UNRESOLVED: u64 = 192;

/// Where the coefficients lie in a block in zigzag order. Positions past the end are those of the DC
/// coefficient, which is written last. The largest advance leads to position 317.
const NATURAL: [u8; 320] = {
    let mut natural = [0; 320];
    let (mut x, mut y, mut up) = (0u8, 0u8, true);
    let mut k = 0;
    while k < 64 {
        natural[k] = y * 8 + x;
        (x, y, up) = match (up, x, y) {
            (true, 7, _) => (x, y + 1, false),
            (true, _, 0) => (x + 1, y, false),
            (true, ..) => (x + 1, y - 1, true),
            (false, _, 7) => (x + 1, y, true),
            (false, 0, _) => (x, y + 1, true),
            (false, ..) => (x - 1, y + 1, false),
        };
        k += 1;
    }
    natural
};

const _: () = {
    let mut k = 0;
    while k < NATURAL.len() {
        assert!(NATURAL[k] < 64);
        k += 1;
    }
};

/// Writes the coefficient at `position`, in zigzag order, of `block`.
#[inline(always)]
fn put(block: &mut Block, position: u64, value: i16) {
    let at = usize::from(NATURAL[position as usize]);
    // SAFETY: all of `NATURAL` is below 64, as asserted above. Checking it makes decoding 3% slower.
    unsafe { assert_unchecked(at < block.len()) };
    block[at] = value;
}

/// What the next bits are: one symbol with its number, or two. If there is only one, the second is
/// the same once more.
///
/// An advance is by how many positions a symbol leads on: 1 more than its run of zeros, or [`END`].
///
/// The fields are bytes, not parts of an integer, so that a look-up is a load and a shift: 9% faster.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Entry {
    /// The bits of all symbols; 0 if the entry is [`UNRESOLVED`].
    length: u8,
    /// The bits of the first. Of an unresolved entry those of its code, or 0 if that is longer than
    /// the window.
    length_of_first: u8,
    advance_of_first: u8,
    /// The advance of all symbols.
    advance: u8,
    /// The value of the first. Of an unresolved entry its symbol.
    first: i16,
    second: i16,
}

impl Entry {
    fn one(length: u32, advance: u64, value: i32) -> Self {
        let (length, advance, value) = (length as u8, advance as u8, value as i16);
        Self {
            length,
            length_of_first: length,
            advance_of_first: advance,
            advance,
            first: value,
            second: value,
        }
    }

    fn unresolved(code_length: u32, symbol: u8) -> Self {
        let length_of_first = code_length as u8;
        Self { length: 0, length_of_first, ..Self::one(0, UNRESOLVED, i32::from(symbol)) }
    }

    /// This entry and then `next`, if both fit into the window.
    fn and(self, next: Self) -> Self {
        let length = self.length + next.length;
        if self.advance() >= END || next.advance() == UNRESOLVED || u32::from(length) > WINDOW {
            return self;
        }
        let sum = self.advance + next.advance;
        let advance = if next.advance() == END { END as u8 } else { sum };
        Self { length, advance, second: next.second, ..self }
    }

    #[inline(always)]
    fn length_of_first(&self) -> u64 {
        u64::from(self.length_of_first)
    }

    #[inline(always)]
    fn advance_of_first(&self) -> u64 {
        u64::from(self.advance_of_first)
    }

    #[inline(always)]
    fn advance(&self) -> u64 {
        u64::from(self.advance)
    }
}

/// An AC table, resolved.
#[derive(Clone, Debug)]
pub struct AcTable {
    entries: Box<[Entry; SIZE]>,
    codes: Codes,
    /// Made for the second file with this table: in one file it saves no more time than making it
    /// takes.
    skip: Option<SkipTable>,
}

impl Resolved for AcTable {
    fn new(table: &HuffmanTable) -> Option<Self> {
        let codes = Codes::new(table)?;
        let single = single(&codes);
        let mut entries = Box::new(single);
        for (bits, entry) in entries.iter_mut().enumerate() {
            let rest = bits << entry.length & (SIZE - 1);
            *entry = entry.and(single[rest]);
        }
        Some(Self { entries, codes, skip: None })
    }

    fn reuse(&mut self) {
        self.skip.get_or_insert_with(|| SkipTable::new(&self.codes));
    }
}

/// The table with one symbol in each entry.
fn single(codes: &Codes) -> [Entry; SIZE] {
    let mut entries = [Entry::unresolved(0, 0); SIZE];
    for code in codes.iter().take_while(|code| code.length <= WINDOW) {
        let (run, size) = (u64::from(code.symbol >> 4), u32::from(code.symbol & 15));
        let length = code.length + size;
        let mut fill = |bits: u32, length: u32, entry: Entry| {
            let spare = WINDOW - length;
            entries[(bits << spare) as usize..][..1 << spare].fill(entry);
        };
        match (run, size) {
            _ if length > WINDOW => {
                fill(code.bits, code.length, Entry::unresolved(code.length, code.symbol));
            }
            (15, 0) => fill(code.bits, length, Entry::one(length, 16, 0)),
            (_, 0) => fill(code.bits, length, Entry::one(length, END, 0)),
            _ => {
                for raw in 0..1 << size {
                    let entry = Entry::one(length, run + 1, signed(raw, size));
                    fill(code.bits << size | raw as u32, length, entry);
                }
            }
        }
    }
    entries
}

impl AcTable {
    /// Passes over the coefficients of a block but the first. `None` if the bits are not those of a
    /// block.
    #[inline(always)]
    pub fn skip(&self, bits: &mut Bits<'_>) -> Option<()> {
        match &self.skip {
            Some(table) => table.skip(bits, self),
            None => self.read(bits, &mut [0; 64]),
        }
    }

    /// Reads the coefficients of a block but the first, which is overwritten. Needs 44 bits. `None`
    /// if the bits are not those of a block.
    #[inline(always)]
    pub fn read(&self, bits: &mut Bits<'_>, block: &mut Block) -> Option<()> {
        let mut last = 0;
        loop {
            for _ in 0..4 {
                let entry = &self.entries[bits.peek(WINDOW)];
                bits.consume(u64::from(entry.length));
                let first = last + entry.advance_of_first();
                let second = last + entry.advance();
                put(block, first, entry.first);
                put(block, second, entry.second);
                if second < 63 {
                    last = second;
                    continue;
                }
                if entry.advance() == UNRESOLVED {
                    bits.refill();
                    last = self.long(bits, last, entry, block)?;
                    if last >= 63 {
                        return (last == 63 || last >= END).then_some(());
                    }
                    break;
                }
                return self.end(bits, entry, first, second);
            }
            bits.refill();
        }
    }

    /// Whether a block ends where `entry` led past position 62.
    #[inline(always)]
    fn end(&self, bits: &mut Bits<'_>, entry: &Entry, first: u64, second: u64) -> Option<()> {
        if first == 63 {
            // The block is full. A second symbol belongs to the next.
            let given_back = entry.length - entry.length_of_first;
            bits.back(usize::from(given_back));
            return Some(());
        }
        let beyond = (64..END).contains(&first);
        (!beyond && (second == 63 || second >= END)).then_some(())
    }

    /// Passes over one symbol after position `last`. Returns the last position that is then known.
    /// Needs 31 bits.
    #[inline(always)]
    pub fn step(&self, bits: &mut Bits<'_>, last: u64) -> Option<u64> {
        let entry = &self.entries[bits.peek(WINDOW)];
        if entry.advance() == UNRESOLVED {
            return self.long(bits, last, entry, &mut [0; 64]);
        }
        bits.consume(entry.length_of_first());
        Some(last + entry.advance_of_first())
    }

    /// Reads one symbol that `entry` does not resolve. Returns the last position that is known.
    #[inline(always)]
    fn long(
        &self,
        bits: &mut Bits<'_>,
        last: u64,
        entry: &Entry,
        block: &mut Block,
    ) -> Option<u64> {
        let symbol = match entry.length_of_first() {
            0 => self.codes.read(bits)?,
            length => {
                bits.consume(length);
                entry.first as u8
            }
        };
        let (run, size) = (u64::from(symbol >> 4), u32::from(symbol & 15));
        match (run, size) {
            (15, 0) => Some(last + 16),
            (_, 0) => Some(END),
            _ => {
                let at = last + run + 1;
                put(block, at, bits.number(size));
                Some(at)
            }
        }
    }
}
