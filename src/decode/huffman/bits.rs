//! Reads bits from bytes, most significant bit first.

/// The bits of a scan, from some position on.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    /// The first byte of which not all bits are among the valid ones of `buffer`.
    at: usize,
    /// The next bits, first bit topmost. Bits below the valid ones are zero, or those that follow.
    buffer: u64,
    /// How many bits of `buffer` are valid, 0 to 63.
    valid: u64,
}

impl<'a> Bits<'a> {
    /// The bits of `bytes` from number `position` on.
    #[inline(always)]
    pub fn new(bytes: &'a [u8], position: usize) -> Self {
        let mut bits = Self { bytes, at: position / 8, buffer: 0, valid: 0 };
        bits.refill();
        bits.consume(position as u64 % 8);
        bits
    }

    /// The number of the next bit.
    #[inline(always)]
    pub fn position(&self) -> usize {
        self.at * 8 - self.valid as usize
    }

    /// Makes at least 56 bits available. After the last byte come zeros.
    ///
    /// The eight bytes at `at` are put after the valid bits. As many of them as then fit become
    /// valid. The bits of the next byte that fit as well stay in `buffer`: the next call puts the
    /// same bits there. So there is neither a loop nor a branch that depends on the data.
    #[inline(always)]
    pub fn refill(&mut self) {
        let valid = self.valid;
        if let Some(next) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            self.buffer |= u64::from_be_bytes(*next) >> valid;
        }
        self.at += ((63 - valid) >> 3) as usize;
        self.valid = valid | 56;
    }

    /// The next `count` bits, 1 to 63.
    #[inline(always)]
    pub fn peek(&self, count: u32) -> usize {
        (self.buffer >> (64 - count)) as usize
    }

    /// Passes over `count` bits, at most as many as are available.
    #[inline(always)]
    pub fn consume(&mut self, count: u64) {
        self.buffer = self.buffer.wrapping_shl(count as u32);
        self.valid -= count;
    }

    /// Reads `count` bits as a number, at most as many as are available. 0 bits may be any number.
    #[inline(always)]
    pub fn take(&mut self, count: u64) -> u64 {
        let number = self.buffer.wrapping_shr(count.wrapping_neg() as u32);
        self.consume(count);
        number
    }

    /// Returns to `count` bits before the next.
    #[inline(always)]
    pub fn back(&mut self, count: usize) {
        *self = Self::new(self.bytes, self.position() - count);
    }

    /// Reads `size` bits, 0 to 15, as JPEG codes a number of that many bits: one that begins with 0
    /// is negative.
    #[inline(always)]
    pub fn number(&mut self, size: u32) -> i16 {
        if size == 0 {
            return 0;
        }
        let raw = self.peek(size) as i32;
        self.consume(u64::from(size));
        signed(raw, size) as i16
    }
}

/// What `raw`, a number of `size` bits, stands for (`EXTEND` of ITU-T T.81, F.12).
#[inline(always)]
fn signed(raw: i32, size: u32) -> i32 {
    if raw >> (size - 1) == 0 { raw + smallest(size) } else { raw }
}

/// What a number of `size` bits counts up from if its first bit is 0.
#[inline(always)]
pub fn smallest(size: u32) -> i32 {
    1 - (1 << size)
}
