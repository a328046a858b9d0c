//! The 63 coefficients after the DC coefficient.
//!
//! A symbol is a run of zeros and the size of the number after it, which is coded in so many bits.
//! The table is indexed by the next 11 bits. It resolves 99% of the look-ups in a photograph, and
//! more than half of them to two symbols.
//!
//! The last number of a look-up need not fit into these bits: its code and its first bit, the sign,
//! are enough. The table has its value less all the bits of the look-up, read as one number. To add
//! them again takes no branch, and is off the path from one look-up to the next. Where numbers had to
//! fit, every twentieth look-up was not resolved, and reading took 17% longer.
//!
//! A pair may reach beyond its block: if the first symbol fills the block, the second belongs to the
//! next one, and its bits are given back.

use std::hint::assert_unchecked;

use super::bits::{Bits, smallest};
use super::codes::Codes;
use super::skip::SkipTable;
use super::tables::Resolved;
use crate::decode::coefficients::{Block, HuffmanTable};

/// How many bits the table looks at.
const WINDOW: u32 = 11;

const SIZE: usize = 1 << WINDOW;

/// How many bits an entry takes at most, so that three look-ups need 56 bits at most.
const LONGEST: u32 = 18;

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

/// What the next bits are: one symbol with its number, or two. If there is only one, both have its
/// advance. The value of the second is written last, and so is the one that counts.
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
    /// The value of the first of two. Of an unresolved entry its symbol.
    first: i16,
    /// The value of the second or only one, less all the bits as a number.
    second: i16,
}

impl Entry {
    fn unresolved(code_length: u32, symbol: u8) -> Self {
        Self {
            length: 0,
            length_of_first: code_length as u8,
            advance_of_first: UNRESOLVED as u8,
            advance: UNRESOLVED as u8,
            first: i16::from(symbol),
            second: 0,
        }
    }

    /// One symbol of so many bits, whose value less these bits is `value`.
    fn one(length: u32, advance: u64, value: i32) -> Self {
        Self {
            length: length as u8,
            length_of_first: length as u8,
            advance_of_first: advance as u8,
            advance: advance as u8,
            first: 0,
            second: value as i16,
        }
    }

    /// The first symbol of the window `bits`, and `next` as well if its `known` bits are in the
    /// window.
    #[inline(always)]
    fn and(self, bits: usize, next: Self, known: u8) -> Self {
        let length = self.length + next.length;
        let seen = u32::from(self.length + known) <= WINDOW && u32::from(length) <= LONGEST;
        if self.advance() >= END || next.advance() == UNRESOLVED || !seen {
            return self;
        }
        let number = (bits >> (WINDOW - u32::from(self.length))) as i32;
        let sum = self.advance + next.advance;
        Self {
            length,
            advance: if next.advance() == END { END as u8 } else { sum },
            first: (i32::from(self.second) + number) as i16,
            second: (i32::from(next.second) - (number << next.length)) as i16,
            ..self
        }
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
        let mut single = [Entry::unresolved(0, 0); SIZE];
        let mut known = [0; SIZE];
        fill(&codes, &mut single, &mut known);
        let mut entries = Box::new(single);
        for (bits, entry) in entries.iter_mut().enumerate() {
            let rest = bits << entry.length & (SIZE - 1);
            *entry = entry.and(bits, single[rest], known[rest]);
        }
        Some(Self { entries, codes, skip: None })
    }

    fn reuse(&mut self) {
        self.skip.get_or_insert_with(|| SkipTable::new(&self.codes));
    }
}

/// The first symbol of each window, and how many bits it has up to the sign of its number.
fn fill(codes: &Codes, single: &mut [Entry; SIZE], known: &mut [u8; SIZE]) {
    for code in codes.iter().take_while(|code| code.length <= WINDOW) {
        let (run, size) = (u64::from(code.symbol >> 4), u32::from(code.symbol & 15));
        let (length, seen) = (code.length + size, code.length + size.min(1));
        let spare = WINDOW - code.length;
        let windows = (code.bits << spare) as usize..((code.bits + 1) << spare) as usize;
        known[windows.clone()].fill(seen as u8);
        let single = &mut single[windows];
        if seen > WINDOW || length > LONGEST {
            single.fill(Entry::unresolved(code.length, code.symbol));
            continue;
        }
        let advance = if size == 0 && run < 15 { END } else { run + 1 };
        let value = -((code.bits << size) as i32);
        let (negative, positive) = single.split_at_mut(single.len() / 2);
        negative.fill(Entry::one(length, advance, value + smallest(size)));
        positive.fill(Entry::one(length, advance, value));
    }
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

    /// Reads the coefficients of a block but the first, which is overwritten. `None` if the bits are
    /// not those of a block.
    #[inline(always)]
    pub fn read(&self, bits: &mut Bits<'_>, block: &mut Block) -> Option<()> {
        let mut last = 0;
        loop {
            bits.refill();
            for _ in 0..3 {
                let entry = &self.entries[bits.peek(WINDOW)];
                let number = bits.take(u64::from(entry.length)) as i16;
                let first = last + entry.advance_of_first();
                let second = last + entry.advance();
                put(block, first, entry.first);
                put(block, second, entry.second.wrapping_add(number));
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
