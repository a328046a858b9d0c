//! [`Rotate`].

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::affine::Transformer;
use super::interpolation::Interpolation;
use super::kernel::{Kernel, Scratch, check_finite};
use crate::image::Planes;
use crate::memory;

/// Pillow's `image.rotate(degrees, resample, fillcolor=fill)`: counter-clockwise about the centre,
/// within the image's own size.
///
/// Multiples of a right angle that keep the shape only move pixels. Any other angle is an affine
/// transform, whose sine and cosine are rounded to 15 decimals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// The angle.
    pub degrees: f64,
    /// The interpolation.
    pub interpolation: Interpolation,
    /// The colour outside the image.
    pub fill: [u8; 3],
}

impl Kernel for Rotate {
    fn validate(&self) -> Result<(), String> {
        check_finite("degrees", self.degrees)
    }

    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch) {
        let square = planes.height() == planes.width();
        // Python's %, which has the divisor's sign.
        let degrees = self.degrees.rem_euclid(360.0);
        match degrees {
            0.0 => {}
            180.0 => half_turn(planes),
            90.0 | 270.0 if square => quarter_turn(degrees == 90.0, planes, &mut scratch.plane),
            _ => self.turn(degrees, planes, &mut scratch.affine),
        }
    }
}

impl Rotate {
    fn turn(&self, degrees: f64, planes: &mut Planes<'_>, affine: &mut Transformer) {
        // The system's sine and cosine, as Python's. The matrix maps output to input: it turns
        // back.
        let angle = -degrees.to_radians();
        let (cos, sin) = (round15(angle.cos()), round15(angle.sin()));
        let (x, y) = (planes.width() as f64 / 2.0, planes.height() as f64 / 2.0);
        let matrix =
            [cos, sin, cos * -x + sin * -y + 0.0 + x, -sin, cos, -sin * -x + cos * -y + 0.0 + y];
        affine.transform(&matrix, self.interpolation, self.fill, planes);
    }
}

fn half_turn(planes: &mut Planes<'_>) {
    planes.channels().into_iter().for_each(<[u8]>::reverse);
}

/// Turns a square by 90 degrees counter-clockwise, or by 270.
fn quarter_turn(left: bool, planes: &mut Planes<'_>, copy: &mut Vec<u8>) {
    let side = planes.width();
    let last = side - 1;
    for plane in planes.channels() {
        memory::copy(plane, copy);
        for (y, row) in plane.chunks_exact_mut(side).enumerate() {
            for (x, v) in row.iter_mut().enumerate() {
                let (from_y, from_x) = if left { (x, last - y) } else { (last - x, y) };
                *v = copy[from_y * side + from_x];
            }
        }
    }
}

/// Python's `round(value, 15)`: to the nearest decimal, exactly.
fn round15(value: f64) -> f64 {
    let mut digits = [0u8; 32];
    let mut rest = &mut digits[..];
    let written = write!(rest, "{value:.15}").is_ok();
    let len = 32 - rest.len();
    let text = std::str::from_utf8(&digits[..len]).ok().filter(|_| written);
    text.and_then(|text| text.parse().ok()).unwrap_or(value)
}
