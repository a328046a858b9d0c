//! A scan: which components, which coefficients, and in which order their blocks come.

use std::ops::Range;
use std::sync::Arc;

use super::frame::Frame;
use super::huffman::Specification;
use super::unpackable::Unpackable;
use crate::packed::coefficients::Coefficients;

/// What a scan header says, with the tables in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) components: Vec<ScanComponent>,
    pub(super) coding: Coding,
    /// MCUs between two restart markers. 0: there are none.
    pub(super) restart_interval: usize,
}

/// A component of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScanComponent {
    /// Its index in the frame.
    pub(super) index: usize,
    pub(super) dc: Option<Arc<Specification>>,
    pub(super) ac: Option<Arc<Specification>>,
}

/// What a scan codes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Whole blocks.
    Sequential,
    /// DC coefficients without their lowest bits.
    DcFirst { low: u8 },
    /// One more bit of DC coefficients.
    DcRefine { low: u8 },
    /// AC coefficients without their lowest bits.
    AcFirst(Band),
    /// One more bit of AC coefficients.
    AcRefine(Band),
}

/// AC coefficients of a scan: a range of the zigzag order, divided by `2^low`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) first: u8,
    pub(super) last: u8,
    pub(super) low: u8,
}

impl ScanComponent {
    pub(super) fn dc(&self) -> Result<&Specification, Unpackable> {
        self.dc.as_deref().ok_or(Unpackable::Broken("a Huffman table is missing"))
    }

    pub(super) fn ac(&self) -> Result<&Specification, Unpackable> {
        self.ac.as_deref().ok_or(Unpackable::Broken("a Huffman table is missing"))
    }
}

/// The blocks of a component in an MCU.
struct Unit {
    /// Which component of the scan.
    slot: usize,
    /// Blocks across and down.
    size: (usize, usize),
    /// Blocks in a row of the component.
    stride: usize,
}

/// The order of the blocks of a scan.
pub(super) struct Layout {
    units: Vec<Unit>,
    /// Rows and columns of MCUs.
    mcus: (usize, usize),
}

impl Layout {
    pub(super) fn new(frame: &Frame, scan: &Scan) -> Self {
        let alone = scan.components.len() == 1;
        let unit = |(slot, component): (usize, &ScanComponent)| {
            let component = &frame.components[component.index];
            let (h, v) = if alone { (1, 1) } else { component.sampling };
            let stride = frame.padded(component).1;
            Unit { slot, size: (usize::from(h), usize::from(v)), stride }
        };
        let units = scan.components.iter().enumerate().map(unit).collect();
        let mcus = match scan.components.first() {
            Some(component) if alone => frame.components[component.index].blocks,
            _ => frame.mcus,
        };
        Self { units, mcus }
    }

    /// The MCUs between restart markers.
    pub(super) fn intervals(&self, interval: usize) -> impl Iterator<Item = Range<usize>> {
        let total = self.mcus.0 * self.mcus.1;
        let interval = if interval == 0 { total } else { interval };
        (0..total).step_by(interval).map(move |first| first..total.min(first + interval))
    }

    /// Blocks of the scan.
    pub(super) fn blocks(&self) -> usize {
        let per_mcu: usize = self.units.iter().map(|unit| unit.size.0 * unit.size.1).sum();
        self.mcus.0 * self.mcus.1 * per_mcu
    }

    /// Calls `visit` with the component of the scan and the block's index in it, for each block.
    #[inline(always)]
    pub(super) fn visit<E>(
        &self,
        mcus: Range<usize>,
        mut visit: impl FnMut(usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut row, mut column) = (mcus.start / self.mcus.1, mcus.start % self.mcus.1);
        for _ in mcus {
            for unit in &self.units {
                let (across, down) = unit.size;
                let first = row * down * unit.stride + column * across;
                for y in 0..down {
                    for x in 0..across {
                        visit(unit.slot, first + y * unit.stride + x)?;
                    }
                }
            }
            column += 1;
            if column == self.mcus.1 {
                (row, column) = (row + 1, 0);
            }
        }
        Ok(())
    }
}

/// The blocks of each component of a scan, to be written to.
pub(super) fn planes_mut<'a>(
    scan: &Scan,
    coefficients: &'a mut Coefficients,
) -> Vec<&'a mut [[i16; 64]]> {
    let mut all: Vec<_> = coefficients.components.iter_mut().map(Some).collect();
    // A component comes once in a scan.
    let plane = |component: &ScanComponent| all[component.index].take();
    let planes = scan.components.iter().filter_map(plane);
    planes.map(|component| component.blocks.as_mut_slice()).collect()
}

/// The blocks of each component of a scan.
pub(super) fn planes<'a>(scan: &Scan, coefficients: &'a Coefficients) -> Vec<&'a [[i16; 64]]> {
    let plane =
        |component: &ScanComponent| coefficients.components[component.index].blocks.as_slice();
    scan.components.iter().map(plane).collect()
}
