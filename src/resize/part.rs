//! A part of a resized image: [`Part`].

use super::axis::Axis;
use super::filter::Filter;
use crate::image::Rect;

/// A part of a resized image.
///
/// ```
/// use tied_augment::image::Rect;
/// use tied_augment::resize::{Filter, Part};
///
/// // The central 124 pixels of an image of 300 rows and 400 columns that is made half as large.
/// let rect = Rect { x: 38, y: 13, w: 124, h: 124 };
/// let part =
///     Part { input: (300, 400), output: (150, 200), rect, filter: Filter::Bicubic };
/// assert_eq!(part.needed(), Rect { x: 73, y: 23, w: 254, h: 254 });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Height and width of the image that is resized.
    pub input: (u32, u32),
    /// Height and width of the whole resized image.
    pub output: (u32, u32),
    /// The part of the resized image that is wanted.
    pub rect: Rect,
    /// The resize filter.
    pub filter: Filter,
}

impl Part {
    /// All of the resized image.
    #[must_use]
    pub fn whole(input: (u32, u32), output: (u32, u32), filter: Filter) -> Self {
        let rect = Rect { x: 0, y: 0, w: output.1, h: output.0 };
        Self { input, output, rect, filter }
    }

    /// The pixels of the image before the resize that the part is made of.
    ///
    /// # Panics
    /// If the part is empty or reaches outside the resized image.
    #[must_use]
    pub fn needed(&self) -> Rect {
        assert!(self.fits(), "{self:?} is empty or reaches outside the resized image");
        if self.input == self.output {
            return self.rect;
        }
        let [down, across] = self.axes().map(|axis| axis.needed(self.filter));
        let (x, y) = (across.start as i32, down.start as i32);
        Rect { x, y, w: across.len() as u32, h: down.len() as u32 }
    }

    /// Whether the part is one: neither empty nor outside the resized image.
    pub(super) fn fits(&self) -> bool {
        let input = self.input.0 > 0 && self.input.1 > 0;
        input && self.rect.clip(self.output.1, self.output.0) == Some(self.rect)
    }

    /// Rows and columns, not flipped, with windows that count from the start of the image.
    pub(super) fn axes(&self) -> [Axis; 2] {
        let axis = |input, output, first: i32, count| Axis {
            input,
            output,
            first: first as u32,
            count,
            origin: 0,
            flip: false,
        };
        [
            axis(self.input.0, self.output.0, self.rect.y, self.rect.h),
            axis(self.input.1, self.output.1, self.rect.x, self.rect.w),
        ]
    }
}
