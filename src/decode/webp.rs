//! WebP through the crate `image-webp`. The crate is given still images only. For an
//! animation, that is a file made of its first frame.

use std::borrow::Cow;
use std::io::Cursor;

use image_webp::{UpsamplingMethod, WebPDecodeOptions, WebPDecoder};

use super::image_file::{Cause, ImageFile, drop_alpha};
use super::limits::Limits;
use crate::image::Image;
use crate::memory::{self, Promise};

/// A WebP whose header has been read. Of an animation, its first frame.
pub struct WebP<'a> {
    decoder: WebPDecoder<Cursor<Cow<'a, [u8]>>>,
    length: usize,
    canvas: Option<Canvas>,
}

/// An animation's canvas, and where on it the upper left corner of the first frame lies.
struct Canvas {
    width: u32,
    height: u32,
    x: u32,
    y: u32,
}

impl<'a> WebP<'a> {
    /// Reads the header.
    pub fn open(bytes: &'a [u8], limits: Limits) -> Cause<Self> {
        if !is_complete(bytes) {
            return Err("the file is truncated, or lengths in it are wrong".into());
        }
        let (canvas, still): (_, Cow<[u8]>) = if is_animated(bytes) {
            let frame = first_frame(bytes);
            let (canvas, still) = frame.ok_or("it has no frame")?;
            (Some(canvas), still.into())
        } else {
            (None, with_padding(bytes))
        };
        let length = still.len();
        let mut options = WebPDecodeOptions::default();
        options.lossy_upsampling = UpsamplingMethod::Bilinear;
        let mut decoder = WebPDecoder::new_with_options(Cursor::new(still), options)
            .map_err(|error| error.to_string())?;
        let bytes = limits.max_pixels.saturating_mul(4);
        decoder.set_memory_limit(usize::try_from(bytes).unwrap_or(usize::MAX));
        let (width, height) = decoder.dimensions();
        if canvas.as_ref().is_some_and(|c| c.x + width > c.width || c.y + height > c.height) {
            return Err("the first frame reaches outside the canvas".into());
        }
        Ok(Self { decoder, length, canvas })
    }

    /// Bytes that the crate takes for the still image, at most. The codes of a lossless image can
    /// be made to take more, but not by an encoder.
    fn decoding(&mut self) -> usize {
        let (width, height) = self.decoder.dimensions();
        let pixels = width as usize * height as usize;
        let whole = width.next_multiple_of(16) as usize * height.next_multiple_of(16) as usize;
        // Partitions are read into vectors that are doubled, and copied.
        4 * self.length
            + match (self.decoder.is_lossy(), self.decoder.has_alpha()) {
                // Y, U and V; alpha is a lossless image of which green is taken.
                (true, alpha) => 2 * whole + if alpha { 6 * pixels } else { 0 },
                // Transforms and codes; RGBA of which RGB is taken.
                (false, alpha) => 2 * whole + if alpha { 0 } else { 4 * pixels },
            }
    }

    /// Decodes the still image.
    fn still(&mut self, image: &mut Image) -> Cause<()> {
        let (width, height) = self.decoder.dimensions();
        let _promise = Promise::new(self.decoding());
        image.reshape(width, height);
        if !self.decoder.has_alpha() {
            return self.decoder.read_image(&mut image.data).map_err(|error| error.to_string());
        }
        let mut rgba = memory::zeroed(height as usize * width as usize * 4);
        self.decoder.read_image(&mut rgba).map_err(|error| error.to_string())?;
        drop_alpha(&rgba, image);
        Ok(())
    }
}

impl ImageFile for WebP<'_> {
    fn shape(&self) -> (u32, u32) {
        let (width, height) = match &self.canvas {
            Some(canvas) => (canvas.width, canvas.height),
            None => self.decoder.dimensions(),
        };
        (height, width)
    }

    fn read(mut self: Box<Self>, image: &mut Image) -> Cause<()> {
        let Some(canvas) = self.canvas.take() else { return self.still(image) };
        let mut frame = Image::default();
        self.still(&mut frame)?;
        image.reshape(canvas.width, canvas.height);
        image.data.fill(0);
        let (stride, start) = (canvas.width as usize * 3, canvas.x as usize * 3);
        let rows = image.data.chunks_exact_mut(stride).skip(canvas.y as usize);
        for (row, pixels) in rows.zip(frame.data.chunks_exact(frame.width as usize * 3)) {
            row[start..start + pixels.len()].copy_from_slice(pixels);
        }
        Ok(())
    }
}

