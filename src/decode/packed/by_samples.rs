//! Tiles to pixels with [`crate::decode::samples`].
//!
//! A row of MCUs at a time: its tiles are unpacked, their blocks become samples, and those become
//! all rows of pixels that have the samples around them. All of it is left out beside the parts of
//! the image that are wanted.

use std::ops::Range;

use crate::decode::coefficients::Block;
use crate::decode::samples::{Chroma, ISAS, Strip};
use crate::decode::union;
use crate::error::Result;
use crate::image::{Image, Rect};
use crate::packed::Packed;
use crate::packed::geometry::Geometry;
use crate::simd::{Isa, Simd};

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
    /// `None` if libjpeg has to do it.
    pub fn of(geometry: &Geometry) -> Option<Self> {
        let simd = Simd::best(ISAS);
        // Without its SIMD routines, libjpeg gives other pixels for coefficients that are too large.
        let same = simd.isa() != Isa::Portable && crate::decode::libjpeg::simd();
        let chroma = chroma(geometry)?;
        same.then_some(Self { simd, chroma })
    }

    /// As [`crate::decode::Opened::read`].
    pub fn read(
        self,
        packed: &Packed<'_>,
        parts: &[Rect],
        buffers: &mut Buffers,
        image: &mut Image,
    ) -> Result<Rect> {
        let geometry = packed.geometry();
        let size = (geometry.size.0.into(), geometry.size.1.into());
        let steps =
            |component: usize| &geometry.tables[usize::from(geometry.components[component].table)];
        buffers.strip.begin(size, self.chroma, [steps(0), steps(1), steps(2)]);
        buffers.tile.resize(packed.grid().tile_blocks(0), [0; 64]);

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
            self.mcus(packed, parts, buffers, mcus)?;
            // The last row of pixels needs samples of the next MCUs.
            let end = if mcus == last { bottom } else { bottom.min((mcus + 1) * height - context) };
            for y in y..end {
                self.pixels(parts, buffers, y, region, image);
            }
            y = y.max(end);
        }
        Ok(region)
    }

    /// Makes the samples of a row of MCUs.
    fn mcus(
        self,
        packed: &Packed<'_>,
        parts: &[Rect],
        buffers: &mut Buffers,
        row: usize,
    ) -> Result<()> {
        let Buffers { strip, tile, block_rows, .. } = buffers;
        self.find_columns(parts, row, block_rows);
        let (across, grid) = (self.chroma.pixels().0, packed.grid());
        for column in 0..grid.tiles().1 {
            let mcus = grid.tile_columns(column);
            let pixels = mcus.start * 8 * across..mcus.end * 8 * across;
            let meets = |span: &&Range<usize>| span.start < pixels.end && pixels.start < span.end;
            let spans = block_rows.iter().flat_map(|blocks| &blocks.columns).filter(meets);
            let Some(end) = spans.map(|span| span.end.min(pixels.end)).max() else { continue };
            let count = end.div_ceil(8 * across) - mcus.start;
            let tile = &mut tile[..count * grid.mcu_blocks()];
            packed.tile(row, column, tile)?;
            for blocks in &*block_rows {
                let block = |mcu: usize, place: usize| {
                    &tile[mcu * grid.mcu_blocks() + blocks.first + place]
                };
                for span in blocks.columns.iter().filter(meets) {
                    let first = mcus.start * blocks.per_mcu;
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
        out.resize_with(down + 2, BlockRow::default);
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

/// How the chroma of an image is sampled, if [`crate::decode::samples`] can make pixels of it.
fn chroma(geometry: &Geometry) -> Option<Chroma> {
    let [luma, cb, cr] = &geometry.components[..] else { return None };
    // As `default_decompress_parms` of libjpeg's `jdapimin.c` finds out which colours they are.
    let named = [luma.id, cb.id, cr.id] == [1, 2, 3];
    let ycc = geometry.jfif || geometry.adobe.map_or(named, |transform| transform == 1);
    let chroma = match (luma.sampling, cb.sampling, cr.sampling) {
        ((1, 1), (1, 1), (1, 1)) => Chroma::Full,
        ((2, 1), (1, 1), (1, 1)) => Chroma::Half,
        ((2, 2), (1, 1), (1, 1)) => Chroma::Quarter,
        _ => return None,
    };
    // libjpeg repeats the samples of narrower images instead of mixing them.
    let wide = chroma == Chroma::Full || geometry.size.1.div_ceil(2) > 2;
    (ycc && wide).then_some(chroma)
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
