//! Bytes of an image file to RGB8, equal to Pillow's `Image.open(...).convert('RGB')`.
//!
//! Imports [`crate::image`] and [`crate::error`]. JPEG goes through libjpeg and decodes only the part
//! that is asked for; the other formats (`raster`) go through a crate each and are decoded whole.
//! What a crate would not give Pillow's pixels for is refused.

mod bmp;
mod cmyk;
mod gif;
mod jpeg;
mod libjpeg;
mod png;
mod raster;
mod tiff;
mod webp;

pub use libjpeg::simd as jpeg_simd;
use raster::Raster;
#[cfg(feature = "python")]
pub(crate) use raster::panic_is_the_files;

use crate::error::{Error, Result};
use crate::image::{Image, Rect};

/// The pixels beyond which Pillow refuses an image as a decompression bomb.
pub const MAX_PIXELS: u64 = 178_956_970;

/// Decodes images. Keeps memory between them, and nothing of what a file said.
#[derive(Debug, Default)]
pub struct Decoder {
    jpeg: jpeg::Decoder,
}

impl Decoder {
    /// Decodes at least the part of the image that `part` names, into `image`, and returns where in
    /// the whole image that lies.
    ///
    /// `part` is called once, with the whole image's (height, width), before any pixel is decoded; its
    /// error is returned.
    ///
    /// # Errors
    /// [`Error::Unidentified`], [`Error::Decode`], [`Error::TooLarge`] beyond `max_pixels`, and those
    /// of `part`.
    ///
    /// # Panics
    /// If what `part` names reaches outside the image.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        max_pixels: u64,
        part: impl FnOnce((u32, u32)) -> Result<Rect>,
        image: &mut Image,
    ) -> Result<Rect> {
        let part = |(height, width)| {
            let part = part((height, width))?;
            let inside = part.clip(width, height) == Some(part);
            assert!(inside, "{part:?} reaches outside {width} x {height}");
            Ok(part)
        };
        if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
            return self.jpeg.decode(bytes, max_pixels, part, image);
        }
        let raster = Raster::open(bytes, max_pixels).ok_or_else(|| {
            Error::Unidentified(match bytes.len() {
                0 => "the file is empty".into(),
                n => format!("{n} bytes that begin with '{}'", bytes[..n.min(16)].escape_ascii()),
            })
        })??;
        let (height, width) = raster.shape();
        check_pixels((height, width), max_pixels)?;
        part((height, width))?;
        raster.read(image)?;
        Ok(Rect { x: 0, y: 0, w: image.width, h: image.height })
    }
}

fn check_pixels((height, width): (u32, u32), limit: u64) -> Result<()> {
    if width == 0 || height == 0 {
        return Err(Error::decode("the image", format!("its size is {width} x {height}")));
    }
    if u64::from(width) * u64::from(height) > limit {
        return Err(Error::TooLarge { width, height, limit });
    }
    Ok(())
}
