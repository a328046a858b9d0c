//! Coefficients against a decoder that reads one bit at a time, over random tables and bits.

use proptest::prelude::*;

use super::Huffman;
use crate::decode::coefficients::{Block, Coefficients, Component, HuffmanTable, Scan};

const BLOCKS: usize = 3;

/// Reads single bits; `None` past the end.
struct Plain<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Plain<'_> {
    fn bits(&mut self, count: u8) -> Option<i32> {
        (0..count).try_fold(0, |value, _| {
            let byte = *self.bytes.get(self.at / 8)?;
            self.at += 1;
            Some(value << 1 | i32::from(byte >> (7 - (self.at - 1) % 8) & 1))
        })
    }

    /// Figure F.16 of ITU-T T.81.
    fn symbol(&mut self, table: &HuffmanTable) -> Option<u8> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for &count in &table.counts {
            code = code << 1 | self.bits(1)?;
            if code - first < i32::from(count) {
                return Some(table.values[(index + code - first) as usize]);
            }
            index += i32::from(count);
            first = (first + i32::from(count)) << 1;
        }
        None
    }

    /// Figures F.12 and F.13.
    fn number(&mut self, size: u8) -> Option<i32> {
        let raw = self.bits(size)?;
        Some(if size > 0 && raw < 1 << (size - 1) { raw - (1 << size) + 1 } else { raw })
    }

    fn block(&mut self, component: &Component, dc: &mut i32) -> Option<Block> {
        let mut zigzag = [0; 64];
        let size = self.symbol(&component.dc)?;
        *dc = dc.wrapping_add(self.number(size)?);
        zigzag[0] = *dc as i16;
        let mut k = 1;
        while k < 64 {
            let symbol = self.symbol(&component.ac)?;
            let (run, size) = (usize::from(symbol >> 4), symbol & 15);
            if size == 0 && run < 15 {
                break;
            }
            k += run;
            let value = self.number(size)?;
            *zigzag.get_mut(k)? = value as i16;
            k += 1;
        }
        // Diagonal by diagonal, every second one upwards.
        let mut places: Vec<(usize, usize)> = (0..64).map(|at| (at / 8, at % 8)).collect();
        places.sort_by_key(|&(y, x)| (y + x, if (y + x) % 2 == 0 { x } else { y }));
        let mut block = [0; 64];
        for (&(y, x), value) in places.iter().zip(zigzag) {
            block[y * 8 + x] = value;
        }
        Some(block)
    }
}

/// A table with codes for `symbols`, from lengths that leave room for all.
fn table(symbols: Vec<u8>, wanted: Vec<u8>) -> HuffmanTable {
    let mut lengths: Vec<u8> = symbols.iter().zip(wanted).map(|(_, length)| length).collect();
    lengths.sort_unstable();
    let mut table = HuffmanTable::default();
    let (mut free, mut index) = (1 << 16, 0);
    for length in lengths {
        // One code of each length stays free, as libjpeg demands.
        if (1 << (16 - length)) < free {
            free -= 1 << (16 - length);
            table.counts[usize::from(length) - 1] += 1;
            table.values[index] = symbols[index];
            index += 1;
        }
    }
    table
}

fn ac() -> impl Strategy<Value = HuffmanTable> {
    let common = prop::sample::select(vec![0x01, 0x02, 0x03, 0x11, 0x21, 0x00, 0xF0, 0x04, 0x31]);
    let symbols = prop::collection::vec(prop_oneof![3 => common, 1 => any::<u8>()], 1..200);
    (symbols, prop::collection::vec(1u8..=16, 200)).prop_map(|(s, l)| table(s, l))
}

fn dc() -> impl Strategy<Value = HuffmanTable> {
    let symbols = prop::collection::vec(0u8..16, 1..20);
    (symbols, prop::collection::vec(1u8..=16, 20)).prop_map(|(s, l)| table(s, l))
}

/// The bytes as they stand in a file.
fn stuffed(bytes: &[u8]) -> Vec<u8> {
    let mut file: Vec<u8> = Vec::new();
    for &byte in bytes {
        file.push(byte);
        if byte == 0xFF {
            file.push(0);
        }
    }
    file.extend([0xFF, 0xD9, 1, 2, 3]);
    file
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn coefficients_equal_those_of_a_plain_decoder(
        (dc, ac) in (dc(), ac()),
        bytes in prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(0xFF)], 0..600),
        skips in prop::collection::vec(any::<bool>(), 40),
    ) {
        let components = [Component { blocks: BLOCKS, dc, ac }];
        let file = stuffed(&bytes);
        let (mcus, restart_interval) = (skips.len(), 0);
        let scan = Scan { bytes: &file, restart_interval, mcus, components: &components };
        let mut huffman = Huffman::default();
        // The first pass has no table for skipping, the second has.
        for _ in 0..2 {
            prop_assert_eq!(huffman.begin(&scan), Some(file.len() - 5));
            let mut plain = Plain { bytes: &bytes, at: 0 };
            let mut last = 0;
            for &skip in &skips {
                let expected: Option<Vec<Block>> =
                    (0..BLOCKS).map(|_| plain.block(&components[0], &mut last)).collect();
                let mut got = [[0; 64]; BLOCKS];
                if skip { huffman.skip() } else { huffman.read(&mut got) }
                prop_assert_eq!(huffman.failed(), expected.is_none());
                let Some(expected) = expected else { break };
                prop_assert!(skip || got[..] == expected[..], "{:?} is not {:?}", got, expected);
            }
        }
    }
}

#[test]
fn a_scan_that_does_not_end_as_it_should_is_refused() {
    let table = HuffmanTable { counts: [0; 16], values: [0; 256] };
    let components = [Component { blocks: 1, dc: table, ac: table }];
    let begins = |bytes: &[u8], restart_interval, mcus| {
        let scan = Scan { bytes, restart_interval, mcus, components: &components };
        Huffman::default().begin(&scan)
    };
    assert_eq!(begins(&[1, 2, 0xFF, 0xD9], 0, 9), Some(2));
    assert_eq!(begins(&[1, 0xFF, 0xD0, 2, 0xFF, 0xD1, 0xFF, 0, 0xFF, 0xD9], 3, 9), Some(8));
    // Truncated, with another marker at its end, and with fill bytes.
    assert_eq!(begins(&[1, 2], 0, 9), None);
    assert_eq!(begins(&[1, 2, 0xFF], 0, 9), None);
    assert_eq!(begins(&[1, 2, 0xFF, 0xDA, 0xFF, 0xD9], 0, 9), None);
    assert_eq!(begins(&[1, 2, 0xFF, 0xFF, 0xD9], 0, 9), None);
    // Restart markers: one where there is none, one in the wrong order, too few.
    assert_eq!(begins(&[1, 0xFF, 0xD0, 2, 0xFF, 0xD9], 0, 9), None);
    assert_eq!(begins(&[1, 0xFF, 0xD1, 2, 0xFF, 0xD2, 2, 0xFF, 0xD9], 3, 9), None);
    assert_eq!(begins(&[1, 0xFF, 0xD0, 2, 0xFF, 0xD9], 3, 9), None);
}
