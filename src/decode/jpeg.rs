//! JPEG: which rows and columns to decode, and when a file counts as truncated.

use super::check_pixels;
use super::cmyk::inverted_to_rgb;
use super::libjpeg::{Decompressor, Failure, OnEnd, Opened};
use crate::error::{Error, Result};
use crate::image::{Image, Rect};

/// Columns decoded beyond a crop on each side: the smooth upsampling of chroma looks one chroma sample
/// to either side, and libjpeg knows none beyond the crop's edge.
const MARGIN: u32 = 4;

/// Decodes JPEG files; what it keeps between them is memory, never what a file said.
#[derive(Debug, Default)]
pub struct Decoder {
    context: Decompressor,
    cmyk: Vec<u8>,
}

impl Decoder {
    /// As [`super::Decoder::decode`].
    pub fn decode(
        &mut self,
        bytes: &[u8],
        max_pixels: u64,
        part: impl FnOnce((u32, u32)) -> Result<Rect>,
        image: &mut Image,
    ) -> Result<Rect> {
        let fail = |failure: Failure| Error::decode("JPEG", failure);
        let mut opened = self.context.open(bytes, OnEnd::EndImage).map_err(fail)?;
        let (height, width) = opened.shape();
        check_pixels((height, width), max_pixels)?;
        let wanted = part((height, width))?;
        let region = read(&mut opened, wanted, &mut self.cmyk, image).map_err(fail)?;
        if !opened.ended_early() {
            return Ok(region);
        }
        // Pillow decides: it wants all pixels, wherever they are missing, and tolerates a missing end
        // marker only if libjpeg does not wait for it.
        drop(opened);
        let mut opened = self.context.open(bytes, OnEnd::Suspend).map_err(fail)?;
        let whole = Rect { x: 0, y: 0, w: width, h: height };
        read(&mut opened, whole, &mut self.cmyk, image).map_err(fail)
    }
}

/// Decodes the rows of `wanted`, and of its columns at least those; returns what was decoded.
fn read(
    opened: &mut Opened<'_>,
    wanted: Rect,
    cmyk: &mut Vec<u8>,
    image: &mut Image,
) -> std::result::Result<Rect, Failure> {
    let (_, width) = opened.shape();
    let left = (wanted.x as u32).saturating_sub(MARGIN);
    let right = (wanted.x as u32 + wanted.w + MARGIN).min(width);
    opened.start()?;
    let (x, columns) = opened.crop(left, right - left)?;
    opened.skip(wanted.y as u32)?;
    image.reshape(columns, wanted.h);
    let stride = columns as usize * 3;
    if opened.is_cmyk() {
        cmyk.resize(columns as usize * 4, 0);
        for row in image.data.chunks_exact_mut(stride) {
            opened.read(cmyk, columns as usize * 4)?;
            if opened.ran_out() {
                break;
            }
            inverted_to_rgb(cmyk, row);
        }
    } else {
        opened.read(&mut image.data, stride)?;
    }
    Ok(Rect { x: x as i32, w: columns, ..wanted })
}
