//! WebP through the crate `image-webp`.

use std::borrow::Cow;
use std::io::Cursor;

use image_webp::{UpsamplingMethod, WebPDecodeOptions, WebPDecoder};

use super::raster::drop_alpha;
use crate::error::{Error, Result};
use crate::image::Image;

/// A WebP whose header has been read. Of an animation, its first frame.
pub struct WebP<'a> {
    decoder: WebPDecoder<Cursor<Cow<'a, [u8]>>>,
}

impl<'a> WebP<'a> {
    /// Reads the header.
    pub fn open(bytes: &'a [u8], max_pixels: u64) -> Result<Self> {
        let mut options = WebPDecodeOptions::default();
        options.lossy_upsampling = UpsamplingMethod::Bilinear;
        let mut decoder = WebPDecoder::new_with_options(Cursor::new(unblended(bytes)), options)
            .map_err(|error| Error::decode("WebP", error))?;
        decoder
            .set_memory_limit(usize::try_from(max_pixels.saturating_mul(4)).unwrap_or(usize::MAX));
        Ok(Self { decoder })
    }

    /// Height and width in pixels.
    pub fn shape(&self) -> (u32, u32) {
        let (width, height) = self.decoder.dimensions();
        (height, width)
    }

    /// Decodes the pixels; alpha is dropped, as Pillow does.
    pub fn read(mut self, image: &mut Image) -> std::result::Result<(), String> {
        let (height, width) = self.shape();
        image.reshape(width, height);
        if !self.decoder.has_alpha() {
            return self.frame(&mut image.data);
        }
        let mut rgba = vec![0; height as usize * width as usize * 4];
        self.frame(&mut rgba)?;
        drop_alpha(&rgba, image);
        Ok(())
    }

    fn frame(&mut self, pixels: &mut [u8]) -> std::result::Result<(), String> {
        let read = if self.decoder.is_animated() {
            self.decoder.read_frame(pixels).map(drop)
        } else {
            self.decoder.read_image(pixels)
        };
        read.map_err(|error| error.to_string())
    }
}

/// `bytes` with the first frame of an animation put on its canvas as it is.
///
/// libwebp, which Pillow uses, never blends the first frame (`WebPAnimDecoderGetNext` does so from the
/// second on only). The crate does, and scaling a colour by its alpha and back rounds it down.
fn unblended(bytes: &[u8]) -> Cow<'_, [u8]> {
    /// Where a frame's flags stand in its chunk, after the name and the length of that.
    const FLAGS: usize = 8 + 15;
    const DO_NOT_BLEND: u8 = 2;
    let mut at = 12;
    while let Some(&[name @ .., a, b, c, d]) =
        bytes.get(at..).and_then(|rest| rest.first_chunk::<8>())
    {
        if name == *b"ANMF" {
            return match bytes.get(at + FLAGS) {
                Some(flags) if flags & DO_NOT_BLEND == 0 => {
                    let mut bytes = bytes.to_vec();
                    bytes[at + FLAGS] |= DO_NOT_BLEND;
                    bytes.into()
                }
                _ => bytes.into(),
            };
        }
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        at = at.saturating_add(8).saturating_add(len.next_multiple_of(2));
    }
    bytes.into()
}
