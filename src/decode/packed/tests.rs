//! Pixels of samples against those that libjpeg makes of the same coefficients.

use proptest::prelude::*;

use super::by_libjpeg;
use super::by_samples::{images, read};
use crate::decode::samples::{Buffers, ISAS, Images};
use crate::image::{Image, Rect};
use crate::packed::coefficients::{Coefficients, Component};
use crate::packed::geometry::{ComponentInfo, Geometry};
use crate::packed::{Packed, pack};
use crate::simd::{Isa, Simd};

/// Sampling factors of luma.
const LUMA: [(u8, u8); 3] = [(1, 1), (2, 1), (2, 2)];

fn geometry(luma: (u8, u8), size: (u16, u16), tables: Vec<[u16; 64]>) -> Geometry {
    let component = |(id, sampling, table)| ComponentInfo { id, sampling, table };
    let components = [(1, luma, 0), (2, (1, 1), 1), (3, (1, 1), 1)].map(component).to_vec();
    Geometry { size, jfif: true, adobe: None, components, tables }
}

/// The same of a grey image, whose MCUs are blocks.
fn grey(luma: (u8, u8), size: (u16, u16), tables: Vec<[u16; 64]>) -> Geometry {
    let mut geometry = geometry(luma, size, tables);
    geometry.components.truncate(1);
    geometry
}

/// Coefficients of such an image, from these blocks over and over.
fn coefficients(geometry: &Geometry, blocks: &[[i16; 64]]) -> Coefficients {
    let highest = usize::from(geometry.components[0].sampling.1);
    let widest = usize::from(geometry.components[0].sampling.0);
    let mut blocks = blocks.iter().copied().cycle();
    let component = |info: &ComponentInfo| {
        let (h, v) = (usize::from(info.sampling.0), usize::from(info.sampling.1));
        let mcus = |side: u16, factor: usize| usize::from(side).div_ceil(8 * factor);
        let size = (mcus(geometry.size.0, highest) * v, mcus(geometry.size.1, widest) * h);
        let blocks = blocks.by_ref().take(size.0 * size.1).collect();
        Component { sampling: info.sampling, size, blocks }
    };
    Coefficients { components: geometry.components.iter().map(component).collect() }
}

/// The pixels of `part` by libjpeg, and by samples with each instruction set, whatever other parts
/// are wanted.
fn assert_same(geometry: &Geometry, blocks: &[[i16; 64]], parts: &[Rect]) {
    let image = pack(&coefficients(geometry, blocks), b"", geometry).expect("a packed image");
    let packed = Packed::open(&image).expect("what was packed");
    let (height, width) = (geometry.size.0.into(), geometry.size.1.into());
    let whole = Rect { x: 0, y: 0, w: width, h: height };
    let mut expected = Image::default();
    by_libjpeg::read(&packed, whole, &mut expected).expect("pixels");
    let usual = images(geometry);
    let mut buffers = Buffers::default();
    for simd in Simd::available(ISAS).filter(|simd| simd.isa() != Isa::Portable) {
        let Some(usual) = usual else { continue };
        let mut got = Image::default();
        let images = Images { simd, ..usual };
        let region = read(images, &packed, parts, &mut buffers, &mut got).expect("pixels");
        for part in parts {
            let ours = got.as_ref().crop(part.relative_to(region.x, region.y));
            let theirs = expected.as_ref().crop(*part);
            for y in 0..part.h {
                assert_eq!(ours.row(y), theirs.row(y), "{}: row {y} of {part:?}", simd.name());
            }
        }
    }
}

fn part() -> impl Strategy<Value = [f64; 4]> {
    [0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0]
}

/// A box in an image from shares of its sides.
fn placed([x, y, w, h]: [f64; 4], (height, width): (u16, u16)) -> Rect {
    let place = |at: f64, length: f64, side: u16| {
        let at = (at * f64::from(side)) as u32;
        (at, 1 + (length * f64::from(u32::from(side) - at)) as u32)
    };
    let ((x, w), (y, h)) = (place(x, w, width), place(y, h, height));
    let (w, h) = (w.min(u32::from(width) - x), h.min(u32::from(height) - y));
    Rect { x: x as i32, y: y as i32, w, h }
}

