//! Decoding a region that is drawn from the file's bytes, so that a file of the corpus is a file and
//! nothing else.

use std::hash::{DefaultHasher, Hash, Hasher};

use tied_augment::decode::{Decoder, Limits};
use tied_augment::error::Result;
use tied_augment::image::{Image, Rect};

/// Few, so that a damaged size costs no time.
const MAX_PIXELS: u64 = 1 << 14;

/// Draws a part of 0..`side`: where it starts and its length.
fn part(random: u64, side: u32) -> (i32, u32) {
    let start = random as u32 % side;
    (start as i32, 1 + (random >> 32) as u32 % (side - start))
}

/// A number that these bytes determine.
pub fn number(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// The part of `whole` that `random` stands for.
pub fn drawn(random: u64, whole: Rect) -> Rect {
    let ((x, w), (y, h)) = (part(random, whole.w), part(random.rotate_left(16), whole.h));
    Rect { x, y, w, h }
}

/// An image that has the region that `random` stands for, where it lies, and that region.
pub fn decode(mut decoder: Decoder, bytes: &[u8], random: u64) -> Result<(Image, Rect, Rect)> {
    let mut image = Image::default();
    let opened = decoder.open(bytes, Limits::default().with_max_pixels(MAX_PIXELS))?;
    let (height, width) = opened.shape();
    let wanted = drawn(random, Rect { x: 0, y: 0, w: width, h: height });
    let region = opened.read(&[wanted], &mut image)?;
    Ok((image, region, wanted))
}

/// The pixels of that region.
pub fn pixels((image, decoded, wanted): (Image, Rect, Rect)) -> Vec<u8> {
    let wanted = image.as_ref().crop(wanted.relative_to(decoded.x, decoded.y));
    (0..wanted.height).flat_map(|y| wanted.row(y).to_vec()).collect()
}
