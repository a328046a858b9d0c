//! Pillow's `Image.resize` on RGB8, bit for bit, straight into planes, flips included.
//!
//! # The algorithm
//!
//! A resize is two one-dimensional passes. In each, an output sample is a weighted sum of a window
//! of input samples, rounded to a byte (`coefficients.rs` has the weights):
//!
//! ```text
//! input samples     0 1 2 3 4 5 6 7 8 9
//! window of out 0   \___/
//! window of out 1     \_____/
//! window of out 2           \_____/
//! window of out 3                 \___/
//! ```
//!
//! Pillow computes with weights in fixed point, 22 bits after the point, and with 32-bit sums. The
//! passes here do the same, and so get the same bytes. Their order matters as well, because the
//! bytes between them are rounded. As in Pillow 13, columns come first, unless a tall image
//! shrinks. The first pass skips rows that no window of the second pass uses.
//!
//! ```text
//! columns first:  RGB rows ──horizontal──▶ three planes ──vertical──▶ three planes
//! rows first:     RGB rows ──vertical────▶ RGB rows ────horizontal──▶ three planes
//! ```
//!
//! In both orders, interleaved pixels become planes within the horizontal pass. A flip costs
//! nothing: it reverses the order of the windows. The module `kernel` has the passes and their
//! SIMD.
//!
//! # Parts
//!
//! [`Part`] is a part of a resized image, such as a central crop. Only its windows are computed, and
//! [`Part::needed`] says which pixels of the source they weigh. All else, such as the order of the
//! passes, follows from the whole image, so the bytes are those of a crop of the resized image.
//!
//! Nothing is drawn here: the filter and the flips are given.
//!
//! # Example
//!
//! ```
//! use tied_augment::image::ImageRef;
//! use tied_augment::resize::{Filter, Flips, Resizer};
//!
//! // Four pixels in a row, black to red, become two.
//! let pixels = [0, 0, 0, 100, 0, 0, 200, 0, 0, 255, 0, 0];
//! let source = ImageRef::new(4, 1, &pixels);
//! let mut planes = [0; 3 * 2];
//! let mut resizer = Resizer::default();
//! resizer.resize(source, (1, 2), Filter::Box, Flips::default(), &mut planes);
//! assert_eq!(planes, [50, 228, 0, 0, 0, 0]);
//!
//! let flips = Flips { horizontal: true, vertical: false };
//! resizer.resize(source, (1, 2), Filter::Box, flips, &mut planes);
//! assert_eq!(planes, [228, 50, 0, 0, 0, 0]);
//! ```

mod axis;
mod coefficients;
mod filter;
mod kernel;
#[cfg(test)]
mod oracle;
mod part;

pub use filter::Filter;
pub use part::Part;

use crate::image::{ImageRef, Rect};
use crate::memory;
use crate::pack;
pub use crate::pack::Flips;
use crate::simd::Simd;
use axis::Axis;
use coefficients::{Coefficients, GROUP};
use kernel::{ByteRows, HorizontalBuffers};

/// Resizes images, and keeps its buffers between them.
#[derive(Debug)]
pub struct Resizer {
    simd: Simd,
    across: Coefficients,
    down: Coefficients,
    horizontal: HorizontalBuffers,
    between: Vec<u8>,
    nearest: [Vec<usize>; 2],
}

impl Default for Resizer {
    /// Uses the best instruction set of this machine.
    fn default() -> Self {
        Self::with_simd(Simd::best(kernel::ISAS))
    }
}

impl Resizer {
    /// The instruction sets that the resize is written for and this machine has, best first.
    pub fn available() -> impl Iterator<Item = Simd> {
        Simd::available(kernel::ISAS)
    }

    /// A resizer that uses `simd`, one of [`Self::available`]. All give the same pixels.
    ///
    /// ```
    /// use tied_augment::resize::Resizer;
    ///
    /// for simd in Resizer::available() {
    ///     let resizer = Resizer::with_simd(simd);
    ///     println!("{} is one way to resize", simd.name());
    /// }
    /// ```
    #[must_use]
    pub fn with_simd(simd: Simd) -> Self {
        Self {
            simd,
            across: Coefficients::default(),
            down: Coefficients::default(),
            horizontal: HorizontalBuffers::default(),
            between: Vec::new(),
            nearest: Default::default(),
        }
    }

    /// The instruction set in use.
    #[must_use]
    pub fn simd(&self) -> Simd {
        self.simd
    }

    /// The number of bytes held by the buffers that grow with the image.
    pub(crate) fn memory(&self) -> usize {
        self.between.capacity() + self.horizontal.memory()
    }

    /// Writes `source` resized to `size` (height, width), then flipped, into three planes.
    ///
    /// Equal to `source.resize((width, height), filter)` of Pillow 13, followed by
    /// `transpose(FLIP_LEFT_RIGHT)` and `transpose(FLIP_TOP_BOTTOM)` as `flips` says.
    ///
    /// # Panics
    /// If `out` does not hold `3 * height * width` bytes, or a side of either image is 0.
    pub fn resize(
        &mut self,
        source: ImageRef<'_>,
        size: (u32, u32),
        filter: Filter,
        flips: Flips,
        out: &mut [u8],
    ) {
        let part = Part::whole((source.height, source.width), size, filter);
        self.resize_part(
            source,
            Rect { x: 0, y: 0, w: source.width, h: source.height },
            part,
            flips,
            out,
        );
    }

