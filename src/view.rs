//! Executes plans: pixels in, planes out. Nothing is random here.
//!
//! ```
//! use tied_augment::image::{ImageRef, Rect};
//! use tied_augment::plan::{Geometry, Plan};
//! use tied_augment::resize::Filter;
//! use tied_augment::view::Renderer;
//!
//! let pixels = [200; 30 * 20 * 3];
//! let image = ImageRef::new(30, 20, &pixels);
//! let whole = Rect { x: 0, y: 0, w: 30, h: 20 };
//! let geometry =
//!     Geometry { crop: whole, interpolation: Some(Filter::Bicubic), ..Geometry::default() };
//! let plan = Plan { size: (8, 8), geometry, ops: Vec::new() };
//!
//! let mut view = vec![0; 3 * 8 * 8];
//! Renderer::default().render(image, whole, &plan, &mut view);
//! assert!(view.iter().all(|&value| value == 200));
//! ```

use crate::decode::{Decoder, Limits};
use crate::error::Result;
use crate::image::{Image, ImageRef, Planes, Rect, mirrored};
use crate::ops::{self, Scratch};
use crate::pack::{self, Flips};
use crate::plan::{Frame, Plan};
use crate::resize::Resizer;
use crate::source::Source;

/// Makes `parts` those of an image of (height, width) `shape` that hold every pixel that `plans`
/// need; the whole image if they need none.
pub fn needed(plans: &[Plan], (height, width): (u32, u32), parts: &mut Vec<Rect>) {
    parts.clear();
    parts.extend(plans.iter().filter_map(|plan| plan.geometry.crop.clip(width, height)));
    if parts.is_empty() {
        parts.push(Rect { x: 0, y: 0, w: width, h: height });
    }
}

/// Executes `plan` on one image, to planes of `(3, height, width)`.
///
/// # Errors
/// As [`Plan::validate`] and [`Source::decode`].
pub fn render(source: Source<'_>, plan: &Plan, limits: Limits) -> Result<Vec<u8>> {
    let execute = || {
        let (mut decoder, mut file, mut image) = (Decoder::default(), Vec::new(), Image::default());
        let opened = source.open(&mut decoder, &mut file, limits)?;
        let shape = opened.shape();
        plan.validate(shape)?;
        let mut parts = Vec::new();
        needed(std::slice::from_ref(plan), shape, &mut parts);
        let (pixels, region) = opened.read(&parts, &mut image)?;
        let mut out = vec![0; 3 * plan.size.0 as usize * plan.size.1 as usize];
        Renderer::default().render(pixels, region, plan, &mut out);
        Ok(out)
    };
    execute().map_err(|error| source.named(error))
}

/// Makes views; reuses its buffers.
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

    /// Writes the view that `plan` describes into three planes.
    ///
    /// `image` is the part `region` of the whole image. It holds all pixels that the plan needs
    /// (see [`needed`]).
    ///
    /// # Panics
    /// If `out` does not hold `3 * height * width` bytes of the plan's size, or `image` lacks a
    /// pixel.
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
                write_frame(resized, frame, plan.size, flips, out);
            }
        }
        ops::apply(&plan.ops, &mut Planes::new(plan.size, out), &mut self.scratch);
    }
}

/// Writes the box of `size` at the frame's corner, mirrored outside and then flipped.
fn write_frame(resized: &[u8], frame: Frame, size: (u32, u32), flips: Flips, out: &mut [u8]) {
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
