//! TIFF, first page, through the crate `tiff`. The image is turned as its orientation tag says;
//! Pillow does so for this format only.

use std::collections::HashSet;
use std::io::Cursor;
use std::mem;
use std::ops::RangeInclusive;

use memchr::memmem;
use tiff::decoder::{self, ChunkType, Decoder};
use tiff::tags::{SampleFormat, Tag};
use tiff::{ColorType, TiffError, TiffResult};

use super::cmyk::to_rgb;
use super::image_file::{Cause, ImageFile};
use super::limits::Limits;
use crate::image::Image;
use crate::memory::{self, Promise};

/// How often the strips or tiles may have the file's bytes. Equal ones may share theirs.
const MAX_SHARING: u64 = 64;

/// The most strips or tiles: each costs microseconds, however few pixels it has.
const MAX_CHUNKS: usize = 1 << 16;

/// The tags that may have a value for each strip, tile or sample.
const LISTS: [Tag; 7] = [
    Tag::StripOffsets,
    Tag::StripByteCounts,
    Tag::TileOffsets,
    Tag::TileByteCounts,
    Tag::BitsPerSample,
    Tag::ExtraSamples,
    Tag::SampleFormat,
];

/// The bytes that the crate takes for a value of a list, at most.
const PER_VALUE: usize = 64;

/// The crate refuses longer lists.
const MAX_VALUES: usize = 8 << 20;

/// What the crate takes for the pixels of the smallest images.
const BUFFER: usize = 512 << 10;

/// A TIFF whose first directory has been read.
pub struct Tiff<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    width: u32,
    height: u32,
    /// The tag's value, 1 to 8.
    orientation: Option<u32>,
    max_pixels: u64,
}

impl<'a> Tiff<'a> {
    /// Reads the first directory.
    pub fn open(bytes: &'a [u8], limits: Limits) -> Cause<Self> {
        check_directory(bytes)?;
        let _promise = Promise::new(values(bytes).saturating_mul(PER_VALUE));
        let open = || -> TiffResult<Self> {
            let mut buffers = decoder::Limits::default();
            // Compressed data is in memory already.
            buffers.intermediate_buffer_size = bytes.len();
            let mut decoder = Decoder::new(Cursor::new(bytes))?.with_limits(buffers);
            let (width, height) = decoder.dimensions()?;
            let orientation = decoder.find_tag_unsigned(Tag::Orientation)?;
            let orientation = orientation.filter(|value| (1..=8).contains(value));
            Ok(Self { decoder, width, height, orientation, max_pixels: limits.max_pixels })
        };
        open().map_err(cause)
    }

