//! How often each value occurs.
//!
//! An increment in memory takes a cycle, whatever the code around it: seven ways to count values one
//! by one took the same time. So in planes of a usual size two neighbours are counted at once, in a
//! table of all pairs ([`Pairs`]). To sum up the table does not pay off for small planes, whose values
//! are counted one by one ([`Singles`]).
//!
//! A plane of 224 x 224, smooth shapes with grain, took 9.6 us on a Zen 4, instead of 13.9. Noise,
//! whose pairs are not in the first cache, took as long as before.

use multiversion::multiversion;

/// The values of a part that are counted at once: no pair is among them 2^16 times.
pub const PART: usize = 1 << 16;

/// The fewest values for which pairs are worthwhile.
pub const MANY: usize = 1 << 15;

/// The number of different pairs.
const PAIRS: usize = 1 << 16;

/// Counts values.
pub trait Counter {
    /// Counts eight values.
    fn add(&mut self, values: &[u8; 8]);

    /// Counts a value.
    fn add_one(&mut self, value: u8);

    /// Adds all counts to `counts`, and begins anew.
    fn flush(&mut self, counts: &mut [u32; 256]);

    /// Counts values, of which there are at most [`PART`] between flushes.
    #[inline(always)]
    fn add_all(&mut self, values: &[u8]) {
        let (eights, rest) = values.as_chunks();
        eights.iter().for_each(|eight| self.add(eight));
        rest.iter().for_each(|&value| self.add_one(value));
    }
}

/// The number of times that each value occurs.
pub fn histogram(plane: &[u8], pairs: &mut Pairs) -> [u32; 256] {
    let (mut counts, mut singles) = ([0; 256], Singles::default());
    for part in plane.chunks(PART) {
        if part.len() < MANY {
            singles.add_all(part);
        } else {
            let mut pairs = pairs.counter();
            pairs.add_all(part);
            pairs.flush(&mut counts);
        }
    }
    singles.flush(&mut counts);
    counts
}

/// Four neighbours are counted in four tables: in one table, equal neighbours would make each
/// increment wait for the one before it.
pub struct Singles([[u32; 256]; 4]);

impl Default for Singles {
    fn default() -> Self {
        Self([[0; 256]; 4])
    }
}

impl Counter for Singles {
    /// Eight are loaded at once: with a load for each, counting beside look-ups took 18% longer.
    #[inline(always)]
    fn add(&mut self, values: &[u8; 8]) {
        let all = u64::from_le_bytes(*values);
        for i in 0..8 {
            self.0[i % 4][(all >> (8 * i) & 0xFF) as usize] += 1;
        }
    }

    #[inline(always)]
    fn add_one(&mut self, value: u8) {
        self.0[0][usize::from(value)] += 1;
    }

    fn flush(&mut self, counts: &mut [u32; 256]) {
        for table in &mut self.0 {
            counts.iter_mut().zip(std::mem::replace(table, [0; 256])).for_each(|(n, m)| *n += m);
        }
    }
}

/// The memory in which pairs are counted. Kept between planes.
#[derive(Debug, Default)]
pub struct Pairs {
    /// For each pair, its first value in the lower bits. All zero between planes.
    table: Vec<u16>,
    /// Values without a neighbour.
    singles: Vec<u8>,
}

impl Pairs {
    /// Counts in this memory.
    pub fn counter(&mut self) -> PairCounter<'_> {
        if self.table.len() != PAIRS {
            crate::memory::resize(&mut self.table, PAIRS, 0);
        }
        let table = self.table.first_chunk_mut().expect("all pairs");
        PairCounter { table, singles: &mut self.singles }
    }
}

/// Two neighbours are counted with one increment.
pub struct PairCounter<'a> {
    table: &'a mut [u16; PAIRS],
    singles: &'a mut Vec<u8>,
}

impl Counter for PairCounter<'_> {
    /// Each pair is loaded: on an Intel (Emerald Rapids) one load and shifts made Equalize with AVX2
    /// take 8% longer.
    #[inline(always)]
    fn add(&mut self, values: &[u8; 8]) {
        for pair in values.as_chunks().0 {
            self.table[usize::from(u16::from_le_bytes(*pair))] += 1;
        }
    }

    #[inline(always)]
    fn add_one(&mut self, value: u8) {
        self.singles.push(value);
    }

    fn flush(&mut self, counts: &mut [u32; 256]) {
        sum(self.table, counts);
        self.singles.drain(..).for_each(|value| counts[usize::from(value)] += 1);
    }
}

/// Adds the sums along both axes to `counts`, and sets all to zero.
#[multiversion(targets = "simd")]
fn sum(table: &mut [u16; PAIRS], counts: &mut [u32; 256]) {
    const VECTOR: usize = 16;
    // No sum reaches 2^16, since all pairs of a part are fewer.
    let mut first = [0u16; 256];
    for (row, count) in table.as_chunks_mut::<256>().0.iter_mut().zip(&mut *counts) {
        let mut second = [0u16; VECTOR];
        let first = first.as_chunks_mut::<VECTOR>().0;
        for (first, row) in first.iter_mut().zip(row.as_chunks_mut::<VECTOR>().0) {
            for ((n, first), second) in row.iter_mut().zip(first).zip(&mut second) {
                *first += *n;
                *second += *n;
                *n = 0;
            }
        }
        *count += second.iter().map(|&n| u32::from(n)).sum::<u32>();
    }
    counts.iter_mut().zip(first).for_each(|(count, n)| *count += u32::from(n));
}
