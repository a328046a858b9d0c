//! [`AutoContrast`].

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Scratch};
use super::table::map;
use crate::image::Planes;

/// Pillow's `ImageOps.autocontrast(image)`: each channel's range stretched to 0..=255.
///
/// With `scale = 255 / (hi - lo)` a value v becomes `clamp(trunc(v * scale - lo * scale))`, in f64.
/// A channel of one value stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoContrast {}

impl Kernel for AutoContrast {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        for plane in planes.channels() {
            let (lo, hi) = range(plane);
            if lo < hi {
                let scale = 255.0 / f64::from(hi - lo);
                let offset = -f64::from(lo) * scale;
                let table = std::array::from_fn(|v| (v as f64 * scale + offset) as u8);
                map(plane, &table);
            }
        }
    }
}

#[multiversion(targets = "simd")]
fn range(plane: &[u8]) -> (u8, u8) {
    let lo = plane.iter().fold(255, |lo, &v| lo.min(v));
    (lo, plane.iter().fold(0, |hi, &v| hi.max(v)))
}
