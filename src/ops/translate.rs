//! [`TranslateX`] and [`TranslateY`].

use serde::{Deserialize, Serialize};

use super::interpolation::Interpolation;
use super::kernel::{Kernel, Scratch, check_finite};
use crate::image::Planes;

/// timm's `translate_x_abs(image, pixels)`: the content moves left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranslateX {
    /// Columns; negative ones move it right.
    pub pixels: f64,
    /// The interpolation.
    pub interpolation: Interpolation,
    /// The colour outside the image.
    pub fill: [u8; 3],
}

impl Kernel for TranslateX {
    fn validate(&self) -> Result<(), String> {
        check_finite("pixels", self.pixels)
    }

    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch) {
        let matrix = [1.0, 0.0, self.pixels, 0.0, 1.0, 0.0];
        scratch.affine.transform(&matrix, self.interpolation, self.fill, planes);
    }
}

/// timm's `translate_y_abs(image, pixels)`: the content moves up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranslateY {
    /// Rows; negative ones move it down.
    pub pixels: f64,
    /// The interpolation.
    pub interpolation: Interpolation,
    /// The colour outside the image.
    pub fill: [u8; 3],
}

impl Kernel for TranslateY {
    fn validate(&self) -> Result<(), String> {
        check_finite("pixels", self.pixels)
    }

    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch) {
        let matrix = [1.0, 0.0, 0.0, 0.0, 1.0, self.pixels];
        scratch.affine.transform(&matrix, self.interpolation, self.fill, planes);
    }
}