/// Blocks as of photographs, of single coefficients and of any numbers.
fn blocks() -> impl Strategy<Value = Vec<[i16; 64]>> {
    let usual = prop::collection::vec(any::<u8>(), 64).prop_map(|values| -> [i16; 64] {
        std::array::from_fn(|i| {
            let range = [300, 60, 20, 4][(i / 8 + i % 8).min(6) / 2];
            ((i32::from(values[i]) - 128) * range / 128) as i16
        })
    });
    let single = (0..64usize, any::<i16>()).prop_map(|(at, value)| {
        let mut block = [0; 64];
        block[at] = value;
        block
    });
    let first_row = any::<[i16; 8]>()
        .prop_map(|row| -> [i16; 64] { std::array::from_fn(|i| if i < 8 { row[i] } else { 0 }) });
    let all = prop::collection::vec(any::<i16>(), 64)
        .prop_map(|values| <[i16; 64]>::try_from(values).expect("64"));
    let some = prop_oneof![12 => usual, 2 => single, 1 => first_row, 2 => all];
    prop::collection::vec(some, 40..80)
}

fn table() -> impl Strategy<Value = [u16; 64]> {
    let steps = prop::collection::vec(1u16..60, 64);
    let large = prop::collection::vec(any::<u16>(), 64);
    prop_oneof![6 => steps, 1 => large, 2 => Just(vec![1; 64])]
        .prop_map(|steps| <[u16; 64]>::try_from(steps).expect("64"))
}

proptest! {
    #[test]
    fn pixels_are_those_of_libjpeg(
        luma in prop::sample::select(&LUMA[..]),
        size in (1u16..150, 1u16..400),
        tables in [table(), table()],
        blocks in blocks(),
        parts in prop::collection::vec(part(), 1..4),
        coloured in prop::sample::select(&[true, true, true, false][..]),
    ) {
        let make = if coloured { geometry } else { grey };
        let geometry = make(luma, size, tables.to_vec());
        let parts: Vec<_> = parts.into_iter().map(|part| placed(part, size)).collect();
        assert_same(&geometry, &blocks, &parts);
    }
}

/// All 65,536 pairs of chroma samples, at three brightnesses.
#[test]
fn every_colour_is_that_of_libjpeg() {
    let geometry = geometry((1, 1), (2048, 2048), vec![[8; 64], [8; 64]]);
    let flat =
        |value: i16| -> [i16; 64] { std::array::from_fn(|i| if i == 0 { value } else { 0 }) };
    for luma in [0, 100, 255] {
        let mut coefficients = coefficients(&geometry, &[flat(luma - 128)]);
        for (i, block) in coefficients.components[1].blocks.iter_mut().enumerate() {
            *block = flat((i / 256) as i16 - 128);
        }
        for (i, block) in coefficients.components[2].blocks.iter_mut().enumerate() {
            *block = flat((i % 256) as i16 - 128);
        }
        let image = pack(&coefficients, b"", &geometry).expect("a packed image");
        let packed = Packed::open(&image).expect("what was packed");
        let whole = Rect { x: 0, y: 0, w: 2048, h: 2048 };
        let (mut expected, mut got) = (Image::default(), Image::default());
        by_libjpeg::read(&packed, whole, &mut expected).expect("pixels");
        let Some(usual) = images(&geometry) else { return };
        for simd in Simd::available(ISAS).filter(|simd| simd.isa() != Isa::Portable) {
            let images = Images { simd, ..usual };
            let buffers = &mut Buffers::default();
            read(images, &packed, &[whole], buffers, &mut got).expect("pixels");
            assert!(got == expected, "{}: luma {luma}", simd.name());
        }
    }
}

#[test]
fn narrow_images_and_other_colours_are_left_to_libjpeg() {
    let tables = || vec![[1; 64], [1; 64]];
    for width in 1..5 {
        let narrow = geometry((2, 2), (40, width), tables());
        assert!(images(&narrow).is_none(), "{width} columns");
    }
    let usual = geometry((2, 2), (40, 50), tables());
    let changed = |change: fn(&mut Geometry)| {
        let mut geometry = usual.clone();
        change(&mut geometry);
        images(&geometry).is_none()
    };
    assert!(changed(|geometry| (geometry.jfif, geometry.adobe) = (false, Some(0))));
    assert!(changed(|geometry| (geometry.jfif, geometry.components[0].id) = (false, b'R')));
    assert!(changed(|geometry| geometry.components[1].sampling = (2, 1)));
    assert!(changed(|geometry| geometry.components.truncate(2)));
}
