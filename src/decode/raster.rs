//! The formats besides JPEG: recognised by content, decoded whole.
//!
//! Every format's module has the same two steps: opening, which decodes no pixels, and reading, which is
//! only done once the size has been found acceptable. A panic in either is an error of the file.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::bmp::Bmp;
use super::gif::Gif;
use super::png::Png;
use super::tiff::Tiff;
use super::webp::WebP;
use crate::error::{Error, Result, panic_text};
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
        let opened = match bytes {
            [b'B', b'M', ..] => contained("BMP", || Ok(Self::Bmp(Bmp::open(bytes)?.into()))),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => {
                contained("GIF", || Ok(Self::Gif(Gif::open(bytes, max_pixels)?.into())))
            }
            [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => {
                contained("PNG", || Ok(Self::Png(Png::open(bytes)?.into())))
            }
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => {
                contained("TIFF", || Ok(Self::Tiff(Tiff::open(bytes)?.into())))
            }
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
                contained("WebP", || Ok(Self::WebP(WebP::open(bytes, max_pixels)?.into())))
            }
            _ => return None,
        };
        Some(opened)
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
        let format = match self {
            Self::Bmp(_) => "BMP",
            Self::Gif(_) => "GIF",
            Self::Png(_) => "PNG",
            Self::Tiff(_) => "TIFF",
            Self::WebP(_) => "WebP",
        };
        contained(format, || {
            let result = match self {
                Self::Bmp(bmp) => bmp.read(image),
                Self::Gif(gif) => gif.read(image),
                Self::Png(png) => png.read(image),
                Self::Tiff(tiff) => tiff.read(image),
                Self::WebP(webp) => webp.read(image),
            };
            result.map_err(|cause| Error::decode(format, cause))
        })
    }
}

thread_local! {
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread would be a damaged file's, which a panic hook need not print.
#[cfg(any(feature = "python", test))]
pub fn panic_is_the_files() -> bool {
    DECODING.get()
}

/// Runs a step of a format's decoder. A panic in it becomes an error of the file, since a damaged file
/// must not end a run: decoders index by what the file says, and few check all of it.
fn contained<T>(format: &'static str, step: impl FnOnce() -> Result<T>) -> Result<T> {
    DECODING.set(true);
    let result = catch_unwind(AssertUnwindSafe(step));
    DECODING.set(false);
    result.unwrap_or_else(|payload| {
        let panic = panic_text(&*payload);
        Err(Error::decode(
            format,
            format!("the file is damaged; the decoder stopped with: {panic}"),
        ))
    })
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

#[cfg(test)]
mod tests {
    use super::{contained, panic_is_the_files};
    use crate::error::Error;

    #[test]
    fn a_panic_of_a_decoder_is_the_files_failure() {
        let result =
            contained("GIF", || -> crate::error::Result<()> { panic!("no room for {}", 7) });
        let Err(error) = result else { panic!("it went well") };
        assert!(matches!(error, Error::Decode { format: "GIF", .. }));
        let said =
            "cannot decode GIF: the file is damaged; the decoder stopped with: no room for 7";
        assert_eq!(error.to_string(), said);
        assert!(contained("GIF", || Ok(panic_is_the_files())).is_ok_and(|inside| inside));
        assert!(!panic_is_the_files());
    }
}
