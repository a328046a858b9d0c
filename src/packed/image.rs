//! Reads packed images.

use super::bytes::Bytes;
use super::codec::{self, BOOK_NUMBERS, ISAS, MAX_BLOCKS, McuBlocks};
use super::coefficients::{Coefficients, Component};
use super::geometry::Geometry;
use super::tiles::Grid;
use super::{HEADER, MAGIC, PADDING, VERSION, broken, side};
use crate::error::Result;
use crate::memory;
use crate::simd::Simd;

/// Where the checksum of the header, the description and the directory is. It covers all of them but
/// itself, and with them the checksum of the rest.
pub(super) const HEAD_CHECKSUM: std::ops::Range<usize> = HEADER - 4..HEADER;

/// The checksum of the first bytes of an image, up to the end of the directory.
pub(super) fn head_checksum(head: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[..HEAD_CHECKSUM.start]);
    hasher.update(&head[HEAD_CHECKSUM.end..]);
    hasher.finalize()
}

/// Whether a checksum is not the one that was stored. A fuzzer can't make checksums.
fn differs(checksum: u32, stored: u32) -> bool {
    checksum != stored && !cfg!(fuzzing)
}

/// A packed image whose header has been read.
#[derive(Clone, Debug)]
pub struct Packed<'a> {
    geometry: Geometry,
    grid: Grid,
    mcu: McuBlocks,
    /// Where in `image` each row of MCUs begins, counted from the first: a u32 each.
    rows: &'a [u8],
    /// The length of each tile: a u16 each.
    lengths: &'a [u8],
    side: &'a [u8],
    side_length: usize,
    /// What follows the directory: side information and tiles.
    body: &'a [u8],
    /// The checksum that `body` must have.
    checksum: u32,
    /// From the first tile to the end of the image.
    tiles: &'a [u8],
    simd: Simd,
}

impl<'a> Packed<'a> {
    /// Reads the header, the description and the directory, and compares their checksum.
    ///
    /// # Errors
    /// If these are not the bytes of a packed image, or not all of them. Whether a bit of the tiles
    /// has changed is found out by [`Self::verify`] only.
    pub fn open(image: &'a [u8]) -> Result<Self> {
        let mut bytes = Bytes::new(image);
        if bytes.array()? != MAGIC {
            return Err(broken("it does not begin as one"));
        }
        check_version(bytes.u8()?, bytes.array()?)?;
        if bytes.u32()? != image.len() {
            return Err(broken("it is not as long as its header says"));
        }
        let [described, directory, compressed] = [bytes.u32()?, bytes.u32()?, bytes.u32()?];
        let side_length = bytes.u32()?;
        let [checksum, of_head] = [bytes.array()?, bytes.array()?].map(u32::from_le_bytes);
        let described = bytes.take(described)?;
        let directory = bytes.take(directory)?;
        let (head, body) = image.split_at(image.len() - bytes.remaining());
        if differs(head_checksum(head), of_head) {
            return Err(broken("its checksum differs: some bytes of its header have changed"));
        }
        let side = bytes.take(compressed)?;
        let tiles = bytes.take(bytes.remaining())?;
        if tiles.len() < PADDING {
            return Err(broken("it ends too early"));
        }

        let (geometry, grid, mcu) = read_description(described)?;
        let (rows, columns) = grid.tiles();
        let (rows, lengths) = directory
            .split_at_checked(4 * rows)
            .filter(|(_, lengths)| lengths.len() == 2 * rows * columns)
            .ok_or_else(|| broken("the length of its directory"))?;
        // A tile has at least a byte per block, so that a short file can't ask for much memory.
        if grid.mcus.0 * grid.mcus.1 * grid.mcu_blocks() > tiles.len() - PADDING {
            return Err(broken("it is too short for its blocks"));
        }
        let simd = Simd::best(ISAS);
        Ok(Self {
            geometry,
            grid,
            mcu,
            rows,
            lengths,
            side,
            side_length,
            body,
            checksum,
            tiles,
            simd,
        })
    }

    /// The instruction sets that tiles can be unpacked with on this machine, best first.
    pub fn available() -> impl Iterator<Item = Simd> {
        Simd::available(ISAS)
    }

    /// The same image, unpacked with another instruction set. The coefficients do not change.
    pub fn with_simd(mut self, simd: Simd) -> Self {
        self.simd = simd;
        self
    }

    /// Reads all bytes and compares their checksum.
    pub fn verify(&self) -> Result<()> {
        if differs(crc32fast::hash(self.body), self.checksum) {
            return Err(broken("its checksum differs: some of its bytes have changed"));
        }
        Ok(())
    }

