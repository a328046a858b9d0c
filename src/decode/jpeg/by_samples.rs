//! Pixels of JPEG files with [`crate::decode::samples`].

use std::ops::Range;

use crate::decode::coefficients::{Block, Coefficients};
use crate::decode::huffman::Huffman;
use crate::decode::libjpeg::{Colours, Decompression, LibjpegError};
use crate::decode::samples::{Buffers, Chroma, Images, Tiles};
use crate::image::{Image, Rect};

/// Enough MCUs to transform several of their blocks at once, and few enough to stay in the cache.
const TILE_MCUS: usize = 8;

/// The MCUs of a scan, which are read in order.
struct Mcus<'a> {
    huffman: &'a mut Huffman,
    per_row: usize,
    /// The number of the next MCU.
    next: usize,
}

impl Tiles for Mcus<'_> {
    type Error = LibjpegError;

    fn mcus(&self) -> usize {
        TILE_MCUS
    }

    fn read(
        &mut self,
        (row, column): (usize, usize),
        wanted: Range<usize>,
        blocks: &mut [Block],
    ) -> Result<(), LibjpegError> {
        let tile = row * self.per_row + column * TILE_MCUS;
        self.huffman.skip_mcus(tile + wanted.start - self.next);
        let mcu_blocks = blocks.len() / wanted.end;
        let blocks = &mut blocks[wanted.start * mcu_blocks..];
        blocks.fill([0; 64]);
        self.huffman.read_mcus(wanted.len(), blocks);
        self.next = tile + wanted.end;
        if self.huffman.failed() {
            return Err(LibjpegError::new("the coefficients are left to libjpeg"));
        }
        Ok(())
    }
}

/// Decodes at least `parts` of a file whose coefficients come from `Huffman`. Decoding has just
/// started. Returns what was decoded. `None` if libjpeg has to make the pixels.
pub fn read(
    file: &mut Decompression<'_, Huffman>,
    parts: &[Rect],
    buffers: &mut Buffers,
    image: &mut Image,
) -> Option<Result<Rect, LibjpegError>> {
    let Colours { components, samplings, steps } = file.colours()?;
    let (height, width) = file.shape();
    let size = (height as usize, width as usize);
    let chroma = Chroma::of(&samplings[..components], size.1)?;
    let images = Images::of(chroma)?;
    let per_row = size.1.div_ceil(8 * chroma.pixels().0);
    let mut mcus = Mcus { huffman: file.coefficients(), per_row, next: 0 };
    Some(images.read(&mut mcus, (size, &steps.each_ref()[..components]), parts, buffers, image))
}
