//! Huffman tables: as DHT gives them, for reading, and for writing.
//!
//! The table for reading resolves a code and the bits of its value in one look-up where both fit in
//! [`FAST`] bits. That is most of them.

use super::bits::{BitReader, Burst};
use super::unpackable::Unpackable;

/// Bits of the first look-up.
pub(super) const FAST: u32 = 11;

const ENTRIES: usize = 1 << FAST;

/// What a table is for. DC symbols are sizes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Dc,
    Ac,
}

/// A table as DHT gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Specification {
    /// How many codes there are of each length from 1 to 16.
    counts: [u8; 16],
    symbols: Vec<u8>,
}

/// A code: its bits, and how many they are.
#[derive(Clone, Copy, Default)]
struct Code {
    bits: u32,
    length: u32,
}

impl Specification {
    /// Reads one table from the content of a DHT marker. Returns it and what follows it.
    pub(super) fn parse(content: &[u8]) -> Result<(Self, &[u8]), Unpackable> {
        const LENGTH: Unpackable = Unpackable::Broken("the length of a Huffman table");
        let (counts, rest) = content.split_first_chunk().ok_or(LENGTH)?;
        let total = counts.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(total).ok_or(LENGTH)?;
        if total > 256 {
            return Err(LENGTH);
        }
        Ok((Self { counts: *counts, symbols: symbols.to_vec() }, rest))
    }

    /// The symbols with their codes. libjpeg's rules: the codes of a length must leave one, and DC
    /// sizes are at most 15.
    fn codes(&self, class: Class) -> Result<Vec<(u8, Code)>, Unpackable> {
        let mut codes = Vec::with_capacity(self.symbols.len());
        let mut symbols = self.symbols.iter();
        let mut next = 0u32;
        for (&count, length) in self.counts.iter().zip(1..) {
            for &symbol in symbols.by_ref().take(usize::from(count)) {
                codes.push((symbol, Code { bits: next, length }));
                next += 1;
            }
            if count > 0 && next >= 1 << length {
                return Err(Unpackable::Broken("a Huffman table"));
            }
            next <<= 1;
        }
        if class == Class::Dc && self.symbols.iter().any(|&size| size > 15) {
            return Err(Unpackable::Broken("a Huffman table"));
        }
        Ok(codes)
    }
}

/// All that a look-up says.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry(u32);

impl Entry {
    /// The advance of "end of block": beyond every position in a block.
    pub(super) const END: usize = 128;

    fn new(value: i16, advance: usize, length: u32) -> Self {
        Self(u32::from(value as u16) << 16 | (advance as u32) << 8 | length)
    }

    /// The coefficient, or the DC difference. Zero if there is none.
    #[inline(always)]
    pub(super) fn value(self) -> i16 {
        (self.0 >> 16) as i16
    }

    /// How far the coefficient lies from the one before, 16 for sixteen zeros.
    #[inline(always)]
    pub(super) fn advance(self) -> usize {
        (self.0 >> 8) as usize & 0xFF
    }

    /// Bits of the code and of the value, or 0 if the look-up does not resolve both.
    #[inline(always)]
    pub(super) fn length(self) -> u32 {
        self.0 & 0xFF
    }
}

/// The value whose `size` bits are `bits`. The highest one is set in positive values.
#[inline(always)]
pub(super) fn extend(bits: u32, size: u32) -> i16 {
    let positive = size == 0 || bits >> (size - 1) & 1 == 1;
    (bits as i32 - if positive { 0 } else { (1 << size) - 1 }) as i16
}

/// A table for reading.
pub(super) struct Decoder {
    fast: Box<[Entry; ENTRIES]>,
    /// The symbol and, in the low byte, the length of its code. 0 for codes longer than [`FAST`].
    short: Box<[u16; ENTRIES]>,
    long: Vec<Long>,
    symbols: Vec<u8>,
}

/// The codes of one length beyond [`FAST`].
struct Long {
    length: u32,
    /// The first code beyond them, extended to 16 bits.
    end: usize,
    /// The index of the first symbol, less its code.
    offset: usize,
}

impl Decoder {
    pub(super) fn new(specification: &Specification, class: Class) -> Result<Self, Unpackable> {
        let mut fast = Box::new([Entry::default(); ENTRIES]);
        let mut short = Box::new([0; ENTRIES]);
        let mut long: Vec<Long> = Vec::new();
        for (i, (symbol, code)) in specification.codes(class)?.into_iter().enumerate() {
            if code.length > FAST {
                let end = ((code.bits + 1) << (16 - code.length)) as usize;
                match long.last_mut() {
                    Some(last) if last.length == code.length => last.end = end,
                    _ => {
                        let offset = i.wrapping_sub(code.bits as usize);
                        long.push(Long { length: code.length, end, offset });
                    }
                }
                continue;
            }
            let free = FAST - code.length;
            let entries = (code.bits as usize) << free..(code.bits as usize + 1) << free;
            short[entries.clone()].fill(u16::from(symbol) << 8 | code.length as u16);
            fill(&mut fast[entries], symbol, code.length, class);
        }
        Ok(Self { fast, short, long, symbols: specification.symbols.clone() })
    }

