//! What pixels are computed from, besides the frame and the coefficients: quantisation tables, and
//! the markers by which libjpeg decides which colours the components are.

use super::frame::Frame;
use super::unpackable::Unpackable;
use crate::packed::geometry::{ComponentInfo, Geometry};
use crate::packed::zigzag::NATURAL;

/// In natural order.
type Table = [u16; 64];

/// How much of a JFIF or an Adobe segment must be there, so that libjpeg knows it.
const JFIF_LENGTH: usize = 14;
const ADOBE_LENGTH: usize = 12;

/// What the headers up to some scan say.
#[derive(Debug, Default)]
pub(super) struct Colours {
    tables: [Option<Table>; 4],
    /// The table of each component. A later definition does not change it: libjpeg copies the table
    /// when the component's first scan begins.
    latched: [Option<Table>; 4],
    jfif: bool,
    adobe: Option<u8>,
}

impl Colours {
    /// Reads the content of a DQT segment.
    pub(super) fn tables(&mut self, mut content: &[u8]) -> Result<(), Unpackable> {
        while let Some((&selector, rest)) = content.split_first() {
            let place = self.tables.get_mut(usize::from(selector & 15));
            let place = place.ok_or(Unpackable::Broken("the number of a quantisation table"))?;
            let width = if selector >> 4 == 0 { 1 } else { 2 };
            let (steps, rest) = rest
                .split_at_checked(64 * width)
                .ok_or(Unpackable::Broken("the length of a quantisation table"))?;
            let mut table = [0; 64];
            for (step, &natural) in steps.chunks_exact(width).zip(&NATURAL) {
                let value = step.iter().fold(0, |value, &byte| value << 8 | u16::from(byte));
                table[usize::from(natural)] = value;
            }
            *place = Some(table);
            content = rest;
        }
        Ok(())
    }

    /// Reads the content of an APP0 or APP14 segment.
    pub(super) fn application(&mut self, code: u8, content: &[u8]) {
        match code {
            0xE0 if content.len() >= JFIF_LENGTH && content.starts_with(b"JFIF\0") => {
                self.jfif = true;
            }
            0xEE if content.len() >= ADOBE_LENGTH && content.starts_with(b"Adobe") => {
                self.adobe = Some(content[ADOBE_LENGTH - 1]);
            }
            _ => {}
        }
    }

    /// Notes that a scan of this component begins, which uses that table.
    pub(super) fn begin(&mut self, component: usize, table: u8) -> Result<(), Unpackable> {
        let table = self.tables.get(usize::from(table)).copied().flatten();
        let table = table.ok_or(Unpackable::Broken("a quantisation table is missing"))?;
        self.latched[component].get_or_insert(table);
        Ok(())
    }

    /// All that a decoder needs, once every component has had a scan.
    pub(super) fn geometry(self, frame: &Frame) -> Option<Geometry> {
        let mut tables = Vec::new();
        let mut components = Vec::new();
        for (component, latched) in frame.components.iter().zip(self.latched) {
            let latched = latched?;
            let number = tables.iter().position(|table| *table == latched);
            let table = number.unwrap_or(tables.len()) as u8;
            if number.is_none() {
                tables.push(latched);
            }
            let (id, sampling) = (component.id, component.sampling);
            components.push(ComponentInfo { id, sampling, table });
        }
        let Self { jfif, adobe, .. } = self;
        Some(Geometry { size: frame.size, jfif, adobe, components, tables })
    }
}
