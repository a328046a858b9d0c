//! Reads the entropy-coded data of a scan: coefficients, and how they were written.

mod bands;
mod blocks;
mod refine;

use std::ops::Range;

use super::bits::{BitReader, stuffed_length, unstuff};
use super::frame::Frame;
use super::habits::{Habits, Recorder};
use super::padding;
use super::scan::{Coding, Layout, Scan, planes_mut};
use super::unpackable::Unpackable;
use crate::packed::coefficients::Coefficients;

/// The blocks of each component of a scan.
type Planes<'a> = [&'a mut [[i16; 64]]];

/// Decodes intervals of one scan.
enum Reader {
    Sequential(blocks::Sequential),
    DcFirst(blocks::DcFirst),
    DcRefine(refine::DcRefine),
    AcFirst(bands::AcFirst),
    AcRefine(refine::AcRefine),
}

impl Reader {
    fn new(scan: &Scan) -> Result<Self, Unpackable> {
        Ok(match scan.coding {
            Coding::Sequential => Self::Sequential(blocks::Sequential::new(scan)?),
            Coding::DcFirst { low } => Self::DcFirst(blocks::DcFirst::new(scan, low)?),
            Coding::DcRefine { low } => Self::DcRefine(refine::DcRefine::new(low)),
            Coding::AcFirst(band) => Self::AcFirst(bands::AcFirst::new(scan, band)?),
            Coding::AcRefine(band) => Self::AcRefine(refine::AcRefine::new(scan, band)?),
        })
    }

    fn interval(
        &mut self,
        bits: &mut BitReader,
        layout: &Layout,
        mcus: Range<usize>,
        planes: &mut Planes,
    ) -> Result<(), Unpackable> {
        match self {
            Self::Sequential(reader) => reader.interval(bits, layout, mcus, planes),
            Self::DcFirst(reader) => reader.interval(bits, layout, mcus, planes),
            Self::DcRefine(reader) => reader.interval(bits, layout, mcus, planes),
            Self::AcFirst(reader) => reader.interval(bits, layout, mcus, planes),
            Self::AcRefine(reader) => reader.interval(bits, layout, mcus, planes),
        }
    }

    fn finish(self) -> Habits {
        let recorder = match self {
            Self::Sequential(reader) => reader.recorder,
            Self::AcFirst(reader) => reader.recorder,
            Self::AcRefine(reader) => reader.recorder,
            Self::DcFirst(_) | Self::DcRefine(_) => Recorder::default(),
        };
        recorder.habits
    }
}

/// Reads the data of `scan`, which begins at `*at`, and goes to its end. What comes between its
/// last byte and the next marker is left there.
pub(super) fn scan(
    bytes: &[u8],
    at: &mut usize,
    (frame, scan): (&Frame, &Scan),
    coefficients: &mut Coefficients,
    padding: &mut padding::Recorder,
) -> Result<Habits, Unpackable> {
    let layout = Layout::new(frame, scan);
    let mut planes = planes_mut(scan, coefficients);
    let mut reader = Reader::new(scan)?;
    let mut clean = Vec::new();
    let mut intervals = layout.intervals(scan.restart_interval).enumerate().peekable();
    while let Some((interval, mcus)) = intervals.next() {
        if interval > 0 {
            restart_marker(bytes, at, interval - 1)?;
        }
        let raw = &bytes[*at..];
        let (length, clean_length) = unstuff(raw, &mut clean);
        let mut bits = BitReader::new(&clean);
        let read = reader.interval(&mut bits, &layout, mcus, &mut planes);
        // What has been read beyond the end means nothing, errors included. Of a marker at the end
        // of the file, the code may be missing.
        let early = if length + 1 < raw.len() {
            Unpackable::Broken("a marker before the end of a scan")
        } else {
            Unpackable::Truncated
        };
        let (used, left, count) = bits.finish().ok_or(early)?;
        read?;
        let used = if used == clean_length { length } else { stuffed_length(raw, used) };
        if intervals.peek().is_some() {
            padding.push(left, count, &raw[used..length]);
            *at += length;
        } else {
            padding.push(left, count, &[]);
            *at += used;
        }
    }
    Ok(reader.finish())
}

fn restart_marker(bytes: &[u8], at: &mut usize, number: usize) -> Result<(), Unpackable> {
    match bytes.get(*at..*at + 2) {
        Some(&[0xFF, code]) if code == 0xD0 | (number & 7) as u8 => {
            *at += 2;
            Ok(())
        }
        Some(_) => Err(Unpackable::Broken("a restart marker is missing")),
        None => Err(Unpackable::Truncated),
    }
}
