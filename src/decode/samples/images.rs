//! Coefficients of an image to its pixels, where they are wanted.
//!
//! A row of MCUs at a time: its tiles are read, their blocks become samples, and those become all
//! rows of pixels that have the samples around them. All of it is left out beside the parts of the
//! image that are wanted.

use std::ops::Range;

use super::{Chroma, ISAS, Strip};
use crate::decode::coefficients::Block;
use crate::decode::{libjpeg, union};
use crate::image::{Image, Rect};
use crate::memory;
use crate::simd::{Isa, Simd};

/// An image's coefficients. Tiles are the pieces in which they are read: so many MCUs in a row.
pub trait Tiles {
    type Error;

    /// How many MCUs a tile has. The last tile of a row may have fewer.
    fn mcus(&self) -> usize;

    /// Reads the MCUs `wanted` of a tile in this row and column of tiles, which begins at the first
    /// of `blocks` and ends with the last one wanted. MCUs before them become unspecified.
    ///
    /// Rows come from top to bottom, and the tiles of a row from left to right.
    fn read(
        &mut self,
        place: (usize, usize),
        wanted: Range<usize>,
        blocks: &mut [Block],
    ) -> Result<(), Self::Error>;
}

/// Memory that is used again.
#[derive(Debug, Default)]
pub struct Buffers {
    strip: Strip,
    tile: Vec<Block>,
    block_rows: Vec<BlockRow>,
    spans: Vec<Range<usize>>,
}

/// A row of the blocks of a component, and what is needed of it.
#[derive(Debug, Default)]
struct BlockRow {
    component: usize,
    row: usize,
    /// Which of an MCU's blocks is the first one.
    first: usize,
    /// How many of them are in this row.
    per_mcu: usize,
    /// The pixels across a block.
    width: usize,
    /// The columns of pixels that are made of these blocks.
    columns: Vec<Range<usize>>,
}

/// How to make pixels of an image's samples.
#[derive(Clone, Copy, Debug)]
pub struct Images {
    pub simd: Simd,
    pub chroma: Chroma,
}

/// Upsampling looks one sample of chroma in each direction: that many pixels.
const AROUND: usize = 2;

impl Images {
    /// For images whose chroma is sampled so. `None` if libjpeg has to do it on this machine.
    pub fn of(chroma: Chroma) -> Option<Self> {
        let simd = Simd::best(ISAS);
        // Without its SIMD routines, libjpeg gives other pixels for coefficients that are too large.
        let same = simd.isa() != Isa::Portable && libjpeg::simd();
        same.then_some(Self { simd, chroma })
    }

    /// As [`crate::decode::Opened::read`], of an image of `size` (height, width). `steps` has the
    /// quantisation table of each component in natural order.
    pub fn read<T: Tiles>(
        self,
        tiles: &mut T,
        (size, steps): ((usize, usize), &[&[u16; 64]]),
        parts: &[Rect],
        buffers: &mut Buffers,
        image: &mut Image,
    ) -> Result<Rect, T::Error> {
        buffers.strip.begin(size, self.chroma, steps);
        memory::resize(&mut buffers.tile, tiles.mcus() * self.mcu_blocks(), [0; 64]);

        let (across, down) = self.chroma.pixels();
        let mut region = union(parts);
        region.w += region.x as u32 % across as u32;
        region.x -= region.x % across as i32;
        image.reshape(region.w, region.h);

        let (top, bottom) = (region.y as usize, region.y as usize + region.h as usize);
        let height = 8 * down;
        let context = down - 1;
        let first = top.saturating_sub(context) / height;
        let last = (bottom - 1 + context).min(size.0 - 1) / height;
        let mut y = top;
        for mcus in first..=last {
            self.mcus(tiles, size.1, parts, buffers, mcus)?;
            // The last row of pixels needs samples of the next MCUs.
            let end = if mcus == last { bottom } else { bottom.min((mcus + 1) * height - context) };
            for y in y..end {
                self.pixels(parts, buffers, y, region, image);
            }
            y = y.max(end);
        }
        Ok(region)
    }

    /// How many blocks an MCU has.
    fn mcu_blocks(self) -> usize {
        let (across, down) = self.chroma.pixels();
        across * down + self.chroma.components()
    }

