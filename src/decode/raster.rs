//! The formats besides JPEG: recognised by content, decoded whole.
//!
//! Every format's module has the same two steps: opening, which reads no more than the header, and
//! reading, which is only done once the size has been found acceptable.

use super::bmp::Bmp;
use super::gif::Gif;
use super::png::Png;
use super::tiff::Tiff;
use super::webp::WebP;
use crate::error::{Error, Result};
use crate::image::Image;

/// An image of one of the formats, whose header has been read.
pub enum Raster<'a> {
    Bmp(Box<Bmp<'a>>),
    Gif(Box<Gif<'a>>),
    Png(Box<Png<'a>>),
    Tiff(Box<Tiff<'a>>),
    WebP(Box<WebP<'a>>),
}

impl<'a> Raster<'a> {
    /// Reads the header; `None` if the bytes are of no known format.
    pub fn open(bytes: &'a [u8], max_pixels: u64) -> Option<Result<Self>> {
        Some(match bytes {
            [b'B', b'M', ..] => Bmp::open(bytes).map(Box::new).map(Self::Bmp),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => {
                Gif::open(bytes, max_pixels).map(Box::new).map(Self::Gif)
            }
            [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => {
                Png::open(bytes).map(Box::new).map(Self::Png)
            }
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => {
                Tiff::open(bytes).map(Box::new).map(Self::Tiff)
            }
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
                WebP::open(bytes, max_pixels).map(Box::new).map(Self::WebP)
            }
            _ => return None,
        })
    }

    /// Height and width in pixels.
    pub fn shape(&self) -> (u32, u32) {
        match self {
            Self::Bmp(bmp) => bmp.shape(),
            Self::Gif(gif) => gif.shape(),
            Self::Png(png) => png.shape(),
            Self::Tiff(tiff) => tiff.shape(),
            Self::WebP(webp) => webp.shape(),
        }
    }

    /// Decodes the pixels.
    pub fn read(self, image: &mut Image) -> Result<()> {
        let (format, result) = match self {
            Self::Bmp(bmp) => ("BMP", bmp.read(image)),
            Self::Gif(gif) => ("GIF", gif.read(image)),
            Self::Png(png) => ("PNG", png.read(image)),
            Self::Tiff(tiff) => ("TIFF", tiff.read(image)),
            Self::WebP(webp) => ("WebP", webp.read(image)),
        };
        result.map_err(|cause| Error::decode(format, cause))
    }
}

/// Refuses a file that is too short for its image, before memory is allocated for it: no coding of
/// the format makes more than `ratio` bytes out of one.
pub fn check_ratio(compressed: usize, wanted: u64, ratio: u64) -> std::result::Result<(), String> {
    if (compressed as u64).saturating_mul(ratio) < wanted {
        return Err(format!("the file is truncated: {compressed} bytes cannot hold the image"));
    }
    Ok(())
}

/// RGBA to RGB.
pub fn drop_alpha(rgba: &[u8], image: &mut Image) {
    for (rgba, rgb) in rgba.chunks_exact(4).zip(image.data.chunks_exact_mut(3)) {
        rgb.copy_from_slice(&rgba[..3]);
    }
}
