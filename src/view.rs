//! Executes plans: pixels in, planes out, nothing drawn.

use crate::image::{ImageRef, Rect};
use crate::pack;
use crate::plan::Plan;
use crate::resize::Resizer;

/// The part of an image of (height, width) `shape` that `plans` look at; the whole image if none.
#[must_use]
pub fn needed(plans: &[Plan], (height, width): (u32, u32)) -> Rect {
    let whole = Rect { x: 0, y: 0, w: width, h: height };
    let parts = plans.iter().filter_map(|plan| plan.crop.clip(width, height));
    parts.reduce(Rect::union).unwrap_or(whole)
}

/// Writes the view that `plan` decided into three planes.
///
/// `image` is the part `region` of the whole image, and holds all that the plan looks at.
///
/// # Panics
/// If `out` does not hold `3 * height * width` bytes of the plan's size, or `image` lacks a pixel.
pub fn render(
    image: ImageRef<'_>,
    region: Rect,
    plan: &Plan,
    resizer: &mut Resizer,
    out: &mut [u8],
) {
    let crop = plan.crop.relative_to(region.x, region.y);
    let flips = (plan.hflip, plan.vflip);
    match plan.interpolation {
        Some(filter) => resizer.resize(image.crop(crop), plan.size, filter, flips, out),
        None => pack::padded(image, crop, flips, out),
    }
}
