//! [`Solarize`] and [`SolarizeAdd`].

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Scratch, check_finite};
use crate::image::Planes;

/// Pillow's `ImageOps.solarize(image, threshold)`: bright values are inverted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solarize {
    /// The lowest value that is inverted.
    pub threshold: f64,
}

impl Kernel for Solarize {
    fn validate(&self) -> Result<(), String> {
        check_finite("threshold", self.threshold)
    }

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        // For an integer v, v < threshold is v < ceil(threshold). The cast saturates.
        solarize(planes.data(), self.threshold.ceil() as u32);
    }
}

/// timm's `solarize_add(image, add, threshold)`: dark values are raised, up to white.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SolarizeAdd {
    /// What is added to values below the threshold.
    pub add: u8,
    /// The lowest value that is kept.
    pub threshold: u32,
}

impl Kernel for SolarizeAdd {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        add_below(planes.data(), self.threshold, self.add);
    }
}

#[multiversion(targets = "simd")]
fn solarize(values: &mut [u8], threshold: u32) {
    let Some(last) = threshold.min(256).checked_sub(1) else {
        return values.iter_mut().for_each(|v| *v = 255 - *v);
    };
    let last = last as u8;
    for v in values {
        *v = if *v <= last { *v } else { 255 - *v };
    }
}

#[multiversion(targets = "simd")]
fn add_below(values: &mut [u8], threshold: u32, add: u8) {
    let Some(last) = threshold.min(256).checked_sub(1) else { return };
    let last = last as u8;
    for v in values {
        *v = if *v <= last { v.saturating_add(add) } else { *v };
    }
}
