//! [`Posterize`].

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Scratch};
use crate::image::Planes;

/// Pillow's `ImageOps.posterize(image, bits)`: the upper bits of each value.
///
/// 8 bits change nothing. 0 bits give black, as in Pillow before version 13, which refuses them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posterize {
    /// The bits to keep, 0 to 8.
    pub bits: u32,
}

impl Kernel for Posterize {
    fn validate(&self) -> Result<(), String> {
        if self.bits > 8 {
            return Err(format!("bits must be from 0 to 8, not {}", self.bits));
        }
        Ok(())
    }

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        let mask = !(0xffu32 >> self.bits.min(8)) as u8;
        keep(planes.data(), mask);
    }
}

#[multiversion(targets = "simd")]
fn keep(values: &mut [u8], mask: u8) {
    for v in values {
        *v &= mask;
    }
}
