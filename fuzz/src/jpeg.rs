//! Any bytes as a JPEG: our decoder gives libjpeg's pixels, or libjpeg's error.

use tied_augment::decode::{Decoder, Entropy};

use super::{region, without_best_instructions};

pub fn check(bytes: &[u8]) {
    if !bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
        return;
    }
    let random = region::number(bytes);
    without_best_instructions(random as usize >> 48 & 1);
    let decode = |entropy| region::decode(Decoder::with_entropy(entropy), bytes, random);
    match (decode(Entropy::Own), decode(Entropy::Libjpeg)) {
        (Ok(image), Ok(expected)) => {
            assert!(region::pixels(image) == region::pixels(expected), "the pixels differ");
        }
        (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected.to_string()),
        (ours, libjpeg) => panic!("ours: {ours:?}; libjpeg: {libjpeg:?}"),
    }
}
