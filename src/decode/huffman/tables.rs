//! Tables that are kept from one file to the next.
//!
//! Most files have the tables of ITU-T T.81, annex K. An encoder that optimises makes others for
//! each file, and for these making a table is part of decoding the file.

use crate::decode::coefficients::HuffmanTable;

/// How many tables are kept. A file has four of a kind at most, so those in use are not replaced.
const KEPT: usize = 8;

/// Resolved tables, those of the last files.
#[derive(Debug)]
pub struct Tables<T> {
    tables: Vec<Kept<T>>,
    /// The number of the current file.
    file: u64,
}

#[derive(Debug)]
struct Kept<T> {
    definition: HuffmanTable,
    /// The number of the last file with it.
    file: u64,
    table: T,
}

/// A table in the form that decoding uses.
pub trait Resolved: Sized {
    /// `None` if the definition is not that of a code.
    fn new(definition: &HuffmanTable) -> Option<Self>;

    /// A later file has the same definition. So what is dear to make may be worth it now.
    fn reuse(&mut self) {}
}

impl<T> Default for Tables<T> {
    fn default() -> Self {
        Self { tables: Vec::new(), file: 0 }
    }
}

impl<T: Resolved> Tables<T> {
    /// Begins a file.
    pub fn begin(&mut self) {
        self.file += 1;
    }

    /// The number of the table of `definition`, which is made if there is none.
    pub fn find(&mut self, definition: &HuffmanTable) -> Option<usize> {
        let file = self.file;
        if let Some(at) = self.tables.iter().position(|kept| kept.definition == *definition) {
            let kept = &mut self.tables[at];
            if kept.file < file {
                kept.table.reuse();
                kept.file = file;
            }
            return Some(at);
        }
        let kept = Kept { definition: *definition, file, table: T::new(definition)? };
        if self.tables.len() < KEPT {
            self.tables.push(kept);
            return Some(self.tables.len() - 1);
        }
        let oldest = (0..KEPT).min_by_key(|&at| self.tables[at].file)?;
        self.tables[oldest] = kept;
        Some(oldest)
    }

    /// The table with that number.
    #[inline(always)]
    pub fn get(&self, number: usize) -> &T {
        &self.tables[number].table
    }
}