    /// The type of the samples. Refuses what the crate does not read, or reads differently from
    /// Pillow.
    fn color(&mut self, planar: bool) -> Cause<ColorType> {
        let photometric = self.tag(Tag::PhotometricInterpretation, 0)?;
        if photometric == 3 {
            return Err(unsupported("a palette is"));
        }
        let color = self.decoder.colortype().map_err(cause)?;
        match color {
            ColorType::Gray(1 | 2 | 4 | 8 | 16)
            | ColorType::Multiband { bit_depth: 8, num_samples: 2 }
            | ColorType::RGB(8 | 16)
            | ColorType::RGBA(8 | 16)
            | ColorType::CMYK(8 | 16) => {}
            _ => return Err(unsupported(&format!("{color:?} is"))),
        }
        let extra = self.decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).map_err(cause)?;
        let format = self.decoder.image_buffer_layout().map_err(cause)?.sample_format;
        let tiled = self.decoder.get_chunk_type() == ChunkType::Tile;
        let compressed = matches!(self.tag(Tag::Compression, 1)?, 5 | 8 | 32946);
        let predicted = self.tag(Tag::Predictor, 1)? != 1;
        let samples = self.tag(Tag::SamplesPerPixel, 1)?;
        let xmp = self.decoder.inner().get_ref();
        let turned = self.orientation.is_none() && memmem::find(xmp, b"tiff:Orientation").is_some();
        let refusals = [
            // What the crate reads wrongly.
            (format != SampleFormat::Uint, "signed or floating samples are"),
            (self.tag(Tag::FillOrder, 1)? != 1, "a reversed order of bits is"),
            (samples != u32::from(color.num_samples()), "samples beyond colour and alpha are"),
            (
                planar && (tiled || color != ColorType::RGB(8)),
                "planes other than of RGB8 in strips are",
            ),
            // What Pillow reads differently: it divides by alpha, does not invert, ignores the
            // predictor and obeys XMP.
            (extra.is_some_and(|extra| extra.first() == Some(&1)), "premultiplied alpha is"),
            (photometric == 0 && color == ColorType::Gray(16), "inverted grey of 16 bits is"),
            (predicted && !compressed, "a predictor without LZW or Deflate is"),
            (turned, "an orientation that stands in XMP only is"),
        ];
        match refusals.into_iter().find(|&(refused, _)| refused) {
            Some((_, what)) => Err(unsupported(what)),
            None => Ok(color),
        }
    }

    /// Refuses a file whose strips or tiles are more work than its length and image justify: they
    /// may all be the same bytes, and tiles may be larger than the image.
    fn check_work(&mut self) -> Cause<()> {
        let (tag, chunk) = match self.decoder.get_chunk_type() {
            ChunkType::Strip => (Tag::StripByteCounts, (1, 1)),
            ChunkType::Tile => (Tag::TileByteCounts, self.decoder.chunk_dimensions()),
        };
        let filled =
            |side: u32, chunk: u32| u64::from(side.div_ceil(chunk.max(1))) * u64::from(chunk);
        let pixels = filled(self.width, chunk.0).saturating_mul(filled(self.height, chunk.1));
        let max_pixels = self.max_pixels.max(Limits::default().max_pixels);
        if pixels > max_pixels {
            return Err(format!("its tiles have {pixels} pixels, more than {max_pixels}"));
        }
        let lengths = self.decoder.find_tag_unsigned_vec::<u64>(tag).map_err(cause)?;
        let lengths = lengths.unwrap_or_default();
        if lengths.len() > MAX_CHUNKS {
            return Err(format!(
                "it has {} strips or tiles, more than {MAX_CHUNKS}",
                lengths.len()
            ));
        }
        let length = self.decoder.inner().get_ref().len() as u64;
        let total: u64 = lengths.iter().map(|&chunk| chunk.min(length)).sum();
        if total > length.saturating_mul(MAX_SHARING) {
            return Err(format!(
                "its strips or tiles have {total} bytes in a file of {length}: they share too many"
            ));
        }
        Ok(())
    }

    fn tag(&mut self, tag: Tag, default: u32) -> Cause<u32> {
        Ok(self.decoder.find_tag_unsigned(tag).map_err(cause)?.unwrap_or(default))
    }
}

impl ImageFile for Tiff<'_> {
    fn shape(&self) -> (u32, u32) {
        match self.orientation {
            Some(5..) => (self.width, self.height),
            _ => (self.height, self.width),
        }
    }

    fn read(mut self: Box<Self>, image: &mut Image) -> Cause<()> {
        let lists = values(self.decoder.inner().get_ref()).saturating_mul(PER_VALUE);
        let promise = Promise::new(lists);
        let planar = self.tag(Tag::PlanarConfiguration, 1)? == 2;
        let color = self.color(planar)?;
        self.check_work()?;
        drop(promise);
        let size = self.decoder.image_buffer_layout().map_err(cause)?.complete_len;
        // A row of a tile, and what LZW and Deflate look back to.
        let row = self.decoder.chunk_dimensions().0 as usize * 8;
        let promise = Promise::new(row.saturating_add(BUFFER));
        let mut samples = memory::zeroed(size);
        self.decoder.read_image_bytes(&mut samples).map_err(cause)?;
        drop(promise);
        image.reshape(self.width, self.height);
        convert(bytes(samples, color, self.width as usize), color, planar, image);
        if let Some(orientation @ 2..) = self.orientation {
            turn(image, orientation);
        }
        Ok(())
    }
}

/// Checks what the crate does not check of the first directory.
///
/// No tag stands there twice: of two values the crate takes the last, libtiff, and so Pillow, the
/// first. And no tag that describes the image has more values than the file has bytes: the crate
/// makes room for them before it reads them.
fn check_directory(bytes: &[u8]) -> Cause<()> {
    /// From `NewSubfileType` to `ReferenceBlackWhite`.
    const OF_THE_IMAGE: RangeInclusive<u16> = 254..=532;

    let mut seen = HashSet::new();
    for (tag, values) in directory(bytes) {
        if !seen.insert(tag) {
            return Err("the directory has a tag twice".into());
        }
        if OF_THE_IMAGE.contains(&tag) && values > bytes.len() {
            return Err(format!("tag {tag} has {values} values, more than the file has bytes"));
        }
    }
    Ok(())
}

