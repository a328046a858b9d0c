//! Packs an image.

use super::codec::{BOOK_NUMBERS, Encoder, ISAS, McuBlocks, choose_codebook};
use super::coefficients::Coefficients;
use super::geometry::Geometry;
use super::image::{HEAD_CHECKSUM, head_checksum};
use super::tiles::Grid;
use super::{HEADER, MAGIC, PADDING, VERSION, side};
use crate::error::{Error, Result};
use crate::simd::Simd;

/// Those that an image needs of a reader, a bit each. There are none yet.
const FEATURES: u32 = 0;

/// To choose a codebook, one of so many blocks is looked at.
const SAMPLE: usize = 16;

/// Packs the coefficients of a JPEG file.
///
/// `side` is whatever the caller needs to write the file again. It is kept compressed, and may
/// contain what `geometry` has at hardly any cost.
///
/// # Errors
/// If there are more than 10 blocks in an MCU, if the geometry is impossible or the coefficients do
/// not fit it, or if the packed image would have 4 GiB or more.
pub fn pack(coefficients: &Coefficients, side: &[u8], geometry: &Geometry) -> Result<Vec<u8>> {
    geometry.check()?;
    geometry.check_coefficients(coefficients)?;
    let grid = Grid::new(geometry, Grid::choose_tile(geometry));
    let books: Vec<u8> = coefficients
        .components
        .iter()
        .map(|component| choose_codebook(component.blocks.iter().step_by(SAMPLE)))
        .collect();
    let (directory, tiles) = pack_tiles(coefficients, &grid, &books);
    let compressed = side::compress(side, geometry);

    let mut described = vec![grid.tile_mcus as u8];
    let number =
        |component| books.get(component).map_or(0, |&book| BOOK_NUMBERS[usize::from(book)]);
    described.extend((0..4).map(number));
    geometry.write(&mut described);

    let head = HEADER + described.len() + directory.len();
    let total = head + compressed.len() + tiles.len() + PADDING;
    let mut out = Vec::with_capacity(total);
    out.extend(MAGIC);
    out.push(VERSION);
    out.extend(FEATURES.to_le_bytes());
    let lengths = [total, described.len(), directory.len(), compressed.len(), side.len()];
    for length in lengths {
        let length = u32::try_from(length)
            .map_err(|_| Error::Argument("the image is too large to be packed".into()))?;
        out.extend(length.to_le_bytes());
    }
    // The checksums, which are known at the end.
    out.resize(HEADER, 0);
    for part in [&described, &directory, &compressed, &tiles, &vec![0; PADDING]] {
        out.extend(part);
    }
    let checksum = crc32fast::hash(&out[head..]);
    out[HEADER - 8..HEAD_CHECKSUM.start].copy_from_slice(&checksum.to_le_bytes());
    let checksum = head_checksum(&out[..head]);
    out[HEAD_CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    Ok(out)
}

/// The directory and the tiles.
fn pack_tiles(coefficients: &Coefficients, grid: &Grid, books: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mcu = McuBlocks {
        components: books.len(),
        blocks: grid
            .mcu_components()
            .map(|component| (component as u8, books[component]))
            .collect(),
    };
    let (mut rows, mut lengths, mut tiles) = (Vec::new(), Vec::new(), Vec::new());
    let mut encoder = Encoder::new(Simd::best(ISAS));
    let (height, width) = grid.tiles();
    for row in 0..height {
        rows.extend((tiles.len() as u32).to_le_bytes());
        for column in 0..width {
            let start = tiles.len();
            let blocks = grid
                .tile_order((row, column))
                .map(|(component, block)| &coefficients.components[component].blocks[block]);
            encoder.tile(&mcu, blocks, &mut tiles);
            lengths.extend(((tiles.len() - start) as u16).to_le_bytes());
        }
    }
    rows.extend(lengths);
    (rows, tiles)
}
