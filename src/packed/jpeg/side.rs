//! Side information: all that a file has besides its coefficients, in memory and as bytes.
//!
//! As bytes, it begins with the numbers, as LEB128 without sign:
//!
//! 1. how many scans there are, the length of each one's headers, and the length of what follows
//!    the last scan;
//! 2. padding: twice the number of exceptions, plus one if the usual bits are zeros; then the
//!    exceptions, each as the intervals since the one before, the bits as a byte, the number of
//!    surplus bytes, and these;
//! 3. how many scans have habits; for each the scans since the one before, the longest run, whether
//!    corrections cut runs (0 or 1), the number of exceptions and each as the blocks since the one
//!    before, the number of needless zeros and each as such a distance and a count.
//!
//! Then come the headers of all scans, and what follows the last scan, byte for byte. "Since the
//! one before" counts from zero at the first one.

use super::frame::Frame;
use super::habits::{Habits, MAX_RUN};
use super::headers::{Headers, Next};
use super::padding::{Exception, Padding};
use super::scan::Scan;
use super::unpackable::{MAX_SCANS, Unpackable, Unwritable};
use crate::packed::geometry::Geometry;

/// What a file has besides its coefficients.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Side {
    /// Everything but the data of scans, from the first byte of the file to its last.
    bytes: Vec<u8>,
    /// Where, in `bytes`, the headers of each scan end.
    ends: Vec<usize>,
    pub(super) frame: Frame,
    /// What else a decoder needs to know.
    pub(in crate::packed) geometry: Geometry,
    pub(super) scans: Vec<Scan>,
    /// Of each scan.
    pub(super) habits: Vec<Habits>,
    pub(super) padding: Padding,
}

/// Side information of a file that is being read.
#[derive(Default)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    scans: Vec<Scan>,
    habits: Vec<Habits>,
}

impl Builder {
    pub(super) fn is_empty(&self) -> bool {
        self.scans.is_empty()
    }

    pub(super) fn scan(&mut self, header: &[u8], scan: Scan, habits: Habits) {
        self.bytes.extend_from_slice(header);
        self.ends.push(self.bytes.len());
        self.scans.push(scan);
        self.habits.push(habits);
    }

    /// `trailing` follows the last scan.
    pub(super) fn end(&mut self, trailing: &[u8]) {
        self.bytes.extend_from_slice(trailing);
    }

    pub(super) fn finish(self, headers: Headers, padding: Padding) -> Result<Side, Unpackable> {
        let Self { bytes, ends, scans, habits } = self;
        let (frame, geometry) = headers.finish().ok_or(Unpackable::Incomplete)?;
        Ok(Side { bytes, ends, frame, geometry, scans, habits, padding })
    }
}

impl Side {
    /// The bytes before each scan's data.
    pub(super) fn headers(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }

    /// The bytes after the last scan's data.
    pub(super) fn trailing(&self) -> &[u8] {
        &self.bytes[self.ends.last().copied().unwrap_or(0)..]
    }

    /// As bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 32);
        put(&mut out, self.scans.len());
        self.headers().for_each(|header| put(&mut out, header.len()));
        put(&mut out, self.trailing().len());
        let Padding { zeros, exceptions } = &self.padding;
        put(&mut out, exceptions.len() << 1 | usize::from(*zeros));
        let mut before = 0;
        for Exception { interval, bits, surplus } in exceptions {
            put(&mut out, (interval - before) as usize);
            out.push(*bits);
            put(&mut out, surplus.len());
            out.extend_from_slice(surplus);
            before = *interval;
        }
        let usual = Habits::default();
        let unusual = || self.habits.iter().enumerate().filter(|(_, habits)| **habits != usual);
        put(&mut out, unusual().count());
        let mut before = 0;
        for (scan, habits) in unusual() {
            put(&mut out, scan - before);
            put_habits(&mut out, habits);
            before = scan;
        }
        out.extend_from_slice(&self.bytes);
        out
    }

    /// From the bytes of [`Self::to_bytes`]. They may come from anyone.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Unwritable> {
        let mut rest = Cursor(bytes);
        let count = rest.number()?;
        if count > MAX_SCANS {
            return Err(Unwritable::Side("too many scans"));
        }
        let mut ends = Vec::with_capacity(count);
        let mut end = 0usize;
        for _ in 0..count {
            end = end.checked_add(rest.number()?).ok_or(Unwritable::Side("a length"))?;
            ends.push(end);
        }
        let length = end.checked_add(rest.number()?).ok_or(Unwritable::Side("a length"))?;
        let padding = rest.padding()?;
        let mut habits = vec![Habits::default(); count];
        let mut scan = 0;
        for _ in 0..rest.number()? {
            scan = rest.distance(scan)?;
            let place = habits.get_mut(scan as usize);
            *place.ok_or(Unwritable::Side("habits of no scan"))? = rest.habits()?;
        }
        let Cursor(bytes) = rest;
        if bytes.len() != length {
            return Err(Unwritable::Side("a length"));
        }
        let mut headers = Headers::new(u64::MAX);
        let scans = scans(&mut headers, bytes, &ends)?;
        let (frame, geometry) = headers.finish().ok_or(Unpackable::Incomplete)?;
        Ok(Self { bytes: bytes.to_vec(), ends, frame, geometry, scans, habits, padding })
    }
}

