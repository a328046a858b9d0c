//! [`Grayscale`], and the luma of a pixel.

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Scratch};
use crate::image::Planes;

/// torchvision's `to_grayscale(image, 3)`: each channel becomes the luma.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grayscale {}

impl Kernel for Grayscale {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        to_luma(planes.channels());
    }
}

/// Pillow's `convert('L')`: ITU-R 601 in 16-bit fixed point, rounded.
#[inline(always)]
pub fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
}

#[multiversion(targets = "simd")]
fn to_luma([r, g, b]: [&mut [u8]; 3]) {
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let l = luma(*r, *g, *b);
        [*r, *g, *b] = [l; 3];
    }
}
