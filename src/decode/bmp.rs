//! BMP through the crate `image`.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::{ColorType, ImageDecoder};

use super::image_file::{Cause, ImageFile, drop_alpha};
use crate::image::Image;

/// A BMP whose header has been read.
pub struct Bmp<'a> {
    decoder: BmpDecoder<Cursor<&'a [u8]>>,
}

impl<'a> Bmp<'a> {
    /// Reads the header and the palette.
    pub fn open(bytes: &'a [u8]) -> Cause<Self> {
        let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
        check(bytes, decoder.get_palette())?;
        Ok(Self { decoder })
    }
}

impl ImageFile for Bmp<'_> {
    fn shape(&self) -> (u32, u32) {
        let (width, height) = self.decoder.dimensions();
        (height, width)
    }

    fn read(self: Box<Self>, image: &mut Image) -> Cause<()> {
        let (height, width) = self.shape();
        image.reshape(width, height);
        if self.decoder.color_type() == ColorType::Rgb8 {
            return self.decoder.read_image(&mut image.data).map_err(|error| error.to_string());
        }
        let mut rgba = vec![0; height as usize * width as usize * 4];
        self.decoder.read_image(&mut rgba).map_err(|error| error.to_string())?;
        drop_alpha(&rgba, image);
        Ok(())
    }
}

/// Refuses what the crate reads differently from Pillow. The crate widens 16 bits by rounding, and
/// fills the pixels that run lengths skip with black; Pillow truncates, and takes the first colour.
fn check(bytes: &[u8], palette: Option<&[[u8; 3]]>) -> Cause<()> {
    const REMEDY: &str = "save it uncompressed with 24 bits per pixel, or as PNG";
    let field = |at: usize| {
        let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
        field.map_or(0, |&field| u32::from_le_bytes(field))
    };
    let (start, header) = (field(10), field(14));
    let (bits, compression, used) = match header {
        12 => (field(24) & 0xFFFF, 0, 0),
        _ => (field(28) & 0xFFFF, field(30), field(46)),
    };
    if !matches!((bits, compression), (1 | 4 | 8 | 24, 0) | (32, 0 | 3)) {
        return Err(format!(
            "{bits} bits per pixel with compression {compression} are unsupported; {REMEDY}"
        ));
    }
    // Pillow guesses another position in both cases.
    if start == 0 || (bits <= 8 && start == 14 + header) {
        return Err(format!("its header does not say where the pixels begin; {REMEDY}"));
    }
    // Pillow ignores a palette of the greys 0, 1, 2... (or of black and white), and then reads grey
    // of 8 bits (or of 1), even if the header says otherwise.
    let count = if used == 0 { 1 << bits.min(8) } else { used };
    let grey = |i: usize| if count == 2 { [255 * i as u8; 3] } else { [i as u8; 3] };
    let mut palette = palette.unwrap_or_default().iter().take(count as usize).enumerate();
    if !matches!((bits, count), (1, 2) | (8, 256) | (24.., _))
        && palette.all(|(i, &c)| c == grey(i))
    {
        return Err(format!("a palette of {count} greys for {bits} bits is unsupported; {REMEDY}"));
    }
    Ok(())
}
