//! What fills the space between an interval's last block and the next marker: the rest of a byte,
//! and sometimes more bytes, which decoders skip.

/// The padding of all intervals of a file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Padding {
    /// Whether the bits that usually fill a byte are zeros, instead of ones.
    pub(super) zeros: bool,
    /// Intervals that are filled in another way.
    pub(super) exceptions: Vec<Exception>,
}

/// The padding of one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    /// Which interval of the file.
    pub(super) interval: u32,
    /// The bits that fill the last byte.
    pub(super) bits: u8,
    /// What comes after it, before a restart marker. The bytes before other markers are kept with
    /// those markers.
    pub(super) surplus: Vec<u8>,
}

/// Finds the padding of a file while it is read.
#[derive(Default)]
pub(super) struct Recorder {
    padding: Padding,
    intervals: u32,
    /// The first interval with padding has shown the usual bits.
    known: bool,
}

impl Recorder {
    /// The next interval ends with `count` padding bits, and `surplus`.
    pub(super) fn push(&mut self, bits: u8, count: u32, surplus: &[u8]) {
        if count > 0 && !self.known {
            self.known = true;
            self.padding.zeros = bits == 0;
        }
        if bits != usual(self.padding.zeros, count) || !surplus.is_empty() {
            let surplus = surplus.to_vec();
            self.padding.exceptions.push(Exception { interval: self.intervals, bits, surplus });
        }
        self.intervals += 1;
    }

    pub(super) fn finish(self) -> Padding {
        self.padding
    }
}

/// Says the padding, interval after interval.
pub(super) struct Fill<'a> {
    zeros: bool,
    exceptions: &'a [Exception],
    intervals: u32,
}

impl<'a> Fill<'a> {
    pub(super) fn new(padding: &'a Padding) -> Self {
        Self { zeros: padding.zeros, exceptions: &padding.exceptions, intervals: 0 }
    }

    /// The padding of the next interval. Of the bits, as many as the last byte lacks fill it.
    pub(super) fn next(&mut self) -> (u8, &'a [u8]) {
        let interval = self.intervals;
        self.intervals += 1;
        match self.exceptions.split_first() {
            Some((exception, rest)) if exception.interval == interval => {
                self.exceptions = rest;
                (exception.bits, &exception.surplus)
            }
            _ => (usual(self.zeros, 7), &[]),
        }
    }
}

fn usual(zeros: bool, count: u32) -> u8 {
    if zeros { 0 } else { (1 << count) - 1 }
}
