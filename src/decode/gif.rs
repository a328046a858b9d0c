//! GIF through the crate `gif`: its first frame, on a screen filled as Pillow fills it.

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, MemoryLimit};

use super::image_file::{Cause, ImageFile, check_ratio};
use super::limits::Limits;
use crate::image::Image;
use crate::memory;

/// Pixels that one byte of LZW can stand for, at most: codes of 12 bits for 4096 pixels.
const LZW_RATIO: u64 = 4096;

/// A GIF whose first frame's header has been read.
pub struct Gif<'a> {
    decoder: Decoder<&'a [u8]>,
    length: usize,
    frame: FirstFrame,
    shape: (u32, u32),
}

/// Where the frame lies, and which colour is transparent.
struct FirstFrame {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
    transparent: Option<u8>,
}

impl<'a> Gif<'a> {
    /// Reads up to the first frame's pixels.
    pub fn open(bytes: &'a [u8], limits: Limits) -> Cause<Self> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        options.check_frame_consistency(false);
        options.set_memory_limit(match limits.max_pixels.try_into() {
            Ok(limit) => MemoryLimit::Bytes(limit),
            Err(_) => MemoryLimit::Unlimited,
        });
        let mut decoder = options.read_info(bytes).map_err(fail)?;
        let frame = match decoder.next_frame_info().map_err(fail)? {
            Some(frame) => FirstFrame {
                left: frame.left.into(),
                top: frame.top.into(),
                width: frame.width.into(),
                height: frame.height.into(),
                transparent: frame.transparent,
            },
            None => return Err("there is no image in the file".into()),
        };
        if frame.width == 0 || frame.height == 0 {
            return Err("its first frame is empty".into());
        }
        // A frame that sticks out enlarges the screen, as in Pillow.
        let height = u32::from(decoder.height()).max(frame.top + frame.height);
        let width = u32::from(decoder.width()).max(frame.left + frame.width);
        Ok(Self { decoder, length: bytes.len(), frame, shape: (height, width) })
    }
}

fn fail(error: DecodingError) -> String {
    match error {
        // The crate does not tell how much it wanted.
        DecodingError::OutOfMemory => memory::none(0),
        error => error.to_string(),
    }
}

impl ImageFile for Gif<'_> {
    fn shape(&self) -> (u32, u32) {
        self.shape
    }

    /// Transparent pixels keep their colour, as Pillow does.
    fn read(mut self: Box<Self>, image: &mut Image) -> Cause<()> {
        let FirstFrame { left, top, width, height, transparent } = self.frame;
        let (left, width) = (left as usize, width as usize);
        check_ratio(self.length, u64::from(height) * width as u64, LZW_RATIO)?;
        let mut indices = memory::zeroed(width * height as usize);
        self.decoder.read_into_buffer(&mut indices).map_err(fail)?;
        let mut colors = [[0; 3]; 256];
        let palette = self.decoder.palette().map_err(fail)?;
        for (color, rgb) in colors.iter_mut().zip(palette.chunks_exact(3)) {
            color.copy_from_slice(rgb);
        }
        image.reshape(self.shape.1, self.shape.0);
        let background = colors[usize::from(transparent.unwrap_or(0))];
        for rgb in image.data.chunks_exact_mut(3) {
            rgb.copy_from_slice(&background);
        }
        let stride = self.shape.1 as usize * 3;
        let rows = image.data.chunks_exact_mut(stride).skip(top as usize);
        for (row, indices) in rows.zip(indices.chunks_exact(width)) {
            for (rgb, &index) in row[left * 3..].chunks_exact_mut(3).zip(indices) {
                rgb.copy_from_slice(&colors[usize::from(index)]);
            }
        }
        Ok(())
    }
}
