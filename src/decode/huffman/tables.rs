//! Tables that are kept from one file to the next.

use crate::decode::coefficients::HuffmanTable;

/// How many tables are kept. A file has four at most, so those in use are never replaced.
const KEPT: usize = 8;

/// Resolved tables, the last used ones of them.
#[derive(Debug)]
pub struct Tables<T> {
    tables: Vec<Kept<T>>,
    /// How often a table has been asked for.
    clock: u64,
}

#[derive(Debug)]
struct Kept<T> {
    definition: HuffmanTable,
    used: u64,
    table: T,
}

impl<T> Default for Tables<T> {
    fn default() -> Self {
        Self { tables: Vec::new(), clock: 0 }
    }
}

impl<T> Tables<T> {
    /// The number of the table that `make` makes of `definition`, or would: it is called only if
    /// there is none yet.
    pub fn find(
        &mut self,
        definition: &HuffmanTable,
        make: impl FnOnce(&HuffmanTable) -> Option<T>,
    ) -> Option<usize> {
        self.clock += 1;
        let used = self.clock;
        if let Some(at) = self.tables.iter().position(|kept| kept.definition == *definition) {
            self.tables[at].used = used;
            return Some(at);
        }
        let kept = Kept { definition: definition.clone(), used, table: make(definition)? };
        if self.tables.len() < KEPT {
            self.tables.push(kept);
            return Some(self.tables.len() - 1);
        }
        let oldest = (0..KEPT).min_by_key(|&at| self.tables[at].used)?;
        self.tables[oldest] = kept;
        Some(oldest)
    }

    /// The table with that number.
    #[inline(always)]
    pub fn get(&self, number: usize) -> &T {
        &self.tables[number].table
    }
}
