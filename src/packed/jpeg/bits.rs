//! Bits of entropy-coded data, without the zero bytes that JPEG stuffs after each 0xFF.
//!
//! Both directions work on whole intervals between restart markers: unstuff, then read; write, then
//! stuff. So the loops over bits never look for markers.

use super::unpackable::Unpackable;

/// Zero bytes after the data, so that a reader takes eight bytes at once up to its end.
const MARGIN: usize = 16;

/// Replaces `clean` by the data at the beginning of `raw`, up to the next marker, and [`MARGIN`]
/// zeros. Returns the length of the data before and after.
pub(super) fn unstuff(raw: &[u8], clean: &mut Vec<u8>) -> (usize, usize) {
    clean.clear();
    let mut at = 0;
    while let Some(length) = memchr::memchr(0xFF, &raw[at..]) {
        let stuffed = raw.get(at + length + 1) == Some(&0);
        clean.extend_from_slice(&raw[at..at + length + usize::from(stuffed)]);
        at += length;
        if !stuffed {
            clean.resize(clean.len() + MARGIN, 0);
            return (at, clean.len() - MARGIN);
        }
        at += 2;
    }
    clean.extend_from_slice(&raw[at..]);
    clean.resize(clean.len() + MARGIN, 0);
    (raw.len(), clean.len() - MARGIN)
}

/// How many bytes of `raw` are `length` bytes after unstuffing.
pub(super) fn stuffed_length(raw: &[u8], length: usize) -> usize {
    let mut at = 0;
    for _ in 0..length {
        at += if raw.get(at) == Some(&0xFF) { 2 } else { 1 };
    }
    at
}

/// Appends `clean` to `out` with a zero after each 0xFF.
fn stuff(mut clean: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(0xFF, clean) {
        out.extend_from_slice(&clean[..=at]);
        out.push(0);
        clean = &clean[at + 1..];
    }
    out.extend_from_slice(clean);
}

/// Reads bits, the highest of a byte first. After the end come zeros, and soon an error.
///
/// Fast loops copy it to a local variable, which can live in registers, and back.
#[derive(Clone, Copy)]
pub(super) struct BitReader<'a> {
    /// With [`MARGIN`] zeros at the end.
    data: &'a [u8],
    /// The next byte to take.
    at: usize,
    /// The bits taken, the next one on top.
    buffer: u64,
    /// How many of them count.
    count: u32,
}

impl<'a> BitReader<'a> {
    /// Reads what [`unstuff`] made.
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, buffer: 0, count: 0 }
    }

    /// Makes at least 56 bits available.
    #[inline(always)]
    pub(super) fn refill(&mut self) -> Result<(), Unpackable> {
        let rest = self.data.get(self.at..).and_then(|rest| rest.first_chunk());
        let Some(next) = rest else { return Err(Unpackable::Truncated) };
        // Bits of a byte that does not fit whole are set now, and set again to the same next time.
        self.buffer |= u64::from_be_bytes(*next) >> self.count;
        self.at += ((63 - self.count) / 8) as usize;
        self.count |= 56;
        Ok(())
    }

    /// The next `count` bits, which must be available and are at least one.
    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> usize {
        (self.buffer >> (64 - count)) as usize
    }

    /// Goes past `count` bits, which must be available.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.count -= count;
    }

    /// Takes `count` bits, of which there may be none.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        // Two shifts, since one by 64 is none.
        let bits = (self.buffer >> 32 >> (32 - count)) as u32;
        self.skip(count);
        bits
    }

    /// How many bytes have been begun, the bits that are left of the last one, and their number.
    /// Nothing if the data ended before.
    pub(super) fn finish(&self) -> Option<(usize, u8, u32)> {
        let used = self.at * 8 - self.count as usize;
        let bytes = used.div_ceil(8);
        let left = (bytes * 8 - used) as u32;
        let last = bytes.checked_sub(1).map_or(0, |last| self.data[last]);
        let ended = bytes + MARGIN > self.data.len();
        (!ended).then_some((bytes, last & ((1 << left) - 1), left))
    }
}

/// Room for bytes that wait for stuffing.
const ROOM: usize = 1 << 13;

/// The most bytes of a [`Burst`]. A block has at most 63 codes with values, of 31 bits, and 255
/// codes without.
const MAX_BURST: usize = 1 << 10;

/// Writes bits, the highest of a byte first, and stuffs them.
pub(super) struct BitWriter {
    clean: Box<[u8; ROOM]>,
    state: State,
    out: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// What is written to `clean` lies before this.
    at: usize,
    /// The bits that are not in `clean` yet, the first one on top; then zeros.
    buffer: u64,
    /// How many of them there are: at most seven after a flush.
    count: u32,
}

impl BitWriter {
    /// Appends to `out`.
    pub(super) fn new(out: Vec<u8>) -> Self {
        Self { clean: Box::new([0; ROOM]), state: State::default(), out }
    }

    /// Writes at most [`MAX_BURST`] bytes.
    #[inline(always)]
    pub(super) fn burst<T>(&mut self, write: impl FnOnce(&mut Burst) -> T) -> T {
        if self.state.at > ROOM - MAX_BURST {
            self.stuff();
        }
        let mut burst = Burst { clean: &mut self.clean, state: self.state };
        let result = write(&mut burst);
        burst.flush();
        self.state = burst.state;
        result
    }

    /// Writes the low `count` bits of `bits`, at most 32. The others must be zero.
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        self.burst(|burst| burst.push(bits, count));
    }

    /// Fills the last byte with the low bits of `padding`.
    pub(super) fn finish(&mut self, padding: u8) {
        let left = self.state.count.wrapping_neg() % 8;
        self.put(u32::from(padding) & ((1 << left) - 1), left);
        self.stuff();
    }

    /// Writes `bytes` as they are. No bits may wait: [`Self::finish`] has come before.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// All that has been written. No bits may wait.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn stuff(&mut self) {
        stuff(&self.clean[..self.state.at], &mut self.out);
        self.state.at = 0;
    }
}

/// A [`BitWriter`] whose state is a local variable, so that it can live in registers.
pub(super) struct Burst<'a> {
    clean: &'a mut [u8; ROOM],
    state: State,
}

impl Burst<'_> {
    /// Writes the low `count` bits of `bits`, at most 32. The others must be zero. At most 56 bits
    /// may come between two flushes.
    #[inline(always)]
    pub(super) fn push(&mut self, bits: u32, count: u32) {
        // Two shifts, since one by 64 is none.
        self.state.buffer |= u64::from(bits) << 1 << (63 - self.state.count - count);
        self.state.count += count;
    }

    /// Moves whole bytes on. It always stores, since nothing predicts whether a byte is full.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        let State { at, buffer, count } = &mut self.state;
        self.clean[*at..*at + 8].copy_from_slice(&buffer.to_be_bytes());
        *at += (*count / 8) as usize;
        *buffer <<= *count & !7;
        *count %= 8;
    }
}
