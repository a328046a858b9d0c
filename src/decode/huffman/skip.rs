//! Passing over the AC coefficients of blocks that nobody looks at.
//!
//! Only the lengths of the symbols and the positions count. So more of them fit into one look-up
//! than where values are wanted: the number after the last code may lie outside the window.

use super::ac::{AcTable, END};
use super::bits::Bits;
use super::codes::Codes;

/// How many bits the table looks at.
const WINDOW: u32 = 12;

/// How many bits an entry takes at most, so that three look-ups need 56 bits at most.
const LONGEST: u32 = 18;

/// What the next bits are, as far as whole codes fit.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The bits of all symbols, with their numbers.
    length: u8,
    /// How many positions they lead on. With the end of the block, [`END`] more.
    advance: u8,
}

/// The advance of an entry without a whole code: none that a block has room for.
const UNRESOLVED: u8 = 64;

/// A table for passing over blocks.
#[derive(Clone, Debug)]
pub struct SkipTable(Box<[Entry; 1 << WINDOW]>);

/// A symbol: bits of its code, bits with its number, and advance.
type Symbol = (u8, u8, u8);

impl SkipTable {
    pub fn new(codes: &Codes) -> Self {
        let mut symbols: [Symbol; 1 << WINDOW] = [(0, 0, UNRESOLVED); 1 << WINDOW];
        for code in codes.iter().take_while(|code| code.length <= WINDOW) {
            let (run, size) = (code.symbol >> 4, code.symbol & 15);
            let advance = if size == 0 && run < 15 { END as u8 } else { run + 1 };
            let spare = WINDOW - code.length;
            let same = &mut symbols[(code.bits << spare) as usize..][..1 << spare];
            same.fill((code.length as u8, code.length as u8 + size, advance));
        }
        let mut entries = Box::new([Entry { length: 0, advance: UNRESOLVED }; 1 << WINDOW]);
        for (bits, entry) in entries.iter_mut().enumerate() {
            *entry = chain(bits, &symbols);
        }
        Self(entries)
    }

    /// Passes over the coefficients of a block. `None` if the bits are not those of a block.
    #[inline(always)]
    pub fn skip(&self, bits: &mut Bits<'_>, table: &AcTable) -> Option<()> {
        let mut last = 0;
        loop {
            bits.refill();
            for _ in 0..3 {
                let entry = self.0[bits.peek(WINDOW)];
                let next = last + u64::from(entry.advance);
                if next < 63 {
                    bits.consume(u64::from(entry.length));
                    last = next;
                } else if (END..END + 63).contains(&next) {
                    bits.consume(u64::from(entry.length));
                    return Some(());
                } else {
                    // Near the end of the block, or a long code: one symbol at a time.
                    bits.refill();
                    last = table.step(bits, last)?;
                    if last >= 63 {
                        return (last == 63 || last >= END).then_some(());
                    }
                    break;
                }
            }
        }
    }
}

/// The symbols at the start of `bits`, as many as fit.
fn chain(bits: usize, symbols: &[Symbol; 1 << WINDOW]) -> Entry {
    let (mut length, mut advance) = (0, 0);
    while u32::from(length) < WINDOW {
        let (code, whole, next) = symbols[bits << length & ((1 << WINDOW) - 1)];
        let fits = u32::from(length + code) <= WINDOW && u32::from(length + whole) <= LONGEST;
        if next == UNRESOLVED || !fits || advance + (next & 127) > 62 {
            break;
        }
        length += whole;
        advance += next;
        if u64::from(next) == END {
            break;
        }
    }
    if length == 0 { Entry { length: 0, advance: UNRESOLVED } } else { Entry { length, advance } }
}
