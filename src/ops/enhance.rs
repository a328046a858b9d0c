//! [`Brightness`], [`Color`] and [`Contrast`]: three of Pillow's `ImageEnhance`, which blend the
//! image with a degenerate one. The fourth is [`Sharpness`](super::Sharpness).

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::blend::Blend;
use super::grayscale::luma;
use super::kernel::{Kernel, Scratch, check_finite};
use super::table;
use crate::image::Planes;

/// Pillow's `ImageEnhance.Brightness(image).enhance(factor)`: the blend of black and the image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brightness {
    /// 0 gives black, 1 the image.
    pub factor: f64,
}

impl Kernel for Brightness {
    fn validate(&self) -> Result<(), String> {
        check_finite("factor", self.factor)
    }

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        blend_from(planes.data(), 0, self.factor as f32);
    }
}

/// Pillow's `ImageEnhance.Color(image).enhance(factor)`: the blend of luma and image.
///
/// Also torchvision's `adjust_saturation`. timm's `desaturate(image, f)` is a factor of
/// `clamp(1 - f, 0, 1)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Color {
    /// 0 gives gray, 1 the image.
    pub factor: f64,
}

impl Kernel for Color {
    fn validate(&self) -> Result<(), String> {
        check_finite("factor", self.factor)
    }

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        saturate(planes.channels(), self.factor as f32);
    }
}

/// Pillow's `ImageEnhance.Contrast(image).enhance(factor)`: the blend of the mean luma, rounded,
/// and the image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// 0 gives the mean gray, 1 the image.
    pub factor: f64,
}

impl Kernel for Contrast {
    fn validate(&self) -> Result<(), String> {
        check_finite("factor", self.factor)
    }

    fn apply(&self, planes: &mut Planes<'_>, _scratch: &mut Scratch) {
        if self.factor as f32 != 1.0 {
            let pixels = planes.height() * planes.width();
            let mean = (luma_sum(planes.channels()) as f64 / pixels as f64 + 0.5) as u8;
            blend_from(planes.data(), mean, self.factor as f32);
        }
    }
}

#[multiversion(targets = "simd")]
fn saturate([r, g, b]: [&mut [u8]; 3], factor: f32) {
    if factor == 1.0 {
        return;
    }
    let blend = Blend::new(factor);
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let l = luma(*r, *g, *b);
        [*r, *g, *b] = [blend.of(l, *r), blend.of(l, *g), blend.of(l, *b)];
    }
}

/// Blends one value with all of `values`.
fn blend_from(values: &mut [u8], from: u8, factor: f32) {
    if factor == 1.0 {
        return;
    }
    let blend = Blend::new(factor);
    // What becomes of a value depends on nothing else.
    if table::is_vectorised() {
        let table = std::array::from_fn(|v| blend.of(from, v as u8));
        let slope = f64::from(factor);
        return table::map_line(values, &table, slope, f64::from(from) * (1.0 - slope));
    }
    compute_blend(values, from, blend);
}

#[multiversion(targets = "simd")]
fn compute_blend(values: &mut [u8], from: u8, blend: Blend) {
    for v in values {
        *v = blend.of(from, *v);
    }
}

#[multiversion(targets = "simd")]
fn luma_sum([r, g, b]: [&mut [u8]; 3]) -> u64 {
    /// Few enough for a sum in u32.
    const BLOCK: usize = 1 << 16;
    let mut sum = 0;
    for ((r, g), b) in r.chunks(BLOCK).zip(g.chunks(BLOCK)).zip(b.chunks(BLOCK)) {
        let block = r.iter().zip(g).zip(b).map(|((&r, &g), &b)| u32::from(luma(r, g, b)));
        sum += u64::from(block.sum::<u32>());
    }
    sum
}
