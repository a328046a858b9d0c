//! Any bytes as a JPEG that is packed: the packed image has its pixels and gives it back. And any
//! bytes as a packed image.

use tied_augment::decode::{Decoder, Limits};
use tied_augment::error::Error;
use tied_augment::packed::{pack_jpeg, unpack_jpeg};

use super::{region, without_best_instructions};

pub fn check(bytes: &[u8]) {
    let random = region::number(bytes);
    without_best_instructions(random as usize >> 48 & 1);
    let decode = |bytes| region::decode(Decoder::default(), bytes, random);
    let Ok(packed) = pack_jpeg(bytes, Limits::default()) else {
        let _ = (decode(bytes), unpack_jpeg(bytes));
        return;
    };
    assert!(unpack_jpeg(&packed).expect("a packed image") == bytes);
    match (decode(&packed), decode(bytes)) {
        (Ok(image), Ok(expected)) => {
            assert!(region::pixels(image) == region::pixels(expected), "the pixels differ");
        }
        (Err(Error::TooLarge { .. }), Err(Error::TooLarge { .. })) => {}
        (packed, jpeg) => panic!("packed: {packed:?}; JPEG: {jpeg:?}"),
    }
}
