//! Whole packed images: the pixels and the bytes of the file.

use proptest::prelude::*;
use proptest::sample::Index;

use super::libjpeg::{Options, encode};
use super::usual::options;
use super::{file, pixels};
use crate::decode::{Decoder, Limits};
use crate::error::{Error, Result};
use crate::image::{Image, Rect};
use crate::packed::{Unpackable, pack_jpeg, unpack_jpeg};

/// The pixels of a region, decoded with others of the image or alone.
fn decoded(file: &[u8], region: Rect) -> Result<Vec<u8>> {
    let mut image = Image::default();
    let mut decoder = Decoder::default();
    let place = decoder.open(file, Limits::default())?.read(&[region], &mut image)?;
    let pixels = image.as_ref().crop(region.relative_to(place.x, place.y));
    Ok((0..region.h).flat_map(|y| pixels.row(y).to_vec()).collect())
}

/// Two numbers below `end`, as the first one and how many from there to the second.
fn range(ends: (Index, Index), end: u32) -> (i32, u32) {
    let (a, b) = (ends.0.index(end as usize) as u32, ends.1.index(end as usize) as u32);
    (a.min(b) as i32, a.abs_diff(b) + 1)
}

fn region((rows, columns): ((Index, Index), (Index, Index)), options: &Options) -> Rect {
    let (y, h) = range(rows, options.size.0 as u32);
    let (x, w) = range(columns, options.size.1 as u32);
    Rect { x, y, w, h }
}

fn whole(options: &Options) -> Rect {
    Rect { x: 0, y: 0, w: options.size.1 as u32, h: options.size.0 as u32 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn regions_and_bytes_are_those_of_the_file(
        options in options(),
        rough in 0u32..1000,
        regions in prop::collection::vec(any::<((Index, Index), (Index, Index))>(), 1..6),
    ) {
        let file = encode(&pixels(&options, rough), &options);
        let image = pack_jpeg(&file, Limits::default()).unwrap();
        prop_assert!(unpack_jpeg(&image).unwrap() == file);
        let regions = regions.into_iter().map(|ends| region(ends, &options));
        for region in regions.chain([whole(&options)]) {
            let expected = decoded(&file, region).unwrap();
            let pixels = decoded(&image, region).unwrap();
            prop_assert!(pixels == expected, "{:?} of {:?}", region, options);
        }
    }

    #[test]
    fn changed_images_do_no_harm(
        options in options(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        headers in prop::collection::vec((8usize..60, any::<u8>()), 0..3),
    ) {
        let mut image = pack_jpeg(&file(&options), Limits::default()).unwrap();
        let length = image.len();
        let changes = changes.into_iter().map(|(at, value)| (at.index(length), value));
        for (at, value) in changes.chain(headers) {
            image[at] = value;
        }
        let limits = Limits::default().with_max_pixels(1 << 20);
        let mut decoder = Decoder::default();
        if let Ok(opened) = decoder.open(&image, limits) {
            let (height, width) = opened.shape();
            let whole = Rect { x: 0, y: 0, w: width, h: height };
            match opened.read(&[whole], &mut Image::default()) {
                Ok(_) | Err(Error::Decode { .. }) => {}
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
        let _ = unpack_jpeg(&image);
    }
}

#[test]
fn a_broken_tile_is_noticed_where_it_is_looked_at() {
    let options = Options { size: (64, 300), ..Options::default() };
    let mut image = pack_jpeg(&file(&options), Limits::default()).unwrap();
    // The zeros after the last tile, and the tile's exceptions or escapes before them.
    let end = image.len() - 32;
    image[end - 60..end].fill(0xFF);
    let top = Rect { x: 0, y: 0, w: 300, h: 20 };
    assert!(decoded(&image, top).is_ok());
    let error = decoded(&image, whole(&options)).unwrap_err().to_string();
    assert!(error.starts_with("cannot decode packed image: "), "{error}");
    let error = unpack_jpeg(&image).unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
}

#[test]
fn components_that_do_not_fit_into_one_scan() {
    // Twelve blocks in an MCU: 2 x 2 of each component.
    let scans = (0..3).map(|component| (vec![component], [0, 63, 0, 0])).collect();
    let sampling = (1, 1);
    let mut file = file(&Options { size: (16, 16), sampling, scans, ..Options::default() });
    let frame = file.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    for component in 0..3 {
        file[frame + 11 + 3 * component] = 0x22;
    }
    assert_eq!(pack_jpeg(&file, Limits::default()), Err(Unpackable::LargeMcus));
}
