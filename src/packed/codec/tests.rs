//! Each kernel against the portable one, and the tile against the blocks it was made from.

use proptest::prelude::*;

use super::codebook::{BLOCK, CODEBOOKS, RAW};
use super::planes::{Instructions, Planes};
use super::portable::Portable;
use super::{Encoder, ISAS, McuBlocks, Simd, decode};
use crate::packed::PADDING;

fn mcu() -> McuBlocks {
    McuBlocks { components: 3, blocks: vec![(0, 0), (0, 0), (1, 1), (2, 1)] }
}

/// Blocks that are dense or sparse, with small or with any values.
pub(in crate::packed) fn blocks(count: usize) -> impl Strategy<Value = Vec<[i16; BLOCK]>> {
    let value = prop_oneof![
        20 => Just(0),
        20 => -3..=3i16,
        10 => -40..=40i16,
        3 => -400..=400i16,
        1 => any::<i16>(),
    ];
    let dense = prop::collection::vec(value, BLOCK)
        .prop_map(|values| <[i16; BLOCK]>::try_from(values).expect("a block"));
    let sparse = (0..BLOCK, -60..=60i16).prop_map(|(place, value)| {
        let mut block = [0; BLOCK];
        block[place] = value;
        block
    });
    let any = prop::collection::vec(any::<i16>(), BLOCK)
        .prop_map(|values| <[i16; BLOCK]>::try_from(values).expect("a block"));
    prop::collection::vec(prop_oneof![4 => dense, 2 => sparse, 1 => any], count)
}

fn encoded(blocks: &[[i16; BLOCK]]) -> Vec<u8> {
    let tile = |simd| {
        let mut tile = Vec::new();
        Encoder::new(simd).tile(&mcu(), blocks.iter(), &mut tile);
        tile
    };
    let expected = tile(Simd::PORTABLE);
    for simd in Simd::available(ISAS) {
        assert!(tile(simd) == expected, "{}", simd.name());
    }
    expected
}

fn decoded(simd: Simd, tile: &[u8], length: usize) -> Option<Vec<[i16; BLOCK]>> {
    let mut blocks = vec![[0; BLOCK]; 8];
    decode(simd, tile, length, (&mcu(), 8), &mut blocks).ok().map(|()| blocks)
}

#[test]
fn extreme_values_are_kept() {
    for value in [i16::MIN, i16::MIN + 1, -8320, -8319, -260, -1, 1, 255, 8319, 8320, i16::MAX] {
        let blocks: Vec<_> =
            (0..8).map(|i| if i % 2 == 0 { [value; BLOCK] } else { [0; BLOCK] }).collect();
        let mut tile = encoded(&blocks);
        let length = tile.len();
        tile.extend([0; PADDING]);
        for simd in Simd::available(ISAS) {
            assert_eq!(decoded(simd, &tile, length).as_ref(), Some(&blocks), "{}", simd.name());
        }
    }
}

/// What `deposit` computes, bit by bit.
fn deposit(bits: u64, mask: u64) -> u64 {
    let places = (0..64).filter(|place| mask >> place & 1 == 1);
    places.enumerate().map(|(i, place)| (bits >> i & 1) << place).sum()
}

/// The magnitude of a coefficient without its escape, and its sign.
fn coefficient(planes: &Planes, weight: u8, i: usize) -> i16 {
    let bit = |plane: u64| (plane >> i & 1) as u8;
    let digits: u8 = planes.unary.iter().map(|&plane| bit(plane)).sum();
    let raw: u8 = planes.raw.iter().enumerate().map(|(value, &plane)| bit(plane) << value).sum();
    let magnitude = digits * weight + raw;
    (if bit(planes.negative) == 1 { magnitude.wrapping_neg() } else { magnitude } as i8).into()
}

proptest! {
    #[test]
    fn tiles_are_kept(blocks in blocks(8)) {
        let mut tile = encoded(&blocks);
        let length = tile.len();
        tile.extend([0; PADDING]);
        for simd in Simd::available(ISAS) {
            let decoded = decoded(simd, &tile, length);
            prop_assert_eq!(decoded.as_ref(), Some(&blocks), "{}", simd.name());
            let mut some = [[1; BLOCK]; 4];
            decode(simd, &tile, length, (&mcu(), 8), &mut some).expect("a sound tile");
            prop_assert_eq!(&some[..], &blocks[..4], "{}", simd.name());
        }
    }

    #[test]
    fn kernels_agree_on_broken_tiles(
        blocks in blocks(8),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut tile = encoded(&blocks);
        for (place, value) in changes {
            let place = place.index(tile.len());
            tile[place] = value;
        }
        if let Some(cut) = cut {
            tile.truncate(cut.index(tile.len()));
        }
        let length = tile.len();
        tile.extend([0; PADDING]);
        let expected = decoded(Simd::PORTABLE, &tile, length);
        for simd in Simd::available(ISAS) {
            prop_assert_eq!(decoded(simd, &tile, length), expected.clone(), "{}", simd.name());
        }
    }

    #[test]
    fn bits_are_deposited(bits in any::<u64>(), mask in any::<u64>(), other in any::<u64>()) {
        for mask in [mask, mask & other, mask | other, 0, u64::MAX] {
            // SAFETY: the portable version runs everywhere.
            let deposited = unsafe { Portable::deposit(bits, mask) };
            prop_assert_eq!(deposited, deposit(bits, mask));
        }
    }

    #[test]
    fn planes_become_coefficients(
        book in 0..CODEBOOKS.len(),
        class in any::<u8>(),
        bits in any::<[u64; 9]>(),
    ) {
        let class = &CODEBOOKS[book][usize::from(class)];
        let mut planes = Planes { negative: bits[8], ..Planes::default() };
        let mut before = class.coded;
        for (plane, bits) in planes.unary.iter_mut().zip(&bits[..4]) {
            *plane = before & bits;
            before = *plane;
        }
        for i in 0..RAW {
            planes.raw[i] = class.raw[i] & bits[3 + i];
        }
        let mut out = [0; BLOCK];
        // SAFETY: the portable version runs everywhere.
        unsafe { Portable::coefficients(&planes, &class.weights, &mut out) };
        let expected: [i16; BLOCK] =
            std::array::from_fn(|i| coefficient(&planes, class.weights[i], i));
        prop_assert_eq!(out, expected);
    }
}
