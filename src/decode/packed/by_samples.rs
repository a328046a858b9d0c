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
    /// For each component, and each row of its blocks in an MCU: the columns of pixels that are
    /// made of them.
    wanted: Vec<(usize, usize, Vec<Range<usize>>)>,
    spans: Vec<Range<usize>>,
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
        let Buffers { strip, tile, wanted, .. } = buffers;
        let (across, down) = self.chroma.pixels();
        let grid = packed.grid();
        wanted.resize_with(down + 2, Default::default);
        for (index, (component, number, columns)) in wanted.iter_mut().enumerate() {
            (*component, *number) = if index < down { (0, index) } else { (index - down + 1, 0) };
            let luma = *component == 0;
            let (height, context) = if luma { (8, 0) } else { (8 * down, down - 1) };
            let top = (row * if luma { down } else { 1 } + *number) * height;
            let rows = top.saturating_sub(context)..top + height + context;
            spans(parts, rows, if luma { 0 } else { AROUND }, columns);
        }
        for column in 0..grid.tiles().1 {
            let mcus = grid.tile_columns(column);
            let pixels = mcus.start * 8 * across..mcus.end * 8 * across;
            let meets = |span: &Range<usize>| span.start < pixels.end && pixels.start < span.end;
            if !wanted.iter().any(|(_, _, columns)| columns.iter().any(meets)) {
                continue;
            }
            let tile = &mut tile[..grid.tile_blocks(column)];
            packed.tile(row, column, tile)?;
            for (component, number, columns) in &*wanted {
                // Pixels in the width of a block, blocks in an MCU, and which of them is the first.
                let (width, h, before) = match component {
                    0 => (8, across, number * across),
                    _ => (8 * across, 1, across * down + component - 1),
                };
                let start = mcus.start * h;
                let block = |at: usize| &tile[at / h * grid.mcu_blocks() + before + at % h];
                for span in columns.iter().filter(|span| meets(span)) {
                    let from = (span.start / width).max(start) - start;
                    let to = span.end.div_ceil(width).min(mcus.end * h) - start;
                    let row = if *component == 0 { row * down + number } else { row };
                    strip.transform(self.simd, *component, (row, start), from..to, block);
                }
            }
        }
        if across > 1 {
            (1..=2).for_each(|component| strip.extend(component, row));
        }
        Ok(())
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