/// Reads the headers of all scans and what follows the last one.
fn scans(headers: &mut Headers, bytes: &[u8], ends: &[usize]) -> Result<Vec<Scan>, Unwritable> {
    let (mut scans, mut start) = (Vec::new(), 0);
    for &end in ends {
        let header = &bytes[start..end];
        let mut at = 0;
        match headers.next(header, &mut at)? {
            Next::Scan(scan) if at == header.len() => scans.push(scan),
            _ => return Err(Unwritable::Side("headers that are not of a scan")),
        }
        start = end;
    }
    match headers.next(&bytes[start..], &mut 0)? {
        Next::EndOfImage => Ok(scans),
        Next::Scan(_) => Err(Unwritable::Side("a scan after the last one")),
    }
}

fn put(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7F {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_habits(out: &mut Vec<u8>, habits: &Habits) {
    let Habits { longest_run, cut_at_corrections, exceptions, zeros } = habits;
    put(out, *longest_run as usize);
    put(out, usize::from(*cut_at_corrections));
    put(out, exceptions.len());
    let mut before = 0;
    for &block in exceptions {
        put(out, (block - before) as usize);
        before = block;
    }
    put(out, zeros.len());
    let mut before = 0;
    for &(block, count) in zeros {
        put(out, (block - before) as usize);
        out.push(count);
        before = block;
    }
}

/// Bytes still to be read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn byte(&mut self) -> Result<u8, Unwritable> {
        let (&byte, rest) = self.0.split_first().ok_or(Unwritable::Side("its end is missing"))?;
        self.0 = rest;
        Ok(byte)
    }

    fn number(&mut self) -> Result<usize, Unwritable> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return usize::try_from(number).map_err(|_| Unwritable::Side("a number"));
            }
        }
        Err(Unwritable::Side("a number"))
    }

    /// A position so far after `before`.
    fn distance(&mut self, before: u32) -> Result<u32, Unwritable> {
        let distance = u32::try_from(self.number()?).ok();
        let position = distance.and_then(|distance| before.checked_add(distance));
        position.ok_or(Unwritable::Side("a position"))
    }

    fn padding(&mut self) -> Result<Padding, Unwritable> {
        let number = self.number()?;
        let mut padding = Padding { zeros: number & 1 == 1, exceptions: Vec::new() };
        let mut interval = 0;
        // Each takes bytes, so the list can't outgrow them.
        for _ in 0..number >> 1 {
            interval = self.distance(interval)?;
            let bits = self.byte()?;
            let length = self.number()?;
            let split = self.0.split_at_checked(length);
            let (surplus, rest) = split.ok_or(Unwritable::Side("its end is missing"))?;
            self.0 = rest;
            padding.exceptions.push(Exception { interval, bits, surplus: surplus.to_vec() });
        }
        Ok(padding)
    }

    fn habits(&mut self) -> Result<Habits, Unwritable> {
        let longest = u32::try_from(self.number()?).ok();
        let longest_run = longest.filter(|longest| (1..=MAX_RUN).contains(longest));
        let mut habits = Habits {
            longest_run: longest_run.ok_or(Unwritable::Side("the longest run"))?,
            cut_at_corrections: self.number()? != 0,
            ..Habits::default()
        };
        let mut block = 0;
        for _ in 0..self.number()? {
            block = self.distance(block)?;
            habits.exceptions.push(block);
        }
        let mut block = 0;
        for _ in 0..self.number()? {
            block = self.distance(block)?;
            habits.zeros.push((block, self.byte()?));
        }
        Ok(habits)
    }
}
