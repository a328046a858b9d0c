//! Writes the entropy-coded data of a scan again.

mod bands;
mod blocks;
mod refine;
mod runs;

use std::ops::Range;

use super::bits::BitWriter;
use super::frame::Frame;
use super::habits::Habits;
use super::padding::Fill;
use super::scan::{Coding, Layout, Scan, planes};
use super::unpackable::Unwritable;
use crate::packed::coefficients::Coefficients;

/// The blocks of each component of a scan.
type Planes<'a> = [&'a [[i16; 64]]];

/// Encodes intervals of one scan.
enum Writer<'a> {
    Sequential(blocks::Sequential<'a>),
    DcFirst(blocks::DcFirst),
    DcRefine(refine::DcRefine),
    AcFirst(bands::AcFirst<'a>),
    AcRefine(refine::AcRefine<'a>),
}

impl<'a> Writer<'a> {
    fn new(scan: &Scan, habits: &'a Habits) -> Result<Self, Unwritable> {
        Ok(match scan.coding {
            Coding::Sequential => Self::Sequential(blocks::Sequential::new(scan, habits)?),
            Coding::DcFirst { low } => Self::DcFirst(blocks::DcFirst::new(scan, low)?),
            Coding::DcRefine { low } => Self::DcRefine(refine::DcRefine::new(low)),
            Coding::AcFirst(band) => Self::AcFirst(bands::AcFirst::new(scan, band, habits)?),
            Coding::AcRefine(band) => Self::AcRefine(refine::AcRefine::new(scan, band, habits)?),
        })
    }

    fn interval(
        &mut self,
        bits: &mut BitWriter,
        layout: &Layout,
        mcus: Range<usize>,
        planes: &Planes,
    ) -> Result<(), Unwritable> {
        match self {
            Self::Sequential(writer) => writer.interval(bits, layout, mcus, planes),
            Self::DcFirst(writer) => writer.interval(bits, layout, mcus, planes),
            Self::DcRefine(writer) => writer.interval(bits, layout, mcus, planes),
            Self::AcFirst(writer) => writer.interval(bits, layout, mcus, planes),
            Self::AcRefine(writer) => writer.interval(bits, layout, mcus, planes),
        }
    }
}

/// Writes the data of `scan`. The coefficients must fit the frame.
pub(super) fn scan(
    (frame, scan): (&Frame, &Scan),
    coefficients: &Coefficients,
    habits: &Habits,
    fill: &mut Fill,
    bits: &mut BitWriter,
) -> Result<(), Unwritable> {
    let layout = Layout::new(frame, scan);
    let planes = planes(scan, coefficients);
    let mut writer = Writer::new(scan, habits)?;
    for (interval, mcus) in layout.intervals(scan.restart_interval).enumerate() {
        if interval > 0 {
            bits.bytes(&[0xFF, 0xD0 | ((interval - 1) & 7) as u8]);
        }
        writer.interval(bits, &layout, mcus, &planes)?;
        let (padding, surplus) = fill.next();
        bits.finish(padding);
        bits.bytes(surplus);
    }
    Ok(())
}