    /// Sizes, components and quantisation tables.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// How the image is divided into tiles.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The side information that the image was packed with.
    pub fn side(&self) -> Result<Vec<u8>> {
        side::decompress(self.side, self.side_length, &self.geometry)
    }

    /// Unpacks the first MCUs of the tile in this row and column of the [`Self::grid`], as many as
    /// `out` has room for. Whether the tile is sound is found out only if they are all.
    ///
    /// `out` gets the blocks in the order of libjpeg's MCU buffer: MCU after MCU; in an MCU the
    /// components in order; of a component the rows of its blocks. After an error it has anything.
    ///
    /// # Panics
    /// If there is no such tile, or if `out` does not have whole MCUs, or more than
    /// [`Grid::tile_blocks`] blocks.
    pub fn tile(&self, row: usize, column: usize, out: &mut [[i16; 64]]) -> Result<()> {
        let (height, width) = self.grid.tiles();
        assert!(row < height && column < width, "no tile {row}, {column} of {height}, {width}");
        let blocks = self.grid.tile_blocks(column);
        let fits = out.len() <= blocks && out.len().is_multiple_of(self.grid.mcu_blocks());
        assert!(fits, "{} of the {blocks} blocks of a tile", out.len());
        let start = u32::from_le_bytes(self.rows.as_chunks().0[row]) as usize;
        let lengths = &self.lengths.as_chunks().0[row * width..][..=column];
        let length = |bytes: &[u8; 2]| usize::from(u16::from_le_bytes(*bytes));
        let before: usize = lengths[..column].iter().map(length).sum();
        let tile =
            self.tiles.get(start + before..).ok_or_else(|| broken("a tile beyond its end"))?;
        codec::decode(self.simd, tile, length(&lengths[column]), (&self.mcu, blocks), out)
    }

    /// Unpacks all tiles.
    pub fn coefficients(&self) -> Result<Coefficients> {
        let component = |(index, info): (usize, &super::geometry::ComponentInfo)| {
            let size = self.grid.component_size(index);
            Component {
                sampling: info.sampling,
                size,
                blocks: memory::filled([0; 64], size.0 * size.1),
            }
        };
        let mut components: Vec<_> =
            self.geometry.components.iter().enumerate().map(component).collect();
        let (height, width) = self.grid.tiles();
        let mut tile = memory::filled([0; 64], self.grid.tile_blocks(0));
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column)))
        {
            let tile = &mut tile[..self.grid.tile_blocks(column)];
            self.tile(row, column, tile)?;
            for (block, (component, index)) in tile.iter().zip(self.grid.tile_order((row, column)))
            {
                components[component].blocks[index] = *block;
            }
        }
        Ok(Coefficients { components })
    }
}

/// Refuses what this release can't read, with the remedy.
fn check_version(version: u8, features: [u8; 4]) -> Result<()> {
    let features = u32::from_le_bytes(features);
    let cause = if version == 0 {
        "version 0 of the format, which only the release that packed it reads: unpack it with that \
         release, and pack it anew"
            .into()
    } else if version > VERSION {
        format!(
            "version {version} of the format, this release reads {VERSION}: upgrade tied-augment"
        )
    } else if features != 0 {
        let feature = features.trailing_zeros();
        format!("feature {feature} of the format, which this release lacks: upgrade tied-augment")
    } else {
        return Ok(());
    };
    Err(broken(&cause))
}

/// The tile's size, the codebooks and the geometry.
fn read_description(described: &[u8]) -> Result<(Geometry, Grid, McuBlocks)> {
    let mut bytes = Bytes::new(described);
    let tile_mcus = usize::from(bytes.u8()?);
    let numbers = bytes.array::<4>()?;
    let geometry = Geometry::read(&mut bytes)?;
    if bytes.remaining() > 0 {
        return Err(broken("the length of its geometry"));
    }
    let (used, unused) = numbers.split_at(geometry.components.len());
    if unused.iter().any(|&number| number != 0) {
        return Err(broken("codebooks of missing components"));
    }
    let book = |number: &u8| {
        let book = BOOK_NUMBERS.iter().position(|known| known == number);
        let cause = || {
            broken(&format!("codebook {number}, which this release lacks: upgrade tied-augment"))
        };
        book.map(|book| book as u8).ok_or_else(cause)
    };
    let books: Vec<_> = used.iter().map(book).collect::<Result<_>>()?;
    let grid = Grid::new(&geometry, tile_mcus.max(1));
    if tile_mcus == 0 || grid.mcu_blocks() * tile_mcus > MAX_BLOCKS {
        return Err(broken("the size of its tiles"));
    }
    let blocks = grid.mcu_components().map(|component| (component as u8, books[component]));
    let mcu = McuBlocks { components: geometry.components.len(), blocks: blocks.collect() };
    Ok((geometry, grid, mcu))
}
