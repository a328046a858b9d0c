//! Files of libjpeg, mozjpeg and another encoder, unusual ones made from them, and damaged ones.

mod damaged;
mod images;
mod libjpeg;
mod refused;
mod unusual;
mod usual;

use jpeg_encoder::{ColorType, Encoder};

use self::libjpeg::Options;
use super::{Parts, Side, take_apart};
use crate::decode::Limits;

/// Pixels with edges and, the rougher, the more noise.
fn pixels(options: &Options, rough: u32) -> Vec<u8> {
    let ((height, width), channels) = (options.size, options.components);
    let mut state = rough.wrapping_add(1);
    let at = |i: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (x, y) = (i / channels % width, i / channels / width);
        let edges = x * 5 + y * 3 * (i % channels) + (x / 9 + y / 7) % 2 * 90;
        (edges as u32 / 2 + (((state >> 24) * (rough % 5)) >> 2)) as u8
    };
    (0..height * width * channels).map(at).collect()
}

/// A file of libjpeg's.
fn file(options: &Options) -> Vec<u8> {
    libjpeg::encode(&pixels(options, 1), options)
}

/// A file of another encoder, which writes no runs of ended blocks. Its sides are whole MCUs: in
/// scans of one component it would also write the blocks that pad an MCU.
fn other_file(set: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let options = Options { size: (64, 96), ..Options::default() };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 85);
    set(&mut encoder);
    encoder.encode(&pixels(&options, 1), 96, 64, ColorType::Rgb).unwrap();
    bytes
}

/// Takes `file` apart and holds the coefficients against libjpeg's, and what is written, with and
/// without a way through bytes, against the file.
fn check(file: &[u8]) -> Parts {
    let parts = take_apart(file, Limits::default()).unwrap();
    let expected = libjpeg::coefficients(file).expect("libjpeg fails, or warns");
    assert!(expected == parts.coefficients, "other coefficients than libjpeg's");
    assert!(parts.write().as_deref() == Ok(file));
    let side = Side::from_bytes(&parts.side.to_bytes()).unwrap();
    assert_eq!(side, parts.side);
    parts
}
