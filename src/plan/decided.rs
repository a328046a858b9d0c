//! A view, decided: [`Plan`].

use crate::error::{Error, Result};
use crate::image::Rect;
use crate::ops::Op;
use crate::resize::Filter;

/// The longest side of a crop that is resized. No photo has such a side. The resize transposes 64
/// rows at once, which takes 200 MB for rows of this length.
const MAX_SIDE: u32 = 1 << 20;

/// The longest side of a resized image of which a part is made. Nearest pixels are counted from its
/// start.
const MAX_RESIZED_SIDE: u32 = 1 << 24;

/// The most pixels of a resized image that are made.
const MAX_RESIZED: u64 = 1 << 28;

/// Whether `crop` may be resized: to the size of `frame`, or else to `size`, that of the output.
pub(super) fn resizable(crop: Rect, frame: Option<Frame>, size: (u32, u32)) -> bool {
    let sides = [crop.h, crop.w].iter().all(|side| (1..=MAX_SIDE).contains(side));
    sides
        && frame.is_none_or(|frame| {
            let (h, w) = frame.resized;
            let made = frame.made(size);
            [h, w].iter().all(|side| (1..=MAX_RESIZED_SIDE).contains(side))
                && u64::from(made.h) * u64::from(made.w) <= MAX_RESIZED
        })
}

/// Where the output lies in a resized image that has another size: what timm's `ResizeKeepRatio`
/// and `CenterCropOrPad` or `RandomCropOrPad` decide, and torchvision's `CenterCrop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Height and width that the crop is resized to.
    pub resized: (u32, u32),
    /// The output's leftmost column there.
    pub x: i32,
    /// The output's topmost row there.
    pub y: i32,
    /// The colour outside the resized image; `None` to mirror the image there (numpy's `reflect`).
    pub fill: Option<[u8; 3]>,
}

impl Frame {
    /// The part of the resized image that an output of (height, width) `size` is made of. It is
    /// `Rect::default()`, without pixels, if nothing is seen but the fill.
    #[must_use]
    pub fn made(&self, size: (u32, u32)) -> Rect {
        let (height, width) = self.resized;
        let output = self.output(size);
        if self.fill.is_some() {
            return output.clip(width, height).unwrap_or_default();
        }
        // Mirrored pixels may come from anywhere along their axis.
        let (mut part, whole) = (output, Rect { x: 0, y: 0, w: width, h: height });
        if output.x < 0 || i64::from(output.x) + i64::from(output.w) > i64::from(width) {
            (part.x, part.w) = (whole.x, whole.w);
        }
        if output.y < 0 || i64::from(output.y) + i64::from(output.h) > i64::from(height) {
            (part.y, part.h) = (whole.y, whole.h);
        }
        part
    }

    /// The box of an output of (height, width) `size` in the resized image.
    #[must_use]
    pub fn output(&self, size: (u32, u32)) -> Rect {
        Rect { x: self.x, y: self.y, w: size.1, h: size.0 }
    }
}

/// Where a view's pixels come from: everything but the ops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Geometry {
    /// The part of the image that is seen.
    pub crop: Rect,
    /// The resize filter; `None` for a crop of the output's size, which is not resized.
    pub interpolation: Option<Filter>,
    /// Where the output lies in the resized crop; `None` if it is all of it.
    pub frame: Option<Frame>,
    /// Whether left and right are exchanged.
    pub hflip: bool,
    /// Whether top and bottom are exchanged.
    pub vflip: bool,
}

/// One view of one image, decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Height and width of the output.
    pub size: (u32, u32),
    /// Where the pixels come from.
    pub geometry: Geometry,
    /// What is then done to them, in order.
    pub ops: Vec<Op>,
}

impl Plan {
    /// Checks that the plan can be executed for an image of (height, width) `shape`: plans may come
    /// from outside.
    ///
    /// # Errors
    /// [`Error::Argument`], with what makes it impossible.
    pub fn validate(&self, (height, width): (u32, u32)) -> Result<()> {
        let refuse = |message: String| Err(Error::Argument(message));
        let Geometry { crop, interpolation, frame, .. } = self.geometry;
        for side in [self.size.0, self.size.1] {
            if side == 0 || side > 1 << 15 {
                return refuse(format!("a plan's size must be from 1 to 32768 a side, not {side}"));
            }
        }
        let near = [crop.x, crop.y].iter().all(|v| v.unsigned_abs() <= 1 << 30);
        if crop.w == 0 || crop.h == 0 || crop.w.max(crop.h) > 1 << 30 || !near {
            return refuse(format!("{crop:?} is not a part of an image"));
        }
        match interpolation {
            Some(_) if !resizable(crop, frame, self.size) => {
                let (height, width) = frame.map_or(self.size, |frame| frame.resized);
                return refuse(format!("{crop:?} cannot be resized to {height} x {width} pixels"));
            }
            Some(_) if crop.clip(width, height) != Some(crop) => {
                return refuse(format!(
                    "the crop {crop:?} reaches outside the image of (height, width) {:?}; only a \
                     crop that isn't resized may",
                    (height, width)
                ));
            }
            None if (crop.h, crop.w) != self.size || frame.is_some() => {
                return refuse("a crop that isn't resized must have the output's size".into());
            }
            _ => {}
        }
        self.ops.iter().try_for_each(Op::validate)
    }
}
