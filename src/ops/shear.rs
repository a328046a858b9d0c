//! [`ShearX`] and [`ShearY`].

use serde::{Deserialize, Serialize};

use super::interpolation::Interpolation;
use super::kernel::{Kernel, Scratch, check_finite};
use crate::image::Planes;

/// timm's `shear_x(image, factor)`: an affine transform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShearX {
    /// Columns per row.
    pub factor: f64,
    /// The interpolation.
    pub interpolation: Interpolation,
    /// The colour outside the image.
    pub fill: [u8; 3],
}

impl Kernel for ShearX {
    fn validate(&self) -> Result<(), String> {
        check_finite("factor", self.factor)
    }

    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch) {
        let matrix = [1.0, self.factor, 0.0, 0.0, 1.0, 0.0];
        scratch.affine.transform(&matrix, self.interpolation, self.fill, planes);
    }
}

/// timm's `shear_y(image, factor)`: an affine transform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShearY {
    /// Rows per column.
    pub factor: f64,
    /// The interpolation.
    pub interpolation: Interpolation,
    /// The colour outside the image.
    pub fill: [u8; 3],
}

impl Kernel for ShearY {
    fn validate(&self) -> Result<(), String> {
        check_finite("factor", self.factor)
    }

    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch) {
        let matrix = [1.0, 0.0, 0.0, self.factor, 1.0, 0.0];
        scratch.affine.transform(&matrix, self.interpolation, self.fill, planes);
    }
}
