//! What the standard leaves to the encoder, per scan: where a run of ended blocks is cut, and
//! zeros that are written before an end of block although the end would do.
//!
//! In progressive scans one symbol ends the rest of up to 32,767 blocks. libjpeg cuts such a run at
//! that number, or earlier if the correction bits that wait for the run's end may outgrow its
//! buffer. This is the rule from which a scan's habits are counted: most files have none.
//!
//! [`Recorder`] finds a scan's habits while the scan is read, and [`Cuts`] says them to a writer.

/// The longest run of ended blocks that has a symbol.
pub(super) const MAX_RUN: u32 = 0x7FFF;

/// libjpeg cuts a run that has more correction bits: its buffer has 1000, and a block up to 63.
const MAX_CORRECTIONS: u32 = 937;

/// What an encoder does in a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Habits {
    /// Runs of ended blocks are cut at this length.
    pub(super) longest_run: u32,
    /// They are cut at [`MAX_CORRECTIONS`], too.
    pub(super) cut_at_corrections: bool,
    /// Blocks, by their order in the scan, where the two rules above do the contrary.
    pub(super) exceptions: Vec<u32>,
    /// Blocks, by their order in the scan, and how many "sixteen zeros" end them needlessly.
    pub(super) zeros: Vec<(u32, u8)>,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            longest_run: MAX_RUN,
            cut_at_corrections: true,
            exceptions: Vec::new(),
            zeros: Vec::new(),
        }
    }
}

impl Habits {
    /// Whether a run of `length` blocks with `corrections` is cut by rule.
    fn cut(&self, length: u32, corrections: u32) -> bool {
        length == self.longest_run || (self.cut_at_corrections && corrections > MAX_CORRECTIONS)
    }
}

/// Finds the habits of a scan.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) habits: Habits,
    /// Blocks of the current run so far, and their correction bits.
    run: u32,
    corrections: u32,
    /// The longest run before the current one, and whether corrections have cut one.
    longest: u32,
    corrections_cut: bool,
    /// The block and length of a run that ended without the rule. That means nothing if the next
    /// block could not have continued it.
    ended: Option<(u32, u32)>,
}

impl Recorder {
    /// A block begins with a symbol, which ends blocks or not.
    pub(super) fn begin(&mut self, ends: bool) {
        let Some((block, length)) = self.ended.take() else { return };
        if !ends {
            return;
        }
        let habits = &mut self.habits;
        // The first cut shows a rule, unless longer runs came before it.
        if habits.longest_run == MAX_RUN && habits.exceptions.is_empty() && self.longest <= length {
            habits.longest_run = length;
        } else {
            habits.exceptions.push(block);
        }
    }

    /// A block's rest is ended by a run that goes on or not, and has `corrections`.
    pub(super) fn end(&mut self, block: u32, corrections: u32, goes_on: bool) {
        self.run += 1;
        self.corrections += corrections;
        let cut = self.habits.cut(self.run, self.corrections);
        if goes_on {
            if cut {
                self.ignored(block);
            }
            return;
        }
        if cut {
            self.corrections_cut |= self.run != self.habits.longest_run;
        } else {
            self.ended = Some((block, self.run));
        }
        self.longest = self.longest.max(self.run);
        (self.run, self.corrections) = (0, 0);
    }

    /// The run was not cut although it should be.
    fn ignored(&mut self, block: u32) {
        let by_length = self.run == self.habits.longest_run;
        if by_length || self.corrections_cut || !self.habits.exceptions.is_empty() {
            self.habits.exceptions.push(block);
        } else {
            self.habits.cut_at_corrections = false;
        }
    }

    /// A block ends with needless zeros.
    pub(super) fn zeros(&mut self, block: u32, count: u8) {
        self.habits.zeros.push((block, count));
    }

    /// A restart marker, or the end of the scan: no run can go on.
    pub(super) fn restart(&mut self) {
        self.ended = None;
    }
}

/// Says the habits of a scan, block after block.
pub(super) struct Cuts<'a> {
    habits: &'a Habits,
    exceptions: &'a [u32],
    zeros: &'a [(u32, u8)],
}

impl<'a> Cuts<'a> {
    pub(super) fn new(habits: &'a Habits) -> Self {
        Self { habits, exceptions: &habits.exceptions, zeros: &habits.zeros }
    }

    /// Whether a run of `length` blocks with `corrections` ends at `block`.
    pub(super) fn cut(&mut self, block: u32, length: u32, corrections: u32) -> bool {
        let exception = self.exceptions.first() == Some(&block);
        self.exceptions = &self.exceptions[usize::from(exception)..];
        self.habits.cut(length, corrections) != exception
    }

    /// How many "sixteen zeros" end `block` needlessly.
    #[inline(always)]
    pub(super) fn zeros(&mut self, block: u32) -> u8 {
        match self.zeros.split_first() {
            Some((&(at, count), rest)) if at == block => {
                self.zeros = rest;
                count
            }
            _ => 0,
        }
    }
}
