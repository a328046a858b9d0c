//! The frame header: size, components, and how many blocks each has.

use super::unpackable::Unpackable;
use crate::memory;
use crate::packed::coefficients::{Coefficients, Component};

/// libjpeg's limit on both sides of an image.
const MAX_SIDE: usize = 65_500;

/// What SOF0, SOF1 or SOF2 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) progressive: bool,
    /// Height and width in pixels.
    pub(super) size: (u16, u16),
    pub(super) components: Vec<FrameComponent>,
    /// Rows and columns of MCUs in a scan of several components.
    pub(super) mcus: (usize, usize),
}

/// A component as the frame header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameComponent {
    pub(super) id: u8,
    /// Horizontal and vertical.
    pub(super) sampling: (u8, u8),
    /// Which quantisation table it uses.
    pub(super) table: u8,
    /// Height and width in blocks, without padding. A scan of this component alone has these.
    pub(super) blocks: (usize, usize),
}

impl Frame {
    /// Reads the content of a frame header, without marker and length.
    pub(super) fn parse(
        payload: &[u8],
        progressive: bool,
        max_pixels: u64,
    ) -> Result<Self, Unpackable> {
        let Some((&[precision, h0, h1, w0, w1, count], specs)) = payload.split_first_chunk() else {
            return Err(Unpackable::Broken("the length of a frame header"));
        };
        let size = (u16::from_be_bytes([h0, h1]), u16::from_be_bytes([w0, w1]));
        let (height, width) = (usize::from(size.0), usize::from(size.1));
        check(precision, (height, width), count, max_pixels)?;
        if specs.len() != usize::from(count) * 3 {
            return Err(Unpackable::Broken("the length of a frame header"));
        }
        let sampling = |spec: &[u8]| (spec[1] >> 4, spec[1] & 15);
        let factors = || specs.chunks_exact(3).map(sampling);
        if factors().any(|(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
            return Err(Unpackable::Broken("a sampling factor"));
        }
        let widest = usize::from(factors().map(|(h, _)| h).max().unwrap_or(1));
        let highest = usize::from(factors().map(|(_, v)| v).max().unwrap_or(1));
        let component = |spec: &[u8]| {
            let (h, v) = sampling(spec);
            let blocks = (
                (height * usize::from(v)).div_ceil(8 * highest),
                (width * usize::from(h)).div_ceil(8 * widest),
            );
            FrameComponent { id: spec[0], sampling: (h, v), table: spec[2], blocks }
        };
        let components: Vec<_> = specs.chunks_exact(3).map(component).collect();
        let ids = components.iter().map(|component| component.id);
        if ids.clone().enumerate().any(|(i, id)| ids.clone().take(i).any(|other| other == id)) {
            return Err(Unpackable::Broken("two components of one name"));
        }
        let mcus = (height.div_ceil(8 * highest), width.div_ceil(8 * widest));
        Ok(Self { progressive, size, components, mcus })
    }

    /// Height and width in blocks of a component, padded to whole MCUs.
    pub(super) fn padded(&self, component: &FrameComponent) -> (usize, usize) {
        let (h, v) = component.sampling;
        (self.mcus.0 * usize::from(v), self.mcus.1 * usize::from(h))
    }

    /// Blocks of all components, without padding.
    pub(super) fn blocks(&self) -> usize {
        self.components.iter().map(|component| component.blocks.0 * component.blocks.1).sum()
    }

    /// All coefficients, still zero.
    pub(super) fn coefficients(&self) -> Coefficients {
        let component = |component: &FrameComponent| {
            let size = self.padded(component);
            let blocks = memory::filled([0; 64], size.0 * size.1);
            Component { sampling: component.sampling, size, blocks }
        };
        Coefficients { components: self.components.iter().map(component).collect() }
    }

    /// Whether `coefficients` could be of this frame.
    pub(super) fn fits(&self, coefficients: &Coefficients) -> bool {
        let fits = |(frame, component): (&FrameComponent, &Component)| {
            component.sampling == frame.sampling
                && component.size == self.padded(frame)
                && component.blocks.len() == component.size.0 * component.size.1
        };
        self.components.len() == coefficients.components.len()
            && self.components.iter().zip(&coefficients.components).all(fits)
    }
}

fn check(
    precision: u8,
    (height, width): (usize, usize),
    components: u8,
    max_pixels: u64,
) -> Result<(), Unpackable> {
    if precision != 8 {
        return Err(Unpackable::Precision(precision));
    }
    if height == 0 {
        return Err(Unpackable::NoHeight);
    }
    if width == 0 || height > MAX_SIDE || width > MAX_SIDE {
        return Err(Unpackable::Broken("the size of the image"));
    }
    if (height * width) as u64 > max_pixels {
        return Err(Unpackable::TooLarge(max_pixels));
    }
    // Pillow opens no others.
    if !matches!(components, 1 | 3 | 4) {
        return Err(Unpackable::Components(components));
    }
    Ok(())
}
