//! Packed images: what goes in comes out, and broken ones do no harm.

use proptest::prelude::*;

use super::codec::tests::blocks;
use super::coefficients::{Coefficients, Component};
use super::geometry::{ComponentInfo, Geometry};
use super::image::{HEAD_CHECKSUM, head_checksum};
use super::tiles::Grid;
use super::{HEADER, Packed, pack};
use crate::error::Error;

/// Sampling factors of all components, as files have them.
const SAMPLINGS: [&[(u8, u8)]; 12] = [
    &[(1, 1)],
    &[(2, 2)],
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(2, 2), (2, 1), (1, 2)],
    &[(4, 1), (1, 1), (1, 1)],
    &[(1, 4), (1, 1), (1, 1)],
    &[(4, 2), (1, 1), (1, 1)],
    &[(1, 1), (1, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1), (2, 2)],
];

fn geometry(sampling: &[(u8, u8)], size: (u16, u16)) -> Geometry {
    let component = |(number, &sampling): (usize, &(u8, u8))| ComponentInfo {
        id: number as u8 + 1,
        sampling,
        table: (number % 2) as u8,
    };
    Geometry {
        size,
        jfif: true,
        adobe: (sampling.len() == 4).then_some(2),
        components: sampling.iter().enumerate().map(component).collect(),
        tables: vec![[3; 64], std::array::from_fn(|i| 200 + 4 * i as u16)],
    }
}

/// Coefficients of such an image, from these blocks over and over.
fn coefficients(geometry: &Geometry, blocks: &[[i16; 64]]) -> Coefficients {
    let grid = Grid::new(geometry, 1);
    let mut blocks = blocks.iter().copied().cycle();
    let component = |(index, info): (usize, &ComponentInfo)| {
        let size = grid.component_size(index);
        let blocks = blocks.by_ref().take(size.0 * size.1).collect();
        Component { sampling: info.sampling, size, blocks }
    };
    Coefficients { components: geometry.components.iter().enumerate().map(component).collect() }
}

/// A small image with three components.
fn small() -> Vec<u8> {
    let geometry = geometry(SAMPLINGS[5], (40, 150));
    let blocks: Vec<_> = (0..50).map(|i| std::array::from_fn(|j| (i * j % 7) as i16 - 3)).collect();
    pack(&coefficients(&geometry, &blocks), b"side", &geometry).expect("a packed image")
}

