//! Packed images ([`crate::packed`]): only the tiles with pixels of the region are unpacked.
//!
//! Most images are made pixels of by this crate ([`super::samples`]), the others by libjpeg.

mod by_libjpeg;
#[cfg(target_arch = "x86_64")]
mod by_samples;
#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

use crate::error::Result;
use crate::image::{Image, Rect};
use crate::packed::Packed;

/// What decoding packed images keeps between them.
#[derive(Debug, Default)]
pub struct PackedDecoder {
    #[cfg(target_arch = "x86_64")]
    samples: super::samples::Buffers,
}

impl PackedDecoder {
    /// Reads the header of `bytes`.
    pub fn open<'a>(&'a mut self, bytes: &'a [u8]) -> Result<PackedImage<'a>> {
        Ok(PackedImage { packed: Packed::open(bytes)?, decoder: self })
    }
}

/// A packed image whose header has been read.
pub struct PackedImage<'a> {
    packed: Packed<'a>,
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "it has no buffers there"))]
    decoder: &'a mut PackedDecoder,
}

impl PackedImage<'_> {
    /// Height and width in pixels.
    pub fn shape(&self) -> (u32, u32) {
        let (height, width) = self.packed.geometry().size;
        (height.into(), width.into())
    }

    /// As [`super::Opened::read`].
    pub fn read(self, parts: &[Rect], image: &mut Image) -> Result<Rect> {
        #[cfg(target_arch = "x86_64")]
        if let Some(images) = by_samples::images(self.packed.geometry()) {
            let buffers = &mut self.decoder.samples;
            return by_samples::read(images, &self.packed, parts, buffers, image);
        }
        by_libjpeg::read(&self.packed, super::union(parts), image)
    }
}
