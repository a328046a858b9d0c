//! [`Equalize`].

use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Scratch};
use super::table::{histogram, map};
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

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        planes.channels().into_iter().for_each(equalize);
    }
}

fn equalize(plane: &mut [u8]) {
    let counts = histogram(plane);
    let Some(last) = counts.iter().rposition(|&n| n > 0) else { return };
    let step = (plane.len() as u32 - counts[last]) / 255;
    if step == 0 {
        return;
    }
    let mut n = step / 2;
    let table = counts.map(|count| {
        let v = (n / step).min(255) as u8;
        n += count;
        v
    });
    map(plane, &table);
}
