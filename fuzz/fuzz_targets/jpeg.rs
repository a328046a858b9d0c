//! Any bytes as a JPEG: our Huffman decoder gives libjpeg's pixels, or libjpeg's error.
//!
//! The region is drawn from the bytes, so that a file of the corpus is a file and nothing else.

#![no_main]

use std::hash::{DefaultHasher, Hash, Hasher};

use libfuzzer_sys::fuzz_target;
use tied_augment::decode::{Decoder, Entropy, Limits};
use tied_augment::error::Result;
use tied_augment::image::{Image, Rect};

/// Few, so that a damaged size costs no time.
const MAX_PIXELS: u64 = 1 << 20;

/// Draws a part of 0..`side`: where it starts and its length.
fn part(random: u64, side: u32) -> (i32, u32) {
    let start = random as u32 % side;
    (start as i32, 1 + (random >> 32) as u32 % (side - start))
}

fn decode(entropy: Entropy, bytes: &[u8]) -> Result<(Image, Rect)> {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let random = hasher.finish();
    let (mut decoder, mut image) = (Decoder::with_entropy(entropy), Image::default());
    let opened = decoder.open(bytes, Limits::default().with_max_pixels(MAX_PIXELS))?;
    let (height, width) = opened.shape();
    let ((x, w), (y, h)) = (part(random, width), part(random.rotate_left(16), height));
    let region = opened.read(Rect { x, y, w, h }, &mut image)?;
    Ok((image, region))
}

fuzz_target!(|bytes: &[u8]| {
    let libjpeg = decode(Entropy::Libjpeg, bytes);
    match (decode(Entropy::Own, bytes), libjpeg) {
        (Ok((image, region)), Ok((expected, expected_region))) => {
            assert_eq!(region, expected_region);
            assert!(image.data == expected.data, "the pixels differ");
        }
        (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected.to_string()),
        (ours, libjpeg) => panic!("ours: {ours:?}; libjpeg: {libjpeg:?}"),
    }
});
