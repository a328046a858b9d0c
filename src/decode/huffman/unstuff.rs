//! Takes a scan apart: entropy-coded bytes without stuffing, and where each restart interval ends.

use crate::memory;
use memchr::memchr;

/// How many zeros follow the last interval, so that its last bits can be read eight bytes at a time.
const PADDING: usize = 8;

/// The restart intervals of a scan, one after the other.
#[derive(Debug, Default)]
pub struct Unstuffed {
    /// The bytes of all intervals: each `FF 00` of the file has become `FF`, and the markers are
    /// gone.
    pub bytes: Vec<u8>,
    /// Where each interval ends in `bytes`.
    pub ends: Vec<usize>,
}

impl Unstuffed {
    /// Takes apart the scan at the start of `file`. Returns how many bytes it has, up to the
    /// marker `EOI`.
    ///
    /// `None` if anything but `EOI` ends it, or if the restart markers are not numbered in turn.
    /// Both are for libjpeg to decide.
    pub fn read(&mut self, file: &[u8]) -> Option<usize> {
        let Self { bytes, ends } = self;
        bytes.clear();
        memory::reserve(bytes, file.len() + PADDING);
        ends.clear();
        let mut rest = file;
        loop {
            let at = memchr(0xFF, rest)?;
            let code = *rest.get(at + 1)?;
            bytes.extend_from_slice(&rest[..at + usize::from(code == 0)]);
            match code {
                0 => {}
                0xD0..=0xD7 if usize::from(code & 7) == ends.len() % 8 => {
                    memory::reserve(ends, 1);
                    ends.push(bytes.len());
                }
                0xD9 => {
                    ends.push(bytes.len());
                    bytes.extend([0; PADDING]);
                    return Some(file.len() - rest.len() + at);
                }
                _ => return None,
            }
            rest = &rest[at + 2..];
        }
    }
}
