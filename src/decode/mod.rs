//! Bytes of an image file to RGB8, equal to Pillow's `Image.open(...).convert('RGB')`.
//!
//! Decoding has two steps, so that a plan can be drawn between them:
//!
//! 1. [`Decoder::open`] reads the header. It decodes no pixels. Now the shape is known.
//! 2. [`Opened::read`] decodes at least the parts that are asked for, and says which region it
//!    decoded.
//!
//! ```text
//! bytes ──open──▶ Opened ──shape──▶ plans ──parts──▶ read ──▶ Image, and where in the file's
//!                                                             image it lies
//! ```
//!
//! JPEG headers are read by libjpeg-turbo, which Pillow uses as well. The Huffman codes of most files
//! are decoded by this crate, in half of libjpeg's time ([`Entropy`]). On x86-64 this crate makes
//! pixels of most coefficients as well, bit for bit as libjpeg, which does the rest. Little more than
//! the parts is decoded. Rows above them must still be entropy-decoded, so one read of two crops is
//! cheaper than two reads. Packed images ([`crate::packed`]) have the coefficients of a JPEG file
//! without that. The other formats are decoded whole, BMP by this crate and the rest by one crate each.
//! Where the pixels would not be Pillow's, the file is refused.
//!
//! A damaged file never panics: libjpeg's fatal errors and the crates' panics become
//! [`Error::Decode`]. A [`Decoder`] keeps memory from one file to the next, but nothing that a file
//! said.
//!
//! To add a format, implement `ImageFile` in a file of its own and add a line to [`Decoder::open`].
//!
//! ```
//! use tied_augment::decode::{Decoder, Limits};
//! use tied_augment::image::{Image, Rect};
//!
//! let mut jpeg = Vec::new();
//! let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
//! encoder.encode(&[128; 60 * 40 * 3], 60, 40, jpeg_encoder::ColorType::Rgb)?;
//!
//! let mut decoder = Decoder::default();
//! let mut image = Image::default();
//! let opened = decoder.open(&jpeg, Limits::default())?;
//! assert_eq!(opened.shape(), (40, 60));
//! let wanted = Rect { x: 20, y: 10, w: 30, h: 20 };
//! let decoded = opened.read(&[wanted], &mut image)?;
//! // At least what was wanted.
//! let pixels = image.as_ref().crop(wanted.relative_to(decoded.x, decoded.y));
//! assert_eq!(pixels.row(0)[..3], [128; 3]);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod bmp;
mod cmyk;
mod coefficients;
mod gif;
mod huffman;
mod image_file;
mod jpeg;
mod libjpeg;
mod limits;
mod packed;
mod png;
#[cfg(target_arch = "x86_64")]
mod samples;
mod tiff;
mod webp;

#[cfg(feature = "python")]
pub(crate) use image_file::panic_is_the_files;
pub use jpeg::Entropy;
#[cfg(feature = "python")]
pub(crate) use libjpeg::simd as jpeg_simd;
pub use limits::Limits;

use self::bmp::Bmp;
use self::gif::Gif;
use self::image_file::{Cause, ImageFile, contained};
use self::jpeg::{Jpeg, JpegDecoder};
use self::packed::{PackedDecoder, PackedImage};
use self::png::Png;
use self::tiff::Tiff;
use self::webp::WebP;
use crate::error::{Error, Result};
use crate::image::{Image, Rect};
use crate::packed::MAGIC;

/// Decodes images; reuses its memory between them.
#[derive(Debug, Default)]
pub struct Decoder {
    jpeg: JpegDecoder,
    packed: PackedDecoder,
}

impl Decoder {
    /// A decoder with a choice of who decodes the entropy-coded part of JPEG files.
    #[must_use]
    pub fn with_entropy(entropy: Entropy) -> Self {
        Self { jpeg: JpegDecoder::new(entropy), packed: PackedDecoder::default() }
    }

    /// Reads the header of the file whose content is `bytes`.
    ///
    /// # Errors
    /// [`Error::Unidentified`], [`Error::Decode`], or [`Error::TooLarge`] beyond `limits`.
    pub fn open<'a>(&'a mut self, bytes: &'a [u8], limits: Limits) -> Result<Opened<'a>> {
        let file = match bytes {
            [0xFF, 0xD8, 0xFF, ..] => File::Jpeg(self.jpeg.open(bytes)?),
            [b'B', b'M', ..] => whole("BMP", || Bmp::open(bytes))?,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => {
                whole("GIF", || Gif::open(bytes, limits))?
            }
            [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => {
                whole("PNG", || Png::open(bytes))?
            }
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => {
                whole("TIFF", || Tiff::open(bytes, limits))?
            }
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
                whole("WebP", || WebP::open(bytes, limits))?
            }
            _ if bytes.starts_with(&MAGIC) => File::Packed(self.packed.open(bytes)?.into()),
            [] => return Err(Error::Unidentified("the file is empty".into())),
            _ => {
                let (n, start) = (bytes.len(), bytes[..bytes.len().min(16)].escape_ascii());
                return Err(Error::Unidentified(format!("{n} bytes that begin with '{start}'")));
            }
        };
        let opened = Opened { file };
        let (height, width) = opened.shape();
        if width == 0 || height == 0 {
            return Err(Error::decode("the image", format!("its size is {width} x {height}")));
        }
        if u64::from(width) * u64::from(height) > limits.max_pixels {
            return Err(Error::TooLarge { width, height, limit: limits.max_pixels });
        }
        Ok(opened)
    }
}

/// An image whose header has been read.
pub struct Opened<'a> {
    file: File<'a>,
}

enum File<'a> {
    /// Not boxed: opening a JPEG allocates nothing of ours.
    Jpeg(Jpeg<'a>),
    Packed(Box<PackedImage<'a>>),
    /// A file of a format that is decoded whole.
    Whole {
        format: &'static str,
        file: Box<dyn ImageFile + 'a>,
    },
}

/// The smallest region that has all `parts`, of which there must be one.
fn union(parts: &[Rect]) -> Rect {
    parts.iter().copied().reduce(Rect::union).expect("a part of the image")
}

fn whole<'a, T: ImageFile + 'a>(
    format: &'static str,
    open: impl FnOnce() -> Cause<T>,
) -> Result<File<'a>> {
    Ok(File::Whole { format, file: Box::new(contained(format, open)?) })
}

impl Opened<'_> {
    /// Height and width in pixels.
    #[must_use]
    pub fn shape(&self) -> (u32, u32) {
        match &self.file {
            File::Jpeg(jpeg) => jpeg.shape(),
            File::Packed(packed) => packed.shape(),
            File::Whole { file, .. } => file.shape(),
        }
    }

    /// Decodes at least the pixels of `parts` into `image`; returns where `image` lies in the
    /// file's. The pixels between the parts may be anything.
    ///
    /// # Errors
    /// [`Error::Decode`].
    ///
    /// # Panics
    /// If there are no parts, or one reaches outside the image.
    pub fn read(self, parts: &[Rect], image: &mut Image) -> Result<Rect> {
        let (height, width) = self.shape();
        for part in parts {
            let inside = part.clip(width, height) == Some(*part);
            assert!(inside, "{part:?} reaches outside {width} x {height}");
        }
        match self.file {
            File::Jpeg(jpeg) => jpeg.read(parts, image),
            File::Packed(packed) => packed.read(parts, image),
            File::Whole { format, file } => {
                contained(format, || file.read(image))?;
                Ok(Rect { x: 0, y: 0, w: width, h: height })
            }
        }
    }
}