    /// What the next [`FAST`] bits say.
    #[inline(always)]
    pub(super) fn look_up(&self, bits: &BitReader) -> Entry {
        self.fast[bits.peek(FAST) % ENTRIES]
    }

    /// Reads a symbol. At least 40 bits are available afterwards.
    #[inline(always)]
    pub(super) fn symbol(&self, bits: &mut BitReader) -> Result<u8, Unpackable> {
        bits.refill()?;
        let known = self.short[bits.peek(FAST) % ENTRIES];
        if known != 0 {
            bits.skip(u32::from(known & 0xFF));
            return Ok((known >> 8) as u8);
        }
        let (symbol, length) = self.long_symbol(bits.peek(16))?;
        bits.skip(length);
        Ok(symbol)
    }

    /// The symbol whose code begins the 16 bits `next`, and the length of the code.
    #[cold]
    fn long_symbol(&self, next: usize) -> Result<(u8, u32), Unpackable> {
        let long = self.long.iter().find(|long| next < long.end);
        let symbol = long.and_then(|long| {
            let place = (next >> (16 - long.length)).wrapping_add(long.offset);
            Some((*self.symbols.get(place)?, long.length))
        });
        symbol.ok_or(Unpackable::Broken("a Huffman code that is in no table"))
    }
}

/// Fills the entries of one code. Those of values that do not fit stay empty, as do those of
/// symbols without a value other than "sixteen zeros" and "end of block".
fn fill(entries: &mut [Entry], symbol: u8, length: u32, class: Class) {
    let (run, size) = match class {
        Class::Dc => (0, u32::from(symbol)),
        Class::Ac => (usize::from(symbol >> 4), u32::from(symbol & 15)),
    };
    if size == 0 {
        match (class, run) {
            (Class::Dc, _) => entries.fill(Entry::new(0, 0, length)),
            (Class::Ac, 0) => entries.fill(Entry::new(0, Entry::END, length)),
            (Class::Ac, 15) => entries.fill(Entry::new(0, 16, length)),
            _ => {}
        }
    } else if length + size <= FAST {
        // The entries are in the order of the bits that follow the code.
        let each = entries.len() >> size;
        for (bits, entries) in entries.chunks_exact_mut(each).enumerate() {
            entries.fill(Entry::new(extend(bits as u32, size), run + 1, length + size));
        }
    }
}

/// A table for writing.
pub(super) struct Encoder {
    /// For each run and size the code, shifted to make room for the value.
    codes: Box<[Code; 512]>,
    /// For each run and small value the code with the value, and the number of bits above 24 bits.
    /// 0 if the table lacks the symbol.
    small: Box<[u32; 16 * SMALL]>,
}

/// Values from -32 to 31 are small: they have at most six bits.
const SMALL: usize = 64;

impl Encoder {
    pub(super) fn new(specification: &Specification, class: Class) -> Result<Self, Unpackable> {
        let mut codes = Box::new([Code::default(); 512]);
        let mut small = Box::new([0; 16 * SMALL]);
        for (symbol, code) in specification.codes(class)? {
            let (run, size) = (symbol >> 4, u32::from(symbol & 15));
            let shifted = Code { bits: code.bits << size, length: code.length + size };
            codes[place(u32::from(run), size)] = shifted;
            if class == Class::Dc || !(1..=6).contains(&size) {
                continue;
            }
            for bits in 0..1 << size {
                let value = usize::wrapping_add_signed(SMALL / 2, extend(bits, size).into());
                if let Some(entry) = small[usize::from(run) * SMALL..].get_mut(..SMALL)
                    && let Some(entry) = entry.get_mut(value)
                {
                    *entry = shifted.length << 24 | shifted.bits | bits;
                }
            }
        }
        Ok(Self { codes, small })
    }

    /// Writes the symbol of `run` and `size`, then `size` bits of the value. False if the table
    /// lacks the symbol; then what is written means nothing.
    #[inline(always)]
    #[must_use]
    pub(super) fn put(&self, bits: &mut Burst, run: u32, size: u32, value: u32) -> bool {
        let code = self.codes[place(run, size)];
        bits.push(code.bits | value, code.length);
        bits.flush();
        code.length != 0
    }

    /// Writes a coefficient after at most 15 zeros, as [`Self::put`] does. Pushes at most 22 bits,
    /// and does not flush them.
    #[inline(always)]
    #[must_use]
    pub(super) fn push(&self, bits: &mut Burst, run: u32, value: i32) -> bool {
        let place = (value + SMALL as i32 / 2) as usize;
        if place < SMALL {
            let entry = self.small[(run as usize * SMALL + place) % (16 * SMALL)];
            bits.push(entry & 0xFF_FFFF, entry >> 24);
            return entry != 0;
        }
        bits.flush();
        let (size, extra) = sized(value);
        self.put(bits, run, size, extra)
    }
}

/// Sizes beyond 15 have places of their own, which stay empty.
#[inline(always)]
fn place(run: u32, size: u32) -> usize {
    ((run << 5 | size) % 512) as usize
}

/// The size of a value and the bits that code it: its own if it is positive, else those of the
/// value less one.
#[inline(always)]
pub(super) fn sized(value: i32) -> (u32, u32) {
    let size = 32 - value.unsigned_abs().leading_zeros();
    (size, (value + (value >> 31)) as u32 & ((1 << size) - 1))
}