/// How many entries the first directory has, and how many values the lists among them.
fn values(bytes: &[u8]) -> usize {
    let list = |tag: u16| LISTS.contains(&Tag::from_u16_exhaustive(tag));
    let values = |(tag, count): (u16, usize)| 1 + if list(tag) { count.min(MAX_VALUES) } else { 0 };
    directory(bytes).map(values).sum()
}

/// The entries of the first directory: tags, and how many values each has.
fn directory(bytes: &[u8]) -> impl Iterator<Item = (u16, usize)> {
    let number = |at: usize, len: usize| -> Option<usize> {
        let digits = bytes.get(at..at.checked_add(len)?)?.iter().map(|&byte| usize::from(byte));
        let add = |number: usize, digit: usize| number << 8 | digit;
        Some(if bytes[0] == b'I' { digits.rev().fold(0, add) } else { digits.fold(0, add) })
    };
    // The sizes of an offset, of the number of entries and of an entry; BigTIFF has longer ones.
    let (start, offset, count, entry) =
        if number(2, 2) == Some(43) { (8, 8, 8, 20) } else { (4, 4, 2, 12) };
    let found = number(start, offset).and_then(|at| Some((number(at, count)?, at + count)));
    let (entries, first) = found.unwrap_or_default();
    (0..entries).map_while(move |index| {
        let at = first + index * entry;
        Some((number(at, 2)? as u16, number(at + 4, offset)?))
    })
}

/// Samples of 8 bits, as Pillow makes them: grey of 16 bits is clipped, colour of 16 bits keeps its
/// high byte, and grey of fewer than 8 bits is widened.
fn bytes(samples: Vec<u8>, color: ColorType, width: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let words = samples.chunks_exact(2).map(|word| u16::from_ne_bytes([word[0], word[1]]));
    match usize::from(color.bit_depth()) {
        8 => samples,
        16 => {
            let clipped = color.num_samples() == 1;
            let byte = |value: u16| if clipped { value.min(255) as u8 } else { (value >> 8) as u8 };
            memory::collect(words.map(byte), &mut out);
            out
        }
        bits => {
            let max = 0xFF >> (8 - bits);
            let value = |row: &[u8], x: usize| row[x / 8] >> (8 - bits - x % 8) & max;
            let widen = |row| (0..width).map(move |x| value(row, x * bits) * (255 / max));
            let rows = samples.chunks_exact((width * bits).div_ceil(8));
            memory::reserve(&mut out, rows.len() * width);
            out.extend(rows.flat_map(widen));
            out
        }
    }
}

/// Samples of 8 bits to RGB.
fn convert(samples: Vec<u8>, color: ColorType, planar: bool, image: &mut Image) {
    let pixels = image.width as usize * image.height as usize;
    let (pixel, channel) = match (color, usize::from(color.num_samples())) {
        (ColorType::CMYK(_), _) => return to_rgb(&samples, &mut image.data),
        (ColorType::RGB(_), 3) if !planar => return image.data.copy_from_slice(&samples),
        (ColorType::RGB(_), _) => (1, pixels),
        (ColorType::RGBA(_), n) => (n, 1),
        (_, n) => (n, 0),
    };
    for (i, rgb) in image.data.chunks_exact_mut(3).enumerate() {
        rgb.copy_from_slice(&[0, channel, 2 * channel].map(|c| samples[i * pixel + c]));
    }
}

/// Turns and mirrors an image by its orientation tag, as Pillow's `ImageOps.exif_transpose`.
fn turn(image: &mut Image, orientation: u32) {
    let (width, height) = (image.width as usize, image.height as usize);
    let pixels = mem::take(&mut image.data);
    let transposed = orientation >= 5;
    if transposed {
        image.reshape(image.height, image.width);
    } else {
        image.reshape(image.width, image.height);
    }
    let columns = image.width as usize;
    for (y, row) in image.data.chunks_exact_mut(3 * columns).enumerate() {
        for (x, rgb) in row.chunks_exact_mut(3).enumerate() {
            let (column, line) = if transposed { (y, x) } else { (x, y) };
            let column =
                if matches!(orientation, 2 | 3 | 7 | 8) { width - 1 - column } else { column };
            let line = if matches!(orientation, 3 | 4 | 6 | 7) { height - 1 - line } else { line };
            rgb.copy_from_slice(&pixels[3 * (line * width + column)..][..3]);
        }
    }
}

fn cause(error: TiffError) -> String {
    match error {
        TiffError::UnsupportedError(error) => unsupported(&format!("{error}: that is")),
        error => error.to_string(),
    }
}

fn unsupported(what: &str) -> String {
    format!("{what} unsupported; convert it to PNG or to an RGB TIFF")
}