/// Whether the chunks, each of an even length, fill the RIFF container and the container is in the
/// file. libwebp, and so Pillow, reads no other file; what follows the container is ignored.
fn is_complete(bytes: &[u8]) -> bool {
    const HEADER: usize = 8;
    let Some(length) = bytes.get(4..8).and_then(|length| length.try_into().ok()) else {
        return false;
    };
    let end = (u32::from_le_bytes(length) as usize).saturating_add(HEADER);
    let mut at = HEADER + b"WEBP".len();
    while at < end {
        let Some(&[_, _, _, _, a, b, c, d]) = bytes.get(at..at + HEADER) else { return false };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        at = at.saturating_add(HEADER + length.saturating_add(length % 2));
    }
    at == end && end <= bytes.len()
}

/// The file with the byte that pads a lossless image to an even length as a part of the image.
/// libwebp takes it for one, and the codes of a damaged image may go on there.
fn with_padding(bytes: &[u8]) -> Cow<'_, [u8]> {
    const HEADER: usize = 8;
    let mut at = HEADER + b"WEBP".len();
    while let Some(&[name @ .., a, b, c, d]) =
        bytes.get(at..).and_then(|rest| rest.first_chunk::<HEADER>())
    {
        let length = u32::from_le_bytes([a, b, c, d]);
        if &name == b"VP8L" && length % 2 == 1 {
            let mut padded = Vec::new();
            memory::copy(bytes, &mut padded);
            padded[at + 4..at + HEADER].copy_from_slice(&(length + 1).to_le_bytes());
            return padded.into();
        }
        at = at.saturating_add(HEADER + (length as usize).saturating_add(length as usize % 2));
    }
    bytes.into()
}

fn is_animated(bytes: &[u8]) -> bool {
    const ANIMATED: u8 = 2;
    let header = Chunks(bytes.get(12..).unwrap_or_default()).next();
    header.is_some_and(|(name, header)| {
        name == b"VP8X" && header.first().is_some_and(|flags| flags & ANIMATED != 0)
    })
}

/// An animation's canvas, and its first frame as a file of its own; `None` if it has no frame.
///
/// Pillow uses libwebp, which copies the first frame to a canvas of zeros and takes its size from
/// its picture (`WebPAnimDecoderGetNext` and `StoreFrame` of libwebp 1.6). The crate would blend
/// the frame, which scales colours by their alpha and back, and it panics if the frame's header
/// gives another size. The file made here has no alpha, which is dropped anyway.
fn first_frame(bytes: &[u8]) -> Option<(Canvas, Vec<u8>)> {
    let number = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 3)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]))
    };
    let mut chunks = Chunks(bytes.get(12..)?);
    let (_, header) = chunks.next()?;
    chunks.find(|&(name, _)| name == b"ANIM")?;
    let (_, frame) = chunks.find(|&(name, _)| name == b"ANMF")?;
    let canvas = Canvas {
        width: number(header, 4)? + 1,
        height: number(header, 7)? + 1,
        x: number(frame, 0)? * 2,
        y: number(frame, 3)? * 2,
    };
    let (name, picture) =
        Chunks(frame.get(16..)?).find(|&(name, _)| name == b"VP8 " || name == b"VP8L")?;
    let len = u32::try_from(picture.len()).ok()?.to_le_bytes();
    let whole = (picture.len() as u32).checked_add(12)?.to_le_bytes();
    let mut file = Vec::new();
    memory::reserve(&mut file, picture.len() + 20);
    for part in [b"RIFF", &whole[..], b"WEBP", name, &len, picture] {
        file.extend_from_slice(part);
    }
    Some((canvas, file))
}

/// The chunks of a RIFF file, as (name, content). A truncated chunk ends where the bytes end.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let len = u32::from_le_bytes(*len) as usize;
        let (content, rest) = rest.split_at(len.min(rest.len()));
        self.0 = rest.get(len % 2..).unwrap_or_default();
        Some((name, content))
    }
}
