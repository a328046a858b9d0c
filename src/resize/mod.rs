//! Pillow's `Image.resize` on RGB8, bit for bit, straight into planes, flips included.
//!
//! Imports [`crate::image`] and [`crate::pack`]. Draws nothing: the filter and the flips are given.

mod coefficients;
mod horizontal;
#[cfg(test)]
mod scalar;
mod transpose;
#[cfg(target_arch = "x86_64")]
mod vnni;
mod weigh;

pub use coefficients::{Coefficients, Filter, Window};

use crate::image::ImageRef;
use crate::pack;
use weigh::{Level, Rows};

/// Resizes images; keeps its buffers between them.
#[derive(Debug, Default)]
pub struct Resizer {
    level: Level,
    across: Coefficients,
    down: Coefficients,
    columns: horizontal::Columns,
    between: Vec<u8>,
    nearest: Vec<usize>,
}

impl Resizer {
    /// The bytes held by the buffers that grow with the image.
    pub(crate) fn memory(&self) -> usize {
        self.between.capacity() + self.columns.memory()
    }

    /// Writes `source` resized to `size` (height, width), then flipped, into three planes.
    ///
    /// Equal to `source.resize((width, height), filter)` of Pillow 13 and then, as asked,
    /// `transpose(FLIP_LEFT_RIGHT)` and `transpose(FLIP_TOP_BOTTOM)`.
    ///
    /// # Panics
    /// If `out` does not hold `3 * height * width` bytes, or a side of anything is 0.
    pub fn resize(
        &mut self,
        source: ImageRef<'_>,
        size: (u32, u32),
        filter: Filter,
        (hflip, vflip): (bool, bool),
        out: &mut [u8],
    ) {
        let (height, width) = (size.0 as usize, size.1 as usize);
        assert_eq!(out.len(), 3 * height * width, "the output must be 3 x {height} x {width}");
        assert!(source.width > 0 && source.height > 0 && !out.is_empty(), "an empty image");
        if (source.height, source.width) == size {
            pack::planes(source, (hflip, vflip), out);
        } else if filter == Filter::Nearest {
            self.nearest(source, size, (hflip, vflip), out);
        } else {
            self.convolve(source, size, filter, (hflip, vflip), out);
        }
    }

    /// Two one-dimensional passes, in the order of Pillow 13.
    fn convolve(
        &mut self,
        source: ImageRef<'_>,
        size: (u32, u32),
        filter: Filter,
        (hflip, vflip): (bool, bool),
        out: &mut [u8],
    ) {
        let (height, width) = (size.0 as usize, size.1 as usize);
        self.across.compute(filter, source.width, size.1, true);
        self.down.compute(filter, source.height, size.0, false);
        if self.level.is_vnni() {
            self.across.split();
            self.down.split();
        }
        let Self { level, across, down, columns, between, .. } = self;
        if vertical_first((source.height, source.width), size) {
            let row = source.width as usize * 3;
            between.resize(height * row, 0);
            let (data, stride) = source.bytes();
            level.weigh(Rows { data, stride, width: row, first: 0 }, down, vflip, between);
            let between = ImageRef::new(source.width, size.0, between);
            horizontal::resize(*level, between, (0, height), across, hflip, columns, out);
            return;
        }
        let used = down.used();
        let plane = used.len() * width;
        between.resize(3 * plane, 0);
        let rows = (used.start, used.len());
        horizontal::resize(*level, source, rows, across, hflip, columns, between);
        for (data, out) in between.chunks_exact(plane).zip(out.chunks_exact_mut(height * width)) {
            let rows = Rows { data, stride: width, width, first: used.start };
            level.weigh(rows, down, vflip, out);
        }
    }

    /// Pillow's nearest neighbour (`ImagingScaleAffine`): positions by repeated addition.
    fn nearest(
        &mut self,
        source: ImageRef<'_>,
        (height, width): (u32, u32),
        (hflip, vflip): (bool, bool),
        out: &mut [u8],
    ) {
        positions(source.width, width, hflip, &mut self.nearest);
        let plane = height as usize * width as usize;
        let step = f64::from(source.height as f32) / f64::from(height);
        let mut position = step * 0.5;
        for y in 0..height {
            let row = source.row((position as u32).min(source.height - 1));
            let y = if vflip { height - 1 - y } else { y } as usize;
            for (channel, plane) in out.chunks_exact_mut(plane).enumerate() {
                let out = &mut plane[y * width as usize..][..width as usize];
                for (o, &x) in out.iter_mut().zip(&self.nearest) {
                    *o = row[3 * x + channel];
                }
            }
            position += step;
        }
    }
}

fn positions(input: u32, output: u32, flip: bool, positions: &mut Vec<usize>) {
    let step = f64::from(input as f32) / f64::from(output);
    let mut position = step * 0.5;
    positions.clear();
    for _ in 0..output {
        positions.push((position as usize).min(input as usize - 1));
        position += step;
    }
    if flip {
        positions.reverse();
    }
}

/// Pillow 13 shrinks a tall image's rows first; earlier versions always began with the columns.
fn vertical_first(input: (u32, u32), output: (u32, u32)) -> bool {
    let rows = i64::from(input.0) - i64::from(output.0);
    let columns = i64::from(input.1) - i64::from(output.1);
    rows > 0 && rows > 2 * columns
}

/// The instruction set that the resize uses on this machine: `avx512vnni`, `avx2`, or that of the target.
#[must_use]
pub fn simd() -> &'static str {
    Level::default().name()
}
