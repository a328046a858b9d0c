//! Executes plans: pixels in, planes out, nothing drawn.

use crate::image::{ImageRef, Planes, Rect, mirrored};
use crate::ops::{self, Scratch};
use crate::pack::{self, Flips};
use crate::plan::{Frame, Plan};
use crate::resize::Resizer;

/// The part of an image of (height, width) `shape` that `plans` look at; the whole image if none.
#[must_use]
pub fn needed(plans: &[Plan], (height, width): (u32, u32)) -> Rect {
    let whole = Rect { x: 0, y: 0, w: width, h: height };
    let parts = plans.iter().filter_map(|plan| plan.geometry.crop.clip(width, height));
    parts.reduce(Rect::union).unwrap_or(whole)
}

/// Makes views; keeps its buffers between them.
#[derive(Debug, Default)]
pub struct Renderer {
    resizer: Resizer,
    resized: Vec<u8>,
    scratch: Scratch,
}

impl Renderer {
    /// The bytes held by the buffers that grow with the image, not with the view.
    pub(crate) fn memory(&self) -> usize {
        self.resized.capacity() + self.resizer.memory()
    }

    /// Writes the view that `plan` decided into three planes.
    ///
    /// `image` is the part `region` of the whole image, and holds all that the plan looks at.
    ///
    /// # Panics
    /// If `out` does not hold `3 * height * width` bytes of the plan's size, or `image` lacks a pixel.
    pub fn render(&mut self, image: ImageRef<'_>, region: Rect, plan: &Plan, out: &mut [u8]) {
        let geometry = &plan.geometry;
        let crop = geometry.crop.relative_to(region.x, region.y);
        let flips = Flips { horizontal: geometry.hflip, vertical: geometry.vflip };
        match (geometry.interpolation, geometry.frame) {
            (None, _) => pack::padded(image, crop, flips, out),
            (Some(filter), None) => {
                self.resizer.resize(image.crop(crop), plan.size, filter, flips, out);
            }
            (Some(filter), Some(frame)) => {
                let (height, width) = frame.resized;
                self.resized.resize(3 * height as usize * width as usize, 0);
                let resized = &mut self.resized;
                self.resizer.resize(
                    image.crop(crop),
                    frame.resized,
                    filter,
                    Flips::default(),
                    resized,
                );
                window(resized, frame, plan.size, flips, out);
            }
        }
        ops::apply(&plan.ops, &mut Planes::new(plan.size, out), &mut self.scratch);
    }
}

/// Writes the box of `size` at the frame's corner, mirrored outside and then flipped.
fn window(resized: &[u8], frame: Frame, size: (u32, u32), flips: Flips, out: &mut [u8]) {
    let (from_h, from_w) = (frame.resized.0 as usize, frame.resized.1 as usize);
    let (height, width) = (size.0 as usize, size.1 as usize);
    let planes = resized.chunks_exact(from_h * from_w).zip(out.chunks_exact_mut(height * width));
    for (from, to) in planes {
        for (y, row) in to.chunks_exact_mut(width).enumerate() {
            let y = if flips.vertical { height - 1 - y } else { y };
            let from = &from[mirrored(i64::from(frame.y) + y as i64, from_h) * from_w..][..from_w];
            let left = frame.x.max(0) as usize;
            if frame.x >= 0 && left + width <= from_w {
                row.copy_from_slice(&from[left..left + width]);
            } else {
                for (x, pixel) in row.iter_mut().enumerate() {
                    *pixel = from[mirrored(i64::from(frame.x) + x as i64, from_w)];
                }
            }
            if flips.horizontal {
                row.reverse();
            }
        }
    }
}
