//! Any bytes as a JPEG: our decoder gives libjpeg's pixels, or libjpeg's error.

#![no_main]

mod region;

use libfuzzer_sys::fuzz_target;
use tied_augment::decode::{Decoder, Entropy};

fuzz_target!(|bytes: &[u8]| {
    let random = region::number(bytes);
    let decode = |entropy| region::decode(Decoder::with_entropy(entropy), bytes, random);
    match (decode(Entropy::Own), decode(Entropy::Libjpeg)) {
        (Ok(image), Ok(expected)) => {
            assert!(region::pixels(image) == region::pixels(expected), "the pixels differ");
        }
        (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected.to_string()),
        (ours, libjpeg) => panic!("ours: {ours:?}; libjpeg: {libjpeg:?}"),
    }
});
