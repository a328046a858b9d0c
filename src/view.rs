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
use crate::memory;
use crate::ops::{self, Scratch};
use crate::pack::{self, Flips};
use crate::plan::{Frame, Plan};
use crate::resize::{Part, Resizer};
use crate::source::Source;

/// Makes `parts` those of an image of (height, width) `shape` that hold every pixel that `plans`
/// need; the whole image if they need none.
pub fn needed(plans: &[Plan], (height, width): (u32, u32), parts: &mut Vec<Rect>) {
    parts.clear();
    parts.extend(plans.iter().filter_map(|plan| match part(plan) {
        Some(part) if part.rect == Rect::default() => None,
        Some(part) => {
            let Rect { x, y, .. } = plan.geometry.crop;
            Some(part.needed().relative_to(-x, -y))
        }
        None => plan.geometry.crop.clip(width, height),
    }));
    if parts.is_empty() {
        parts.push(Rect { x: 0, y: 0, w: width, h: height });
    }
}

/// The part of the resized crop that `plan` is made of; `None` without a resize.
fn part(plan: &Plan) -> Option<Part> {
    let geometry = &plan.geometry;
    let (filter, input) = (geometry.interpolation?, (geometry.crop.h, geometry.crop.w));
    let frame = geometry.frame;
    let output = frame.map_or(plan.size, |frame| frame.resized);
    let rect = frame.map_or(Part::whole(input, output, filter).rect, |frame| frame.made(plan.size));
    Some(Part { input, output, rect, filter })
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
        let mut out = memory::zeroed(3 * plan.size.0 as usize * plan.size.1 as usize);
        Renderer::default().render(pixels, region, plan, &mut out);
        Ok(out)
    };
    memory::caught(execute).map_err(|error| source.named(error))
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
        let flips = Flips { horizontal: geometry.hflip, vertical: geometry.vflip };
        match part(plan) {
            None => {
                let crop = geometry.crop.relative_to(region.x, region.y);
                pack::padded(image, crop, flips, out);
            }
            Some(part) => {
                // Where the image lies in the crop, which is what is resized.
                let region = region.relative_to(geometry.crop.x, geometry.crop.y);
                self.resize(image, region, part, plan, flips, out);
            }
        }
        ops::apply(&plan.ops, &mut Planes::new(plan.size, out), &mut self.scratch);
    }

    /// Writes `part` of the resized crop, of which `image` is the part `region`, into the frame of
    /// `plan`.
    fn resize(
        &mut self,
        image: ImageRef<'_>,
        region: Rect,
        part: Part,
        plan: &Plan,
        flips: Flips,
        out: &mut [u8],
    ) {
        match plan.geometry.frame {
            Some(frame) if part.rect != frame.output(plan.size) => {
                let Rect { w, h, .. } = part.rect;
                memory::resize(&mut self.resized, 3 * h as usize * w as usize, 0);
                let resized = &mut self.resized;
                if !resized.is_empty() {
                    self.resizer.resize_part(image, region, part, Flips::default(), resized);
                }
                write_frame(resized, part.rect, frame, plan.size, flips, out);
            }
            _ => self.resizer.resize_part(image, region, part, flips, out),
        }
    }
}

/// Writes an output that lies partly outside the resized image: `frame` says where, `part` is what
/// `made` has of that image. All is then flipped.
fn write_frame(
    made: &[u8],
    part: Rect,
    frame: Frame,
    (height, width): (u32, u32),
    flips: Flips,
    out: &mut [u8],
) {
    let (part_w, part_len) = (part.w as usize, part.w as usize * part.h as usize);
    let mut planes = Planes::new((height, width), out);
    for (channel, plane) in planes.channels().into_iter().enumerate() {
        let made = &made[channel * part_len..][..part_len];
        for (y, row) in plane.chunks_exact_mut(width as usize).enumerate() {
            let y = if flips.vertical { height as usize - 1 - y } else { y };
            let at = i64::from(frame.y) + y as i64;
            if let Some(fill) = frame.fill {
                row.fill(fill[channel]);
                let from = at - i64::from(part.y);
                if (0..i64::from(part.h)).contains(&from) {
                    let left = (part.x - frame.x) as usize;
                    let from = &made[from as usize * part_w..][..part_w];
                    row[left..][..part_w].copy_from_slice(from);
                }
            } else {
                let from = mirrored(at, frame.resized.0 as usize) - part.y as usize;
                let from = &made[from * part_w..][..part_w];
                for (x, pixel) in row.iter_mut().enumerate() {
                    let x = mirrored(i64::from(frame.x) + x as i64, frame.resized.1 as usize);
                    *pixel = from[x - part.x as usize];
                }
            }
            if flips.horizontal {
                row.reverse();
            }
        }
    }
}
