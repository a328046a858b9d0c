//! JPEG: which rows and columns to decode, by whom, and when a file counts as truncated.
//!
//! A file may end before its image does. Pillow has its own rule for that: it accepts some of these
//! files and refuses others, depending on where the bytes run out. So there are two attempts. The
//! first tells libjpeg that the image ends where the bytes end, and decodes the region only. If the
//! bytes did run out, the second decodes the whole image as Pillow does, and fails where Pillow
//! fails.
//!
//! Our own Huffman decoder takes part in the first attempt only, and not if it would have to judge
//! what a broken file means. If it finds that out halfway, the attempt is made again without it.
//! Where it takes part, most files need libjpeg for their header only ([`by_samples`]).

#[cfg(target_arch = "x86_64")]
mod by_samples;

use super::cmyk::inverted_to_rgb;
use super::coefficients::Coefficients;
use super::huffman::Huffman;
use super::image_file::check_ratio;
use super::libjpeg::{Decompression, Decompressor, LibjpegError, OnEnd};
#[cfg(target_arch = "x86_64")]
use super::samples;
use super::union;
use crate::error::{Error, Result};
use crate::image::{Image, Rect};
use crate::memory;

/// Columns decoded beyond the region on each side. The smooth upsampling of chroma looks one chroma
/// sample to either side, and libjpeg has none beyond the edge of what it decodes.
const MARGIN: u32 = 4;

/// Who decodes the entropy-coded part of JPEG files. Pixels and errors are the same.
///
/// ```
/// use tied_augment::decode::{Decoder, Entropy, Limits};
/// use tied_augment::image::{Image, Rect};
///
/// let mut jpeg = Vec::new();
/// let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
/// encoder.encode(&[128; 60 * 40 * 3], 60, 40, jpeg_encoder::ColorType::Rgb)?;
///
/// let whole = Rect { x: 0, y: 0, w: 60, h: 40 };
/// let pixels = [Entropy::Own, Entropy::Libjpeg].map(|entropy| {
///     let mut image = Image::default();
///     let mut decoder = Decoder::with_entropy(entropy);
///     decoder.open(&jpeg, Limits::default())?.read(&[whole], &mut image).map(|_| image.data)
/// });
/// let [own, libjpeg] = pixels;
/// assert_eq!(own?, libjpeg?);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entropy {
    /// This crate's Huffman decoder, twice as fast as libjpeg's. Progressive files, files with
    /// arithmetic codes and broken files still go to libjpeg's.
    #[default]
    Own,
    /// libjpeg, for all files.
    Libjpeg,
}

/// Decodes JPEG files; keeps memory between them, and nothing that a file said.
#[derive(Debug, Default)]
pub struct JpegDecoder {
    decompressor: Decompressor<Huffman>,
    buffers: Buffers,
    entropy: Entropy,
}

/// Memory that is used again.
#[derive(Debug, Default)]
struct Buffers {
    /// A row of CMYK.
    cmyk: Vec<u8>,
    #[cfg(target_arch = "x86_64")]
    samples: samples::Buffers,
}

impl JpegDecoder {
    /// With a choice of the entropy decoder.
    pub fn new(entropy: Entropy) -> Self {
        Self { entropy, ..Self::default() }
    }

    /// Reads the header of `bytes`.
    pub fn open<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Jpeg<'a>> {
        let Self { decompressor, buffers, entropy } = self;
        let file = decompressor.open(bytes, OnEnd::EndImage).map_err(failed)?;
        Ok(Jpeg { file, buffers, entropy: *entropy })
    }
}

/// A JPEG whose header has been read.
pub struct Jpeg<'a> {
    file: Decompression<'a, Huffman>,
    buffers: &'a mut Buffers,
    entropy: Entropy,
}

impl Jpeg<'_> {
    /// Height and width in pixels.
    pub fn shape(&self) -> (u32, u32) {
        self.file.shape()
    }

    /// As [`super::Opened::read`].
    pub fn read(mut self, parts: &[Rect], image: &mut Image) -> Result<Rect> {
        // With an end marker too early, Pillow would make the rest of the image up.
        check_ratio(self.file.length(), self.file.least_bits(), u64::from(u8::BITS))
            .map_err(|cause| Error::decode("JPEG", cause))?;
        let mut decoded = self.attempt(parts, image, self.entropy);
        if self.file.coefficients_failed() {
            self.file.reopen(OnEnd::EndImage).map_err(failed)?;
            decoded = self.attempt(parts, image, Entropy::Libjpeg);
        }
        let decoded = decoded.map_err(failed)?;
        if !self.file.ended_early() {
            return Ok(decoded);
        }
        // Pillow wants all pixels, and accepts a missing end marker only where libjpeg does not
        // wait for it.
        let (height, width) = self.shape();
        self.file.reopen(OnEnd::Suspend).map_err(failed)?;
        let whole = Rect { x: 0, y: 0, w: width, h: height };
        self.attempt(&[whole], image, Entropy::Libjpeg).map_err(failed)
    }

    /// Decodes at least `parts` from the start.
    fn attempt(
        &mut self,
        parts: &[Rect],
        image: &mut Image,
        entropy: Entropy,
    ) -> std::result::Result<Rect, LibjpegError> {
        self.file.start()?;
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
        let own = entropy == Entropy::Own && self.file.use_own_coefficients();
        #[cfg(target_arch = "x86_64")]
        if own {
            let buffers = &mut self.buffers.samples;
            if let Some(decoded) = by_samples::read(&mut self.file, parts, buffers, image) {
                return decoded;
            }
        }
        rows(&mut self.file, &mut self.buffers.cmyk, union(parts), image)
    }
}

/// Decodes the rows of `region` with at least its columns. Decoding has just started. Returns what
/// was decoded. `cmyk` is for a row of CMYK.
pub fn rows<S: Coefficients>(
    file: &mut Decompression<'_, S>,
    cmyk: &mut Vec<u8>,
    region: Rect,
    image: &mut Image,
) -> std::result::Result<Rect, LibjpegError> {
    let (_, width) = file.shape();
    let left = (region.x as u32).saturating_sub(MARGIN);
    let right = (region.x as u32 + region.w + MARGIN).min(width);
    let (x, columns) = file.crop(left, right - left)?;
    file.skip(region.y as u32)?;
    image.reshape(columns, region.h);
    let stride = columns as usize * 3;
    if file.is_cmyk() {
        memory::resize(cmyk, columns as usize * 4, 0);
        for row in image.data.chunks_exact_mut(stride) {
            file.read(cmyk, columns as usize * 4)?;
            if file.ran_out() {
                break;
            }
            inverted_to_rgb(cmyk, row);
        }
    } else {
        file.read(&mut image.data, stride)?;
    }
    Ok(Rect { x: x as i32, w: columns, ..region })
}

fn failed(error: LibjpegError) -> Error {
    Error::decode("JPEG", error)
}
