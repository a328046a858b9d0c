//! libjpeg makes the pixels, of a header that is made here and of coefficients that come from tiles.

use crate::decode::coefficients::{Block, Coefficients, Scan};
use crate::decode::jpeg::rows;
use crate::decode::libjpeg::{Decompressor, LibjpegError, OnEnd};
use crate::error::{Error, Result};
use crate::image::{Image, Rect};
use crate::memory;
use crate::packed::Packed;
use crate::packed::geometry::Geometry;
use crate::packed::zigzag::NATURAL;

/// As [`crate::decode::Opened::read`].
pub fn read(packed: &Packed<'_>, region: Rect, image: &mut Image) -> Result<Rect> {
    let header = header(packed.geometry());
    let mut failure = None;
    let mut decompressor = Decompressor::new(Tiles::new(packed, &mut failure));
    let decoded = decompressor.open(&header, OnEnd::EndImage).and_then(|mut file| {
        file.start()?;
        if !file.use_own_coefficients() {
            return Err(LibjpegError::new("this build of libjpeg takes no coefficients"));
        }
        rows(&mut file, &mut Vec::new(), region, image)
    });
    drop(decompressor);
    match failure {
        Some(error) => Err(error),
        None => decoded.map_err(|cause| Error::decode("packed image", cause)),
    }
}

/// A JPEG file without coefficients, of which libjpeg makes pixels as of the file that was packed.
fn header(geometry: &Geometry) -> Vec<u8> {
    let mut out = vec![0xFF, 0xD8];
    for (number, table) in (0..).zip(&geometry.tables) {
        out.extend([0xFF, 0xDB, 0, 131, 0x10 | number]);
        for &natural in &NATURAL[..64] {
            out.extend(table[usize::from(natural)].to_be_bytes());
        }
    }
    if geometry.jfif {
        out.extend(b"\xFF\xE0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    }
    if let Some(transform) = geometry.adobe {
        out.extend(b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0");
        out.push(transform);
    }
    let count = geometry.components.len() as u8;
    out.extend([0xFF, 0xC1, 0, 8 + 3 * count, 8]);
    out.extend(geometry.size.0.to_be_bytes());
    out.extend(geometry.size.1.to_be_bytes());
    out.push(count);
    for info in &geometry.components {
        out.extend([info.id, info.sampling.0 << 4 | info.sampling.1, info.table]);
    }
    // libjpeg wants Huffman tables, though it will not use them: one code each.
    for selector in [0, 0x10] {
        out.extend([0xFF, 0xC4, 0, 20, selector, 1]);
        out.extend([0; 16]);
    }
    out.extend([0xFF, 0xDA, 0, 6 + 2 * count, count]);
    for info in &geometry.components {
        out.extend([info.id, 0]);
    }
    out.extend([0, 63, 0, 0xFF, 0xD9]);
    out
}

/// The coefficients of a packed image.
struct Tiles<'p, 'a> {
    packed: &'p Packed<'a>,
    /// The blocks of the tile that was unpacked last.
    tile: Vec<Block>,
    /// Its row and column.
    place: Option<(usize, usize)>,
    /// The number of the next MCU.
    next: usize,
    /// MCUs in a row, as libjpeg counts them.
    per_row: usize,
    failure: &'p mut Option<Error>,
}

impl<'p, 'a> Tiles<'p, 'a> {
    fn new(packed: &'p Packed<'a>, failure: &'p mut Option<Error>) -> Self {
        let tile = memory::filled([0; 64], packed.grid().tile_blocks(0));
        Self { packed, tile, place: None, next: 0, per_row: 0, failure }
    }

    /// Rows and columns of MCUs, as libjpeg counts them: a single component is not padded.
    fn mcus(&self) -> (usize, usize) {
        let Geometry { size: (height, width), components, .. } = self.packed.geometry();
        if components.len() == 1 {
            (usize::from(*height).div_ceil(8), usize::from(*width).div_ceil(8))
        } else {
            self.packed.grid().mcus
        }
    }
}

impl Coefficients for Tiles<'_, '_> {
    fn begin(&mut self, scan: &Scan<'_>) -> Option<usize> {
        let (height, width) = self.mcus();
        let blocks: usize = scan.components.iter().map(|component| component.blocks).sum();
        (scan.mcus == height * width && blocks == self.packed.grid().mcu_blocks()).then_some(())?;
        (self.next, self.per_row) = (0, width);
        Some(0)
    }

    fn read(&mut self, blocks: &mut [Block]) {
        let grid = self.packed.grid();
        let (row, column) = (self.next / self.per_row, self.next % self.per_row);
        self.next += 1;
        let place = (row, column / grid.tile_mcus);
        if self.place != Some(place) {
            let tile = &mut self.tile[..grid.tile_blocks(place.1)];
            if let Err(error) = self.packed.tile(place.0, place.1, tile) {
                *self.failure = Some(error);
                return;
            }
            self.place = Some(place);
        }
        let first = column % grid.tile_mcus * grid.mcu_blocks();
        blocks.copy_from_slice(&self.tile[first..][..blocks.len()]);
    }

    fn skip(&mut self) {
        self.next += 1;
    }

    fn failed(&self) -> bool {
        self.failure.is_some()
    }
}