    /// Makes the samples of a row of MCUs, of an image of this width.
    fn mcus<T: Tiles>(
        self,
        tiles: &mut T,
        width: usize,
        parts: &[Rect],
        buffers: &mut Buffers,
        row: usize,
    ) -> Result<(), T::Error> {
        let Buffers { strip, tile, block_rows, .. } = buffers;
        self.find_columns(parts, row, block_rows);
        let across = self.chroma.pixels().0;
        let (mcu, mcu_blocks) = (8 * across, self.mcu_blocks());
        let columns = width.div_ceil(mcu);
        for (column, first) in (0..columns).step_by(tiles.mcus()).enumerate() {
            let pixels = first * mcu..columns.min(first + tiles.mcus()) * mcu;
            let meets = |span: &&Range<usize>| span.start < pixels.end && pixels.start < span.end;
            let spans = || block_rows.iter().flat_map(|blocks| &blocks.columns).filter(meets);
            let Some(start) = spans().map(|span| span.start.max(pixels.start)).min() else {
                continue;
            };
            let end = spans().map(|span| span.end.min(pixels.end)).max().unwrap_or(pixels.end);
            let wanted = start / mcu - first..end.div_ceil(mcu) - first;
            let tile = &mut tile[..wanted.end * mcu_blocks];
            tiles.read((row, column), wanted, tile)?;
            for blocks in &*block_rows {
                let block =
                    |mcu: usize, place: usize| &tile[mcu * mcu_blocks + blocks.first + place];
                for span in blocks.columns.iter().filter(meets) {
                    let first = first * blocks.per_mcu;
                    let from = (span.start.max(pixels.start) / blocks.width) - first;
                    let to = span.end.min(pixels.end).div_ceil(blocks.width) - first;
                    let at = |at: usize| block(at / blocks.per_mcu, at % blocks.per_mcu);
                    let place = (blocks.row, first);
                    strip.transform(self.simd, blocks.component, place, from..to, at);
                }
            }
        }
        if across > 1 {
            (1..=2).for_each(|component| strip.extend(component, row));
        }
        Ok(())
    }

    /// Finds out which columns of a row of MCUs are needed.
    fn find_columns(self, parts: &[Rect], row: usize, out: &mut Vec<BlockRow>) {
        let (across, down) = self.chroma.pixels();
        out.resize_with(down + self.chroma.components(), BlockRow::default);
        for (number, blocks) in out.iter_mut().enumerate() {
            let luma = number < down;
            let columns = std::mem::take(&mut blocks.columns);
            *blocks = if luma {
                let (row, first) = (row * down + number, number * across);
                BlockRow { component: 0, row, first, per_mcu: across, width: 8, columns }
            } else {
                let (component, first) = (number - down + 1, number + down * (across - 1));
                BlockRow { component, row, first, per_mcu: 1, width: 8 * across, columns }
            };
            let (height, context) = if luma { (8, 0) } else { (8 * down, down - 1) };
            let top = blocks.row * height;
            let rows = top.saturating_sub(context)..top + height + context;
            spans(parts, rows, if luma { 0 } else { AROUND }, &mut blocks.columns);
        }
    }

    /// Writes what is wanted of a row of pixels.
    fn pixels(
        self,
        parts: &[Rect],
        buffers: &mut Buffers,
        y: usize,
        region: Rect,
        image: &mut Image,
    ) {
        spans(parts, y..y + 1, 0, &mut buffers.spans);
        let row = (y - region.y as usize) * region.w as usize;
        for span in &buffers.spans {
            // All pixels of a chroma sample.
            let columns = span.start - span.start % self.chroma.pixels().0..span.end;
            let at = 3 * (row + columns.start - region.x as usize);
            buffers.strip.pixels(self.simd, y, columns, &mut image.data[at..]);
        }
    }
}

/// The columns of the parts that have one of these rows, from left to right, and `around` more on
/// each side. Those that touch are one.
fn spans(parts: &[Rect], rows: Range<usize>, around: usize, out: &mut Vec<Range<usize>>) {
    out.clear();
    let (top, bottom) = (rows.start as i64, rows.end as i64);
    let meets = |part: &&Rect| {
        let start = i64::from(part.y);
        start < bottom && top < start + i64::from(part.h)
    };
    out.extend(parts.iter().filter(meets).map(|part| {
        let start = part.x as usize;
        start.saturating_sub(around)..start + part.w as usize + around
    }));
    out.sort_unstable_by_key(|span| span.start);
    out.dedup_by(|later, earlier| {
        let touches = later.start <= earlier.end;
        if touches {
            earlier.end = earlier.end.max(later.end);
        }
        touches
    });
}
