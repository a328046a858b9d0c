//! The decoders through the core's public API: partial decoding, and damaged files.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;
use tied_augment::decode::{Decoder, Limits};
use tied_augment::error::{Error, Result};
use tied_augment::image::{Image, Rect};

const SAMPLINGS: [SamplingFactor; 8] = [
    SamplingFactor::R_4_4_4,
    SamplingFactor::R_4_4_0,
    SamplingFactor::R_4_4_1,
    SamplingFactor::R_4_2_2,
    SamplingFactor::R_4_2_0,
    SamplingFactor::R_4_2_1,
    SamplingFactor::R_4_1_1,
    SamplingFactor::R_4_1_0,
];

/// Pixels with edges in both directions and some noise.
fn pixels(width: u16, height: u16, channels: usize) -> Vec<u8> {
    let (width, height) = (usize::from(width), usize::from(height));
    let mut state = 1u32;
    let at = |i: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (x, y) = (i / channels % width, i / channels / width);
        (x * 5 + y * 3 * (i % channels) + (x / 9 + y / 7) % 2 * 90 + (state >> 27) as usize) as u8
    };
    (0..width * height * channels).map(at).collect()
}

fn jpeg(
    width: u16,
    height: u16,
    color: ColorType,
    set: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 85);
    set(&mut encoder);
    let channels = match color {
        ColorType::Luma => 1,
        ColorType::Cmyk | ColorType::CmykAsYcck => 4,
        _ => 3,
    };
    encoder.encode(&pixels(width, height, channels), width, height, color).unwrap();
    bytes
}

fn whole((height, width): (u32, u32)) -> Rect {
    Rect { x: 0, y: 0, w: width, h: height }
}

fn decode(decoder: &mut Decoder, bytes: &[u8], part: Option<Rect>) -> Result<(Image, Rect)> {
    let mut image = Image::default();
    let opened = decoder.open(bytes, Limits::default())?;
    let part = part.unwrap_or(whole(opened.shape()));
    let region = opened.read(&[part], &mut image)?;
    Ok((image, region))
}

fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (width, height) in [(97, 61), (64, 48), (33, 130)] {
        for progressive in [false, true] {
            for restarts in [0, 3] {
                for sampling in SAMPLINGS {
                    let set = |encoder: &mut Encoder<&mut Vec<u8>>| {
                        encoder.set_sampling_factor(sampling);
                        encoder.set_progressive(progressive);
                        encoder.set_restart_interval(restarts);
                    };
                    let name = format!("{sampling:?} {width}x{height} {progressive} {restarts}");
                    files.push((name, jpeg(width, height, ColorType::Rgb, set)));
                }
            }
            for color in [ColorType::Luma, ColorType::Cmyk, ColorType::CmykAsYcck] {
                let set =
                    |encoder: &mut Encoder<&mut Vec<u8>>| encoder.set_progressive(progressive);
                let name = format!("{color:?} {width}x{height} {progressive}");
                files.push((name, jpeg(width, height, color, set)));
            }
        }
    }
    files
}

#[test]
fn part_of_a_jpeg_equals_the_whole() {
    let mut decoder = Decoder::default();
    let mut state = 7u32;
    let mut draw = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for (name, bytes) in files() {
        let (whole, _) = decode(&mut decoder, &bytes, None).unwrap();
        for _ in 0..40 {
            let (w, h) = (1 + draw(whole.width), 1 + draw(whole.height));
            let (x, y) = (draw(whole.width - w + 1) as i32, draw(whole.height - h + 1) as i32);
            let part = Rect { x, y, w, h };
            let (image, region) = decode(&mut decoder, &bytes, Some(part)).unwrap();
            assert_eq!((region.w, region.h), (image.width, image.height));
            assert_eq!(region.union(part), region, "{name}: {part:?} is not in {region:?}");
            let got = image.as_ref().crop(part.relative_to(region.x, region.y));
            let expected = whole.as_ref().crop(part);
            for row in 0..h {
                assert_eq!(got.row(row), expected.row(row), "{name}: row {row} of {part:?}");
            }
        }
    }
}

/// The first bytes of every format, so that noise after them is recognised as that format.
const MAGICS: [&[u8]; 10] = [
    b"",
    b"\xFF\xD8\xFF",
    b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10",
    b"GIF89a\x10\0\x10\0",
    b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x10\0\0\0\x10\0\0\0\x01\0",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"RIFF\0\0\x01\0WEBPVP8 \0\0\x01\0",
    b"RIFF\0\0\x01\0WEBPVP8L\0\0\x01\0\x2F",
    b"RIFF\0\0\x01\0WEBPVP8X\x0A\0\0\0",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn noise_never_panics(
        magic in prop::sample::select(&MAGICS[..]),
        noise in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let bytes = [magic, &noise].concat();
        let mut image = Image::default();
        let limits = Limits::default().with_max_pixels(1 << 20);
        if let Ok(opened) = Decoder::default().open(&bytes, limits) {
            let part = whole(opened.shape());
            let _ = opened.read(&[part], &mut image);
        }
    }

    #[test]
    fn damaged_jpeg_never_panics(
        progressive: bool,
        cut in 0usize..3000,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let set = |encoder: &mut Encoder<&mut Vec<u8>>| encoder.set_progressive(progressive);
        let mut bytes = jpeg(50, 40, ColorType::Rgb, set);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.max(1));
        let mut image = Image::default();
        let limits = Limits::default().with_max_pixels(1 << 20);
        let mut decoder = Decoder::default();
        if let Ok(opened) = decoder.open(&bytes, limits) {
            let (h, w) = opened.shape();
            let (x, y) = (w as i32 / 3, h as i32 / 3);
            let part = Rect { x, y, w: w.div_ceil(3), h: h.div_ceil(3) };
            let _ = opened.read(&[part], &mut image);
        }
        // Nothing of the damaged file is left.
        let good = jpeg(50, 40, ColorType::Rgb, set);
        let (expected, _) = decode(&mut Decoder::default(), &good, None).unwrap();
        let (got, _) = decode(&mut decoder, &good, None).unwrap();
        prop_assert_eq!(expected, got);
    }
}

#[test]
fn an_image_beyond_the_limit_is_refused_before_it_is_read() {
    let bytes = jpeg(50, 40, ColorType::Rgb, |_| {});
    let mut decoder = Decoder::default();
    let limits = Limits::default().with_max_pixels(1999);
    let refused = decoder.open(&bytes, limits).map(|opened| opened.shape());
    assert!(matches!(refused, Err(Error::TooLarge { width: 50, height: 40, limit: 1999 })));
    assert!(decoder.open(&bytes, limits.with_max_pixels(2000)).is_ok());
}
