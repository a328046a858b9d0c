//! The order in which the horizontal pass over quads works on the columns.

use std::array::from_fn;
use std::ops::Range;

use super::super::coefficients::{GROUP, Window};

/// Columns that are written at once.
pub const STRIP: usize = 16;

/// The quads of a panel, unless a strip alone has more.
const PANEL: usize = 96;

/// Where the window of a column begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Column {
    /// Its first quad in its panel.
    pub quad: u32,
    /// Its first group of weights.
    pub group: u32,
}

/// Columns whose windows have the same number of groups.
#[derive(Clone, Debug)]
pub struct Run {
    /// The number of groups.
    pub count: usize,
    /// The columns, a multiple of four.
    pub columns: Range<usize>,
}

/// Columns that are worked on together.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    /// The columns, a multiple of a strip.
    pub columns: Range<usize>,
    /// The quads of their windows.
    pub quads: Range<usize>,
    /// The indices of their runs.
    pub runs: Range<usize>,
}

/// All columns, in panels and runs. Reused between images.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The columns, with copies of the last one to fill the last strip.
    pub columns: Vec<Column>,
    /// The runs of all panels.
    pub runs: Vec<Run>,
    /// The panels.
    pub panels: Vec<Panel>,
}

impl Plan {
    /// Divides the columns, which have these windows.
    pub fn fill(&mut self, windows: &[Window]) {
        self.columns.clear();
        self.runs.clear();
        self.panels.clear();
        for x in (0..windows.len()).step_by(STRIP) {
            let strip: [Window; STRIP] = from_fn(|i| windows[(x + i).min(windows.len() - 1)]);
            self.push(strip, x..x + STRIP);
        }
        for panel in &self.panels {
            for column in &mut self.columns[panel.columns.clone()] {
                column.quad -= panel.quads.start as u32;
            }
        }
    }

    fn push(&mut self, strip: [Window; STRIP], columns: Range<usize>) {
        let counts: [usize; STRIP / 4] = from_fn(|i| {
            let four = strip[4 * i..][..4].iter();
            four.map(|window| window.group_count()).max().unwrap_or(0)
        });
        let first = strip.map(|window| window.first_group_sample() / GROUP);
        let start = first.iter().copied().min().unwrap_or(0);
        let end = (0..STRIP).map(|i| first[i] + counts[i / 4]).max().unwrap_or(0);
        self.columns.extend((0..STRIP).map(|i| Column {
            quad: first[i] as u32,
            group: strip[i].first_group() as u32,
        }));
        let new_panel = match self.panels.last_mut() {
            Some(last) if end.max(last.quads.end) - start.min(last.quads.start) <= PANEL => {
                last.quads = start.min(last.quads.start)..end.max(last.quads.end);
                last.columns.end = columns.end;
                false
            }
            _ => {
                let runs = self.runs.len()..self.runs.len();
                self.panels.push(Panel { columns: columns.clone(), quads: start..end, runs });
                true
            }
        };
        for (four, count) in counts.into_iter().enumerate() {
            let columns = columns.start + 4 * four..columns.start + 4 * four + 4;
            match self.runs.last_mut() {
                Some(last) if last.count == count && !(new_panel && four == 0) => {
                    last.columns.end = columns.end;
                }
                _ => self.runs.push(Run { count, columns }),
            }
        }
        if let Some(panel) = self.panels.last_mut() {
            panel.runs.end = self.runs.len();
        }
    }

    /// The quads of the largest panel.
    pub fn most_quads(&self) -> usize {
        self.panels.iter().map(|panel| panel.quads.len()).max().unwrap_or(0)
    }
}
