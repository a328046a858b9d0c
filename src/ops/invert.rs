//! [`Invert`].

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Scratch};
use crate::image::Planes;

/// Pillow's `ImageOps.invert(image)`: `255 - v`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invert {}

impl Kernel for Invert {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        invert(planes.data());
    }
}

#[multiversion(targets = "simd")]
fn invert(values: &mut [u8]) {
    for v in values {
        *v = 255 - *v;
    }
}
