//! The samples of the rows of MCUs that pixels are being made of.

use std::ops::Range;

use super::colour::Sources;
use super::{BLOCKS, MARGIN, row, transform};
use crate::decode::coefficients::Block;
use crate::memory;
use crate::simd::Simd;

/// How many chroma samples there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chroma {
    /// None: the image is grey.
    None,
    /// One per pixel: 4:4:4.
    #[default]
    Full,
    /// One for two pixels side by side: 4:2:2.
    Half,
    /// One for two by two pixels: 4:2:0.
    Quarter,
}

impl Chroma {
    /// Of images with these sampling factors (horizontal, vertical) of Y, Cb and Cr or of Y alone,
    /// which have so many columns. `None` if it is another case, for which libjpeg has to do.
    pub fn of(samplings: &[(u8, u8)], width: usize) -> Option<Self> {
        let chroma = match samplings {
            // Whatever the factors are, an MCU is one block.
            [_] => Self::None,
            [(1, 1), (1, 1), (1, 1)] => Self::Full,
            [(2, 1), (1, 1), (1, 1)] => Self::Half,
            [(2, 2), (1, 1), (1, 1)] => Self::Quarter,
            _ => return None,
        };
        // libjpeg repeats the samples of narrower images instead of mixing them.
        let wide = chroma.pixels().0 == 1 || width.div_ceil(2) > 2;
        wide.then_some(chroma)
    }

    /// How many components have chroma samples.
    pub fn components(self) -> usize {
        if self == Self::None { 0 } else { 2 }
    }

    /// How many pixels have one sample: across and down.
    pub fn pixels(self) -> (usize, usize) {
        match self {
            Self::None | Self::Full => (1, 1),
            Self::Half => (2, 1),
            Self::Quarter => (2, 2),
        }
    }
}

/// Pixels that are written at once.
const STEP: usize = 64;

/// The samples of Y, Cb and Cr of two rows of MCUs; keeps its memory between images.
#[derive(Debug, Default)]
pub struct Strip {
    chroma: Chroma,
    planes: [Plane; 3],
}

/// A component. Row `y` is where row `y % rows` is, and has [`MARGIN`] bytes around it.
#[derive(Debug, Default)]
struct Plane {
    samples: Vec<u8>,
    rows: usize,
    stride: usize,
    /// Height and width in samples that count.
    size: (usize, usize),
    steps: Vec<i16>,
}

impl Plane {
    fn start(&self, y: usize) -> usize {
        y % self.rows * self.stride + MARGIN
    }
}

impl Strip {
    /// Begins an image of `size` (height, width). `steps` has the quantisation table of each
    /// component in natural order.
    pub fn begin(&mut self, size: (usize, usize), chroma: Chroma, steps: &[&[u16; 64]]) {
        self.chroma = chroma;
        let (across, down) = chroma.pixels();
        for (component, (plane, steps)) in self.planes.iter_mut().zip(steps).enumerate() {
            let (across, down) = if component == 0 { (1, 1) } else { (across, down) };
            plane.size = (size.0.div_ceil(down), size.1.div_ceil(across));
            plane.rows = 2 * 8 * if component == 0 { chroma.pixels().1 } else { 1 };
            // Whole MCUs, which have 16 columns at most.
            plane.stride = size.1.next_multiple_of(16) / across + MARGIN;
            memory::resize(&mut plane.samples, plane.rows * plane.stride + MARGIN, 0);
            // libjpeg keeps the low 16 bits.
            plane.steps.clear();
            plane.steps.extend(steps.iter().map(|&step| step as i16));
        }
    }

    /// Transforms blocks side by side, the first of which is in this row and column of blocks.
    /// `block` gives the block that is so many columns further, for `columns` of them.
    ///
    /// Samples to the right of them become unspecified.
    pub fn transform<'b>(
        &mut self,
        simd: Simd,
        component: usize,
        (row, column): (usize, usize),
        columns: Range<usize>,
        block: impl Fn(usize) -> &'b Block,
    ) {
        let plane = &mut self.planes[component];
        let start = plane.start(8 * row);
        let steps = plane.steps.first_chunk().expect("64 steps");
        for first in columns.clone().step_by(BLOCKS) {
            let blocks: [&Block; BLOCKS] =
                std::array::from_fn(|i| block((first + i).min(columns.end - 1)));
            let out = &mut plane.samples[start + 8 * (column + first)..];
            transform(simd, blocks, steps, out, plane.stride);
        }
    }

    /// Repeats the first and the last sample of chroma in a row of blocks, which upsampling wants
    /// beyond the edges.
    pub fn extend(&mut self, component: usize, row: usize) {
        let plane = &mut self.planes[component];
        for y in 8 * row..8 * row + 8 {
            let (start, width) = (plane.start(y), plane.size.1);
            plane.samples[start - 1] = plane.samples[start];
            plane.samples[start + width] = plane.samples[start + width - 1];
        }
    }

    /// Writes the pixels `columns` of row `y` to the beginning of `out`. They begin at an even
    /// column if chroma has half as many. What follows them in `out` becomes unspecified.
    pub fn pixels(&self, simd: Simd, y: usize, columns: Range<usize>, out: &mut [u8]) {
        let direct = columns.len().next_multiple_of(STEP).min(out.len() / 3 / STEP * STEP);
        let direct = direct.min(columns.len());
        self.some_pixels(simd, y, columns.start..columns.start + direct, out);
        let rest = columns.start + direct..columns.end;
        if !rest.is_empty() {
            let mut last = [0; 3 * STEP];
            self.some_pixels(simd, y, rest, &mut last);
            let out = &mut out[3 * direct..3 * columns.len()];
            out.copy_from_slice(&last[..out.len()]);
        }
    }

    /// As [`Self::pixels`], if `out` has room for whole steps.
    fn some_pixels(&self, simd: Simd, y: usize, columns: Range<usize>, out: &mut [u8]) {
        assert!(3 * columns.len().next_multiple_of(STEP) <= out.len(), "room for whole steps");
        assert!(columns.end <= self.planes[0].size.1, "columns of the image");
        let (across, down) = self.chroma.pixels();
        let at = |plane: &Plane, y: usize, x: usize| {
            plane.samples[plane.start(y.min(plane.size.0 - 1)) + x..].as_ptr()
        };
        let [luma, cb, cr] = &self.planes;
        // Each pixel is three parts of its own row and one of the other row next to it.
        let near = y / down;
        let far = if down == 1 || y % 2 == 1 { near + 1 } else { near.saturating_sub(1) };
        let x = columns.start / across;
        let luma = at(luma, y, columns.start);
        let chroma = match self.chroma {
            Chroma::None => [[luma; 2]; 2],
            _ => [cb, cr].map(|plane| [at(plane, near, x), at(plane, far, x)]),
        };
        let sources = Sources { luma, chroma };
        // SAFETY: the columns are in the rows, around which there are `MARGIN` bytes; a step is at
        // least a vector of bytes, for which `out` has room.
        unsafe { row(simd, self.chroma, &sources, columns.len(), out.as_mut_ptr()) }
    }
}
