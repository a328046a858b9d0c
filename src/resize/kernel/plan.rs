//! The order in which the horizontal pass over quads works on the columns.

use std::array::from_fn;
use std::ops::Range;

use super::super::coefficients::{Coefficients, GROUP, Window};
use super::buffers::HALF;
use crate::memory;

/// Columns that are written at once.
pub const STRIP: usize = 16;

/// The quads of a panel, unless a strip alone has more.
const PANEL: usize = 96;

/// The window of a column.
#[derive(Clone, Copy, Debug, Default)]
pub struct Column {
    /// Its first quad in its panel.
    pub quad: u32,
    /// Its first group of weights.
    pub group: u32,
    /// The number of its groups.
    pub count: u32,
    /// What its sums start from.
    pub from: i32,
}

/// Columns that are worked on together.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// The columns, a multiple of a strip.
    pub columns: Range<usize>,
    /// The quads of their windows.
    pub quads: Range<usize>,
}

/// All columns, in panels. Reused between images.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The columns, with copies of the last one to fill the last strip.
    pub columns: Vec<Column>,
    /// The panels.
    pub panels: Vec<Panel>,
    /// The number of groups of the largest window.
    pub most_groups: usize,
    /// The quads of the largest panel.
    pub most_quads: usize,
}

impl Plan {
    /// Divides the columns, whose sums are of bytes that `bias` is subtracted from.
    pub fn fill(&mut self, coefficients: &Coefficients, bias: u8) {
        let windows = coefficients.windows();
        self.columns.clear();
        self.panels.clear();
        let strips = windows.len().div_ceil(STRIP);
        memory::reserve(&mut self.columns, strips * STRIP);
        memory::reserve(&mut self.panels, strips);
        self.most_groups = windows.iter().map(|window| window.group_count()).max().unwrap_or(0);
        for x in (0..windows.len()).step_by(STRIP) {
            let strip: [Window; STRIP] = from_fn(|i| windows[(x + i).min(windows.len() - 1)]);
            self.columns.extend(strip.map(|window| Column {
                quad: (window.first_group_sample() / GROUP) as u32,
                group: window.first_group() as u32,
                count: window.group_count() as u32,
                from: start(coefficients, window, bias),
            }));
            self.add_strip(x);
        }
        self.most_quads = self.panels.iter().map(|panel| panel.quads.len()).max().unwrap_or(0);
        for panel in &self.panels {
            for column in &mut self.columns[panel.columns.clone()] {
                column.quad -= panel.quads.start as u32;
            }
        }
    }

    /// Adds the columns from `x` on to the last panel, or to a new one if they do not fit.
    fn add_strip(&mut self, x: usize) {
        let firsts = self.columns[x..].iter().map(|column| column.quad as usize);
        let (start, end) = (firsts.clone().min().unwrap_or(0), firsts.max().unwrap_or(0));
        let end = end + self.most_groups;
        if let Some(last) = self.panels.last_mut() {
            let joined = start.min(last.quads.start)..end.max(last.quads.end);
            if joined.len() <= PANEL {
                last.quads = joined;
                last.columns.end = x + STRIP;
                return;
            }
        }
        self.panels.push(Panel { columns: x..x + STRIP, quads: start..end });
    }

    /// The number of bytes held.
    pub fn memory(&self) -> usize {
        self.columns.capacity() * size_of::<Column>() + self.panels.capacity() * size_of::<Panel>()
    }
}

/// What a sum of `window` starts from, if `bias` is subtracted from its bytes.
#[inline]
pub fn start(coefficients: &Coefficients, window: Window, bias: u8) -> i32 {
    if bias == 0 {
        return HALF;
    }
    HALF + i32::from(bias) * coefficients.weights(window).iter().sum::<i32>()
}
