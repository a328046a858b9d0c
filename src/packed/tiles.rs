//! How an image is divided: into MCUs as JPEG does, and rows of MCUs into tiles.

use std::ops::Range;

use super::geometry::Geometry;

/// About how many blocks a tile should have: few, so that little is unpacked beside a crop, but
/// enough that the header of a tile is small beside it.
const TILE_BLOCKS: usize = 96;

/// The rows and columns of MCUs and tiles.
///
/// If there is one component, an MCU is one block, whatever its sampling factors are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Rows and columns of MCUs.
    pub mcus: (usize, usize),
    /// MCUs in a tile. The last tile of a row may have fewer.
    pub tile_mcus: usize,
    /// Blocks of each component in an MCU: columns and rows.
    factors: Vec<(usize, usize)>,
}

impl Grid {
    pub(super) fn new(geometry: &Geometry, tile_mcus: usize) -> Self {
        let factors = geometry.components.iter().map(|info| info.sampling);
        let mut factors: Vec<_> = factors.map(|(h, v)| (h.into(), v.into())).collect();
        let widest = factors.iter().map(|&(h, _)| h).max().unwrap_or(1);
        let highest = factors.iter().map(|&(_, v)| v).max().unwrap_or(1);
        let (height, width) = (usize::from(geometry.size.0), usize::from(geometry.size.1));
        let mut mcus = (height.div_ceil(8 * highest), width.div_ceil(8 * widest));
        if let [(h, v)] = &mut factors[..] {
            mcus = (mcus.0 * *v, mcus.1 * *h);
            (*h, *v) = (1, 1);
        }
        Self { mcus, tile_mcus, factors }
    }

    /// How many MCUs a tile of such an image should have.
    pub(super) fn choose_tile(geometry: &Geometry) -> usize {
        let wanted = TILE_BLOCKS / Self::new(geometry, 1).mcu_blocks().max(1);
        1 << wanted.clamp(1, 32).ilog2()
    }

    /// How many blocks an MCU has.
    pub fn mcu_blocks(&self) -> usize {
        self.factors.iter().map(|(h, v)| h * v).sum()
    }

    /// The component of each block of an MCU.
    pub fn mcu_components(&self) -> impl Iterator<Item = usize> {
        let counts = self.factors.iter().map(|(h, v)| h * v).enumerate();
        counts.flat_map(|(component, count)| std::iter::repeat_n(component, count))
    }

    /// Rows and columns of tiles.
    pub fn tiles(&self) -> (usize, usize) {
        (self.mcus.0, self.mcus.1.div_ceil(self.tile_mcus))
    }

    /// The columns of MCUs in a column of tiles.
    pub fn tile_columns(&self, column: usize) -> Range<usize> {
        let start = column * self.tile_mcus;
        start..(start + self.tile_mcus).min(self.mcus.1)
    }

    /// How many blocks a tile in this column has.
    pub fn tile_blocks(&self, column: usize) -> usize {
        self.tile_columns(column).len() * self.mcu_blocks()
    }

    /// Height and width of a component in blocks.
    pub(super) fn component_size(&self, component: usize) -> (usize, usize) {
        let (h, v) = self.factors[component];
        (self.mcus.0 * v, self.mcus.1 * h)
    }

    /// Component and index of each block of a tile, in the order in which a tile stores them: MCU
    /// after MCU; in an MCU the components in order; of a component the rows of its blocks.
    pub(super) fn tile_order(
        &self,
        (row, column): (usize, usize),
    ) -> impl Iterator<Item = (usize, usize)> {
        self.tile_columns(column).flat_map(move |mcu| {
            self.factors.iter().enumerate().flat_map(move |(component, &(h, v))| {
                let width = self.mcus.1 * h;
                (0..h * v).map(move |i| (component, (row * v + i / h) * width + mcu * h + i % h))
            })
        })
    }
}