    /// Writes `part`, then flipped, into three planes.
    ///
    /// `source` is the part `region` of the image that is resized. It holds all pixels of
    /// [`Part::needed`].
    ///
    /// # Panics
    /// If `out` does not hold `3 * height * width` bytes of the part, a side of an image is 0, the
    /// part reaches outside the resized image, or `source` lacks a pixel.
    pub fn resize_part(
        &mut self,
        source: ImageRef<'_>,
        region: Rect,
        part: Part,
        flips: Flips,
        out: &mut [u8],
    ) {
        let Rect { w, h, .. } = part.rect;
        assert_eq!(out.len(), 3 * h as usize * w as usize, "the output must be 3 x {h} x {w}");
        assert!(part.fits(), "{part:?} is empty or reaches outside the resized image");
        let needed = part.needed();
        let source = source.crop(needed.relative_to(region.x, region.y));
        let [mut down, mut across] = part.axes();
        (down.origin, down.flip) = (needed.y as u32, flips.vertical);
        (across.origin, across.flip) = (needed.x as u32, flips.horizontal);
        if part.input == part.output {
            pack::planes(source, flips, out);
        } else if part.filter == Filter::Nearest {
            self.nearest(source, across, down, out);
        } else {
            self.convolve(source, across, down, part.filter, out);
        }
    }

    /// Two one-dimensional passes, in the order of Pillow 13.
    fn convolve(
        &mut self,
        source: ImageRef<'_>,
        across: Axis,
        down: Axis,
        filter: Filter,
        out: &mut [u8],
    ) {
        // Quads of pixels are aligned. Rows are not, so that as few as possible are read.
        self.across.compute(filter, across, GROUP);
        self.down.compute(filter, down, 1);
        kernel::split_weights(self.simd, &mut self.across, &mut self.down);
        if rows_first(across, down) {
            self.rows_then_columns(source, down, out);
        } else {
            self.columns_then_rows(source, across, down, out);
        }
    }

    fn rows_then_columns(&mut self, source: ImageRef<'_>, down: Axis, out: &mut [u8]) {
        let Self { simd, across, down: coefficients, horizontal, between, .. } = self;
        let width = source.width as usize * 3;
        memory::resize(between, down.count as usize * width, 0);
        let (data, stride) = source.bytes();
        kernel::vertical(*simd, ByteRows { data, stride, width }, coefficients, between);
        let between = ImageRef::new(source.width, down.count, between);
        kernel::horizontal(*simd, between, across, horizontal, out);
    }

    fn columns_then_rows(
        &mut self,
        source: ImageRef<'_>,
        across: Axis,
        down: Axis,
        out: &mut [u8],
    ) {
        let (height, width) = (down.count as usize, across.count as usize);
        let Self { simd, across, down, horizontal, between, .. } = self;
        let used = down.trim();
        let rows = Rect { x: 0, y: used.start as i32, w: source.width, h: used.len() as u32 };
        memory::resize(between, 3 * used.len() * width, 0);
        kernel::horizontal(*simd, source.crop(rows), across, horizontal, between);
        let planes = between.chunks_exact(used.len() * width);
        for (data, out) in planes.zip(out.chunks_exact_mut(height * width)) {
            kernel::vertical(*simd, ByteRows { data, stride: width, width }, down, out);
        }
    }

    /// Pillow's nearest neighbour (`ImagingScaleAffine`).
    fn nearest(&mut self, source: ImageRef<'_>, across: Axis, down: Axis, out: &mut [u8]) {
        let [columns, rows] = &mut self.nearest;
        positions(across, columns);
        positions(down, rows);
        for (channel, plane) in out.chunks_exact_mut(rows.len() * columns.len()).enumerate() {
            for (out, &y) in plane.chunks_exact_mut(columns.len()).zip(&*rows) {
                let row = source.row(y as u32);
                for (out, &x) in out.iter_mut().zip(&*columns) {
                    *out = row[3 * x + channel];
                }
            }
        }
    }
}

/// The input sample of each wanted output sample. As in Pillow, they come from repeated addition in
/// f64.
fn positions(axis: Axis, positions: &mut Vec<usize>) {
    let step = axis.scale();
    let mut position = step * 0.5;
    positions.clear();
    memory::reserve(positions, axis.count as usize);
    for out in 0..axis.wanted().end {
        if out >= axis.first {
            let input = (position as usize).min(axis.input as usize - 1);
            positions.push(input - axis.origin as usize);
        }
        position += step;
    }
    if axis.flip {
        positions.reverse();
    }
}

/// Whether rows are resized before columns: Pillow 13 does so to shrink a tall image. Earlier
/// versions always began with the columns.
fn rows_first(across: Axis, down: Axis) -> bool {
    let rows = i64::from(down.input) - i64::from(down.output);
    let columns = i64::from(across.input) - i64::from(across.output);
    rows > 0 && rows > 2 * columns
}
