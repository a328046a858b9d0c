//! What a decoder needs to know besides the coefficients: sizes, sampling, quantisation, colour.

use super::broken;
use super::bytes::Bytes;
use super::coefficients::Coefficients;
use super::tiles::Grid;
use crate::error::{Error, Result};

/// The most blocks of an MCU that JPEG allows in an interleaved scan.
pub(super) const MAX_MCU_BLOCKS: usize = 10;

const JFIF: u8 = 1;
const ADOBE: u8 = 2;

/// A component, as in the frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComponentInfo {
    /// The identifier.
    pub id: u8,
    /// Horizontal and vertical sampling factors.
    pub sampling: (u8, u8),
    /// Which of the tables it is quantised with.
    pub table: u8,
}

/// All that libjpeg needs, besides the coefficients, to compute pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Height and width in pixels.
    pub size: (u16, u16),
    /// Whether the file has a JFIF marker. It decides, with the next field and the identifiers of
    /// the components, which colours they are.
    pub jfif: bool,
    /// The transform of the Adobe marker, if there is one.
    pub adobe: Option<u8>,
    /// In the order of the frame header, 1 to 4.
    pub components: Vec<ComponentInfo>,
    /// Quantisation tables in natural order, 1 to 4.
    pub tables: Vec<[u16; 64]>,
}

impl Geometry {
    /// Checks what [`Self::read`] promises.
    pub(super) fn check(&self) -> Result<()> {
        let factors = |info: &ComponentInfo| [info.sampling.0, info.sampling.1];
        let sound = (1..=4).contains(&self.components.len())
            && (1..=4).contains(&self.tables.len())
            && self.size.0 > 0
            && self.size.1 > 0
            && self.components.iter().flat_map(factors).all(|factor| (1..=4).contains(&factor))
            && self.components.iter().all(|info| usize::from(info.table) < self.tables.len());
        if !sound {
            return Err(broken("its geometry is impossible"));
        }
        if Grid::new(self, 1).mcu_blocks() > MAX_MCU_BLOCKS {
            return Err(broken("more than 10 blocks in an MCU"));
        }
        Ok(())
    }

    /// Checks that these are the coefficients of such an image.
    pub(super) fn check_coefficients(&self, coefficients: &Coefficients) -> Result<()> {
        let grid = Grid::new(self, 1);
        let infos = self.components.iter().enumerate();
        let fits = self.components.len() == coefficients.components.len()
            && infos.zip(&coefficients.components).all(|((index, info), component)| {
                component.sampling == info.sampling
                    && component.size == grid.component_size(index)
                    && component.blocks.len() == component.size.0 * component.size.1
            });
        let message = "the coefficients do not fit the geometry";
        if fits { Ok(()) } else { Err(Error::Argument(message.into())) }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.size.0.to_le_bytes());
        out.extend(self.size.1.to_le_bytes());
        let adobe = if self.adobe.is_some() { ADOBE } else { 0 };
        out.push(if self.jfif { JFIF } else { 0 } | adobe);
        out.push(self.adobe.unwrap_or(0));
        out.push(self.components.len() as u8);
        out.push(self.tables.len() as u8);
        for info in &self.components {
            out.extend([info.id, info.sampling.0 << 4 | info.sampling.1, info.table]);
        }
        for table in &self.tables {
            let wide = is_wide(table);
            out.push(wide.into());
            for step in table {
                let bytes = step.to_le_bytes();
                out.extend(&bytes[..if wide { 2 } else { 1 }]);
            }
        }
    }

    /// Reads what [`Self::write`] wrote. Every field of the result is in its range.
    pub(super) fn read(bytes: &mut Bytes<'_>) -> Result<Self> {
        let size = (bytes.u16()? as u16, bytes.u16()? as u16);
        let [flags, transform, components, tables] = bytes.array()?;
        let unknown = flags & !(JFIF | ADOBE) != 0 || (flags & ADOBE == 0 && transform != 0);
        if unknown || components > 4 || tables > 4 {
            return Err(broken("its geometry is impossible"));
        }
        let component = |[id, sampling, table]: [u8; 3]| ComponentInfo {
            id,
            sampling: (sampling >> 4, sampling & 15),
            table,
        };
        let components =
            (0..components).map(|_| bytes.array().map(component)).collect::<Result<_>>()?;
        let tables = (0..tables).map(|_| read_table(bytes)).collect::<Result<_>>()?;
        let adobe = (flags & ADOBE != 0).then_some(transform);
        let geometry = Self { size, jfif: flags & JFIF != 0, adobe, components, tables };
        geometry.check()?;
        Ok(geometry)
    }
}

fn read_table(bytes: &mut Bytes<'_>) -> Result<[u16; 64]> {
    let wide = bytes.u8()?;
    let table = if wide == 0 {
        bytes.array::<64>()?.map(u16::from)
    } else {
        let table = bytes.array::<128>()?;
        std::array::from_fn(|i| u16::from_le_bytes([table[2 * i], table[2 * i + 1]]))
    };
    if wide != u8::from(is_wide(&table)) {
        return Err(broken("the width of a quantisation table"));
    }
    Ok(table)
}

/// Whether a table has steps that do not fit a byte.
pub(super) fn is_wide(table: &[u16; 64]) -> bool {
    table.iter().any(|&step| step > 255)
}
