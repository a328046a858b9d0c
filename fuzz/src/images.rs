//! Any bytes as an image of any format but JPEG: a decoder that is used again gives the pixels of a
//! new one, or its error, and a file costs no more memory than docs/reliability.md says.

use tied_augment::decode::{Decoder, Limits};
use tied_augment::error::{Error, Result};
use tied_augment::image::{Image, Rect};

use super::{allocations, region};

const MAX_PIXELS: u64 = 1 << 14;
/// Of TIFF, which takes the most.
const BYTES_PER_PIXEL: usize = 12;
/// For what is needed at any size: tables, a decoder's window, and 1 MiB that must be left free, which
/// is asked for and given back.
const FIXED_BYTES: usize = 2 << 20;
/// A partition of a lossy WebP gets memory for its length, of 24 bits, before that is checked.
const PARTITION_BYTES: usize = 1 << 24;

pub fn check(bytes: &[u8]) {
    if bytes.starts_with(&[0xFF, 0xD8]) {
        return;
    }
    let mut decoder = Decoder::default();
    let mut image = Image { width: 1, height: 1, data: vec![7; 3] };
    let (whole, most) = allocations::most(|| decode(&mut decoder, bytes, None, &mut image));
    let pixels = whole.as_ref().map_or(0, |whole| whole.w as usize * whole.h as usize);
    // A file that is damaged may have got the memory for the image that it promised.
    let pixels = if whole.is_err() { MAX_PIXELS as usize } else { pixels };
    let fixed = if bytes.starts_with(b"RIFF") { PARTITION_BYTES } else { 0 } + FIXED_BYTES;
    let allowed = fixed + 64 * bytes.len() + BYTES_PER_PIXEL * pixels;
    assert!(most <= allowed, "{most} bytes for {pixels} pixels of {} bytes", bytes.len());

    let expected = image.clone();
    let part = whole.as_ref().ok().map(|whole| region::drawn(region::number(bytes), *whole));
    match (whole, decode(&mut decoder, bytes, part, &mut image)) {
        (Ok(whole), Ok(decoded)) => {
            assert_eq!((whole.x, whole.y, whole.w, whole.h), (0, 0, image.width, image.height));
            assert_eq!(image.data.len(), 3 * whole.w as usize * whole.h as usize);
            let part = part.expect("drawn for every image");
            let pixels = region::pixels((image, decoded, part));
            assert!(pixels == region::pixels((expected, whole, part)), "the pixels differ");
        }
        (Err(error), Err(again)) => {
            assert_eq!(error.to_string(), again.to_string());
            let known = matches!(
                error,
                Error::Decode { .. } | Error::Unidentified(_) | Error::TooLarge { .. }
            );
            assert!(known, "{error:?}");
        }
        (first, second) => panic!("first: {first:?}; then: {second:?}"),
    }
}

/// Decodes `part`, or the whole image, into `image`. Says where that lies.
fn decode(
    decoder: &mut Decoder,
    bytes: &[u8],
    part: Option<Rect>,
    image: &mut Image,
) -> Result<Rect> {
    let opened = decoder.open(bytes, Limits::default().with_max_pixels(MAX_PIXELS))?;
    let (height, width) = opened.shape();
    opened.read(&[part.unwrap_or(Rect { x: 0, y: 0, w: width, h: height })], image)
}
