//! [`Equalize`].

use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Scratch};
use super::table::{Pairs, histogram, map, map_and_count};
use crate::image::Planes;

/// Pillow's `ImageOps.equalize(image)`: each channel's histogram made even.
///
/// In integers, `step = (pixels - pixels of the highest value used) / 255`, and a value v becomes
/// `(step / 2 + pixels below v) / step`. A channel of one value, or with a step of 0, stays as it
/// is. Entries of Pillow's table above 255 belong to values that no pixel has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equalize {}

impl Kernel for Equalize {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch) {
        let [red, green, blue] = planes.channels();
        let pairs = &mut scratch.pairs;
        let counts = histogram(red, pairs);
        let counts = equalize(red, &counts, green, pairs);
        let counts = equalize(green, &counts, blue, pairs);
        if let Some(table) = table(&counts, blue.len()) {
            map(blue, &table);
        }
    }
}

/// Equalizes a plane with these counts of values, and counts those of the next one.
fn equalize(plane: &mut [u8], counts: &[u32; 256], next: &[u8], pairs: &mut Pairs) -> [u32; 256] {
    match table(counts, plane.len()) {
        Some(table) => map_and_count(plane, &table, next, pairs),
        None => histogram(next, pairs),
    }
}

/// Pillow's table for a plane of `len` pixels with these counts of values, if it changes any.
fn table(counts: &[u32; 256], len: usize) -> Option<[u8; 256]> {
    let last = counts.iter().rposition(|&n| n > 0)?;
    let step = (len as u32 - counts[last]) / 255;
    if step == 0 {
        return None;
    }
    let mut n = step / 2;
    Some(counts.map(|count| {
        let v = (n / step).min(255) as u8;
        n += count;
        v
    }))
}