/// The image with the checksum of its head, if it has one.
fn sealed(mut image: Vec<u8>) -> Vec<u8> {
    let length = |at| u32::from_le_bytes(*image[at..].first_chunk().expect("a length")) as usize;
    let head = HEADER.saturating_add(length(16)).saturating_add(length(20));
    if head <= image.len() {
        let checksum = head_checksum(&image[..head]);
        image[HEAD_CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    }
    image
}

fn unpack_all(image: &[u8]) -> Result<(), Error> {
    let packed = Packed::open(image)?;
    let _ = packed.verify();
    let _ = packed.side();
    for simd in Packed::available() {
        let _ = packed.clone().with_simd(simd).coefficients();
    }
    Ok(())
}

#[test]
fn a_geometry_is_checked() {
    let sound = geometry(&[(2, 1), (1, 1)], (9, 9));
    let found = coefficients(&sound, &[[1; 64]]);
    assert!(pack(&found, b"", &sound).is_ok());
    let refused = |change: fn(&mut Geometry), message: &str| {
        let mut geometry = sound.clone();
        change(&mut geometry);
        let error = pack(&found, b"", &geometry).expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    };
    let impossible: [fn(&mut Geometry); 11] = [
        |geometry| geometry.size = (0, 5),
        |geometry| geometry.size = (5, 0),
        |geometry| geometry.tables.clear(),
        |geometry| geometry.tables = vec![[1; 64]; 5],
        |geometry| geometry.components.clear(),
        |geometry| geometry.components = vec![geometry.components[1]; 5],
        |geometry| geometry.components[0].sampling = (5, 1),
        |geometry| geometry.components[1].sampling = (1, 5),
        |geometry| geometry.components[0].sampling = (0, 1),
        |geometry| geometry.components[1].sampling = (1, 0),
        |geometry| geometry.components[1].table = 2,
    ];
    for change in impossible {
        refused(change, "its geometry is impossible");
    }
    refused(|geometry| geometry.components[0].sampling = (4, 3), "more than 10 blocks in an MCU");
    let ten = geometry(&[(4, 2), (1, 1), (1, 1)], (9, 9));
    assert!(pack(&coefficients(&ten, &[[1; 64]]), b"", &ten).is_ok());
}

#[test]
fn coefficients_must_fit_their_geometry() {
    let sound = geometry(&[(2, 1), (1, 1)], (9, 9));
    let found = coefficients(&sound, &[[1; 64]]);
    let others: [fn(&mut Coefficients); 5] = [
        |other| other.components.truncate(1),
        |other| other.components.push(other.components[1].clone()),
        |other| other.components[1].sampling = (2, 1),
        |other| other.components[1].size = (1, 2),
        |other| other.components[1].blocks.truncate(1),
    ];
    for change in others {
        let mut other = found.clone();
        change(&mut other);
        assert!(matches!(pack(&other, b"", &sound), Err(Error::Argument(_))));
    }
}

#[test]
fn tiles_have_the_order_of_mcus() {
    let geometry = geometry(SAMPLINGS[5], (32, 32));
    let mut coefficients = coefficients(&geometry, &[[0; 64]]);
    for (number, component) in coefficients.components.iter_mut().enumerate() {
        for (place, block) in component.blocks.iter_mut().enumerate() {
            block[0] = (100 * number + place) as i16;
        }
    }
    let image = pack(&coefficients, b"", &geometry).expect("a packed image");
    let mut tile = [[0; 64]; 12];
    Packed::open(&image).and_then(|packed| packed.tile(1, 0, &mut tile)).expect("a tile");
    // The second row of MCUs. Luma has four blocks in a row, chroma two.
    let expected = [8, 9, 12, 13, 102, 202, 10, 11, 14, 15, 103, 203];
    assert_eq!(tile.map(|block| block[0]), expected);
}

/// Such an image has the fewest bytes per block, of which a reader demands at least one.
#[test]
fn an_image_of_one_colour_is_kept() {
    for sampling in SAMPLINGS {
        let geometry = geometry(sampling, (300, 500));
        let flat = coefficients(&geometry, &[[0; 64]]);
        let image = pack(&flat, b"", &geometry).expect("a packed image");
        let packed = Packed::open(&image).expect("an image that was just packed");
        assert_eq!(packed.coefficients().expect("coefficients"), flat);
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    let image = small();
    assert!(Packed::open(&image).and_then(|packed| packed.verify()).is_ok());
    for bit in 0..8 * image.len() {
        let mut changed = image.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(Packed::open(&changed).and_then(|packed| packed.verify()).is_err(), "bit {bit}");
    }
}

#[test]
fn every_cut_is_noticed() {
    let image = small();
    for length in 0..image.len() {
        assert!(Packed::open(&image[..length]).is_err(), "{length} bytes");
    }
}

/// Lengths in the header that leave too little for what follows. Its checksum is made right again.
#[test]
fn wrong_lengths_are_refused() {
    let image = small();
    let number = |at: usize| u32::from_le_bytes(*image[at..].first_chunk().expect("a number"));
    let changed = |at: usize, value: u32| {
        let mut image = image.clone();
        image[at..at + 4].copy_from_slice(&value.to_le_bytes());
        sealed(image)
    };
    let [described, directory, compressed] = [number(16), number(20), number(24)];
    let tiles = image.len() as u32 - HEADER as u32 - described - directory - compressed;
    for (at, value, message) in [
        (20, directory - 2, "the length of its directory"),
        (24, compressed + tiles - 1, "it ends too early"),
        (24, compressed + tiles - 33, "it is too short for its blocks"),
        (28, u32::MAX, "the length of its side information"),
        (28, number(28) + 1, "its side information does not inflate"),
    ] {
        let changed = changed(at, value);
        let side = Packed::open(&changed).and_then(|packed| packed.side());
        let error = side.expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn what_this_release_cannot_read_is_refused_by_name() {
    let image = small();
    let refused = |place: usize, value: u8, message: &str| {
        let mut image = image.clone();
        image[place] = value;
        let error = Packed::open(&sealed(image)).expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    };
    refused(7, 0, "version 0 of the format, which only the release that packed it reads: unpack");
    refused(7, 2, "version 2 of the format, this release reads 1: upgrade tied-augment");
    refused(8, 1, "feature 0 of the format, which this release lacks: upgrade tied-augment");
    refused(11, 0x80, "feature 31 of the format");
    refused(HEADER, 0, "the size of its tiles");
    // With 6 blocks per MCU, 42 MCUs are the most that a tile may have.
    refused(HEADER, 43, "the size of its tiles");
    let mut largest = image.clone();
    largest[HEADER] = 42;
    assert!(Packed::open(&sealed(largest)).is_ok());
    refused(HEADER + 1, 0, "codebook 0, which this release lacks: upgrade tied-augment");
    refused(HEADER + 3, 3, "codebook 3");
    refused(HEADER + 4, 1, "codebooks of missing components");
    refused(HEADER + 9, 7, "its geometry is impossible");
    // A transform without an Adobe marker.
    refused(HEADER + 10, 1, "its geometry is impossible");
    refused(HEADER + 22, 2, "the width of a quantisation table");
}

/// Whoever changes these tables changes the format: pack with other ones, of other numbers.
#[test]
fn the_tables_of_version_1_are_unchanged() {
    let tables: [&[u8]; 3] = [
        include_bytes!("codec/codebook/luma.txt"),
        include_bytes!("codec/codebook/chroma.txt"),
        include_bytes!("usual.bin"),
    ];
    assert_eq!(tables.map(crc32fast::hash), [0x837E_B23B, 0x825A_4495, 0xB341_4131]);
}

#[test]
fn a_usual_header_takes_few_bytes() {
    let mut header = include_bytes!("usual.bin").to_vec();
    // Another size, in the frame header.
    header[25..29].copy_from_slice(&[1, 2, 3, 4]);
    let geometry = geometry(SAMPLINGS[5], (40, 150));
    let found = coefficients(&geometry, &[[0; 64]]);
    let with = pack(&found, &header, &geometry).expect("a packed image").len();
    let without = pack(&found, b"", &geometry).expect("a packed image").len();
    assert!(with - without < 40, "{} bytes", with - without);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn images_are_kept(
        sampling in prop::sample::select(&SAMPLINGS[..]),
        size in (1..100u16, 1..300u16),
        blocks in blocks(40),
        side in prop::collection::vec(any::<u8>(), 0..2000),
        repeated in 1..4usize,
    ) {
        let side = side.repeat(repeated);
        let geometry = geometry(sampling, size);
        let coefficients = coefficients(&geometry, &blocks);
        let image = pack(&coefficients, &side, &geometry).unwrap();
        let packed = Packed::open(&image).unwrap();
        prop_assert!(packed.verify().is_ok());
        prop_assert_eq!(packed.geometry(), &geometry);
        prop_assert_eq!(packed.side().unwrap(), side);
        for simd in Packed::available() {
            let unpacked = packed.clone().with_simd(simd).coefficients().unwrap();
            prop_assert_eq!(&unpacked, &coefficients, "{}", simd.name());
        }
    }

    #[test]
    fn broken_images_do_no_harm(
        blocks in blocks(40),
        sampling in prop::sample::select(&SAMPLINGS[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        header in prop::collection::vec((8..HEADER + 40, any::<u8>()), 0..3),
    ) {
        let geometry = geometry(sampling, (50, 130));
        let coefficients = coefficients(&geometry, &blocks);
        let mut image = pack(&coefficients, b"side", &geometry).unwrap();
        let places = changes.into_iter().map(|(place, value)| (place.index(image.len()), value));
        for (place, value) in places.chain(header).collect::<Vec<_>>() {
            if let Some(byte) = image.get_mut(place) {
                *byte = value;
            }
        }
        // An error or other coefficients.
        let _ = unpack_all(&sealed(image));
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(unpack_all(&bytes).is_err());
    }
}
