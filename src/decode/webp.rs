//! WebP through the crate `image-webp`.

use std::io::Cursor;

use image_webp::{UpsamplingMethod, WebPDecodeOptions, WebPDecoder};

use super::raster::drop_alpha;
use crate::error::{Error, Result};
use crate::image::Image;

/// A WebP whose header has been read. Of an animation, its first frame.
pub struct WebP<'a> {
    decoder: WebPDecoder<Cursor<&'a [u8]>>,
}

impl<'a> WebP<'a> {
    /// Reads the header.
    pub fn open(bytes: &'a [u8], max_pixels: u64) -> Result<Self> {
        let mut options = WebPDecodeOptions::default();
        options.lossy_upsampling = UpsamplingMethod::Bilinear;
        let mut decoder = WebPDecoder::new_with_options(Cursor::new(bytes), options)
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
