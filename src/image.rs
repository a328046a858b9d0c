//! RGB8 images, planes, and boxes in them: the only pixel types that the modules exchange.
//!
//! Decoders and callers have interleaved pixels ([`Image`] owns them, [`ImageRef`] borrows them, a
//! box of them without a copy). Models want one plane per channel, so a view is made as [`Planes`]
//! and its ops work on planes.
//!
//! ```
//! use tied_augment::image::{ImageRef, Planes, Rect};
//!
//! // Two rows of three pixels: red, green and blue, interleaved.
//! let pixels: Vec<u8> = (0..18).collect();
//! let image = ImageRef::new(3, 2, &pixels);
//! let corner = image.crop(Rect { x: 1, y: 1, w: 2, h: 1 });
//! assert_eq!(corner.row(0), [12, 13, 14, 15, 16, 17]);
//!
//! // The same size as planes, the second channel filled.
//! let mut data = vec![0; 18];
//! let mut planes = Planes::new((2, 3), &mut data);
//! planes.channels()[1].fill(9);
//! assert_eq!(data[6..12], [9; 6]);
//! ```
//!
//! Imports memory only.

use serde::{Deserialize, Serialize};

use crate::memory::zeroed;

/// A box of pixels: `x`, `y` of the upper left corner, `w` columns, `h` rows.
///
/// The corner may lie outside the image (a padded crop); what is outside is filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rect {
    /// Leftmost column.
    pub x: i32,
    /// Topmost row.
    pub y: i32,
    /// Columns.
    pub w: u32,
    /// Rows.
    pub h: u32,
}

impl Rect {
    /// The smallest box that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let (right, bottom) = (self.right().max(other.right()), self.bottom().max(other.bottom()));
        Self { x, y, w: (right - i64::from(x)) as u32, h: (bottom - i64::from(y)) as u32 }
    }

    /// The part that lies in an image of `width` x `height`; `None` if there is none.
    #[must_use]
    pub fn clip(self, width: u32, height: u32) -> Option<Self> {
        let (x, y) = (self.x.max(0), self.y.max(0));
        let columns = self.right().min(width.into()) - i64::from(x);
        let rows = self.bottom().min(height.into()) - i64::from(y);
        (columns > 0 && rows > 0).then_some(Self { x, y, w: columns as u32, h: rows as u32 })
    }

    /// One past the last column; i64, since x + w may overflow i32.
    fn right(self) -> i64 {
        i64::from(self.x) + i64::from(self.w)
    }

    fn bottom(self) -> i64 {
        i64::from(self.y) + i64::from(self.h)
    }

    /// The same box seen from the corner `(x, y)`.
    #[must_use]
    pub fn relative_to(self, x: i32, y: i32) -> Self {
        Self { x: self.x - x, y: self.y - y, ..self }
    }
}

/// An owned image: rows of interleaved RGB8, no padding. Reused buffers keep their capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height * width * 3` bytes.
    pub data: Vec<u8>,
}

impl Image {
    /// Makes this `width` x `height`. The pixels are unspecified.
    pub(crate) fn reshape(&mut self, width: u32, height: u32) {
        self.width = width;
        self.height = height;
        let size = width as usize * height as usize * 3;
        if size > self.data.capacity() {
            // The old pixels are of no use, so they are not copied.
            self.data = Vec::new();
            self.data = zeroed(size);
        }
        self.data.resize(size, 0);
    }

    /// Makes this a copy of `pixels`.
    pub(crate) fn copy_from(&mut self, pixels: ImageRef<'_>) {
        self.reshape(pixels.width, pixels.height);
        for y in 0..pixels.height {
            let row = pixels.row(y);
            self.data[y as usize * row.len()..][..row.len()].copy_from_slice(row);
        }
    }

    /// The whole image, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> ImageRef<'_> {
        ImageRef::new(self.width, self.height, &self.data)
    }
}

/// A borrowed image, or a box of one: rows of interleaved RGB8, `stride` bytes apart.
#[derive(Clone, Copy, Debug)]
pub struct ImageRef<'a> {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    stride: usize,
    data: &'a [u8],
}

impl<'a> ImageRef<'a> {
    /// An image over `height * width * 3` bytes.
    ///
    /// # Panics
    /// If `data` is shorter than that.
    #[must_use]
    pub fn new(width: u32, height: u32, data: &'a [u8]) -> Self {
        let stride = width as usize * 3;
        assert!(
            data.len() >= stride * height as usize,
            "too few bytes for {width} x {height} RGB8"
        );
        Self { width, height, stride, data }
    }

    /// Row `y`, `width * 3` bytes.
    #[must_use]
    pub fn row(&self, y: u32) -> &'a [u8] {
        &self.data[y as usize * self.stride..][..self.width as usize * 3]
    }

    /// All bytes from the first pixel on, and the number of bytes between the starts of two rows.
    pub(crate) fn bytes(&self) -> (&'a [u8], usize) {
        (self.data, self.stride)
    }

    /// The part of the image in `rect`.
    ///
    /// # Panics
    /// If `rect` reaches outside the image.
    #[must_use]
    pub fn crop(&self, rect: Rect) -> Self {
        let inside = rect.clip(self.width, self.height) == Some(rect);
        assert!(inside, "{rect:?} reaches outside {} x {}", self.width, self.height);
        let start = rect.y as usize * self.stride + rect.x as usize * 3;
        Self { width: rect.w, height: rect.h, stride: self.stride, data: &self.data[start..] }
    }
}

/// A borrowed RGB image as three planes of bytes, one after another: red, green, blue.
#[derive(Debug)]
pub struct Planes<'a> {
    height: usize,
    width: usize,
    data: &'a mut [u8],
}

impl<'a> Planes<'a> {
    /// Planes of `size` (height, width) over `3 * height * width` bytes.
    ///
    /// # Panics
    /// If `data` has another length.
    #[must_use]
    pub fn new((height, width): (u32, u32), data: &'a mut [u8]) -> Self {
        let (height, width) = (height as usize, width as usize);
        assert_eq!(data.len(), 3 * height * width, "the planes must be 3 x {height} x {width}");
        Self { height, width, data }
    }

    /// Rows of a plane.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of a plane.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The bytes of all three planes.
    #[must_use]
    pub fn data(&mut self) -> &mut [u8] {
        self.data
    }

    /// Red, green and blue, `height * width` bytes each.
    #[must_use]
    pub fn channels(&mut self) -> [&mut [u8]; 3] {
        let (red, rest) = self.data.split_at_mut(self.height * self.width);
        let (green, blue) = rest.split_at_mut(self.height * self.width);
        [red, green, blue]
    }
}

/// Index `i` of a line of `len` elements, mirrored at both ends as often as needed: numpy's padding
/// mode `reflect`.
pub(crate) fn mirrored(i: i64, len: usize) -> usize {
    let last = len as i64 - 1;
    let i = i.rem_euclid((2 * last).max(1));
    i.min(2 * last - i).max(0) as usize
}
