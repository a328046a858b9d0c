//! Files that are stored unchanged, and why.

use super::libjpeg::Options;
use super::{check, file};
use crate::decode::Limits;
use crate::packed::jpeg::{Unpackable, take_apart};

fn reason(file: &[u8]) -> String {
    take_apart(file, Limits::default()).unwrap_err().to_string()
}

/// Where the segment of `marker` begins.
fn position(file: &[u8], marker: u8) -> usize {
    file.windows(2).position(|pair| pair == [0xFF, marker]).unwrap()
}

#[test]
fn other_kinds_of_jpeg() {
    let file = file(&Options::default());
    let frame = position(&file, 0xC0);
    for (at, value, expected) in [
        (frame + 1, 0xC3, "lossless JPEG"),
        (frame + 1, 0xC5, "hierarchical JPEG"),
        (frame + 1, 0xC9, "arithmetic coding"),
        (frame + 1, 0xCA, "arithmetic coding"),
        (frame + 4, 12, "12 bits per sample"),
        (frame + 9, 2, "2 components"),
        (1, 0xD9, "not a JPEG file"),
    ] {
        let mut changed = file.clone();
        changed[at] = value;
        assert_eq!(reason(&changed), expected);
    }
    let mut changed = file.clone();
    changed[frame + 5..frame + 7].fill(0);
    assert_eq!(reason(&changed), "height given by a DNL marker");
    let dnl = [&file[..file.len() - 2], b"\xFF\xDC\0\x04\0\x28\xFF\xD9"].concat();
    assert_eq!(reason(&dnl), "height given by a DNL marker");
    assert_eq!(reason(b"\x89PNG"), "not a JPEG file");
    assert_eq!(reason(b""), "not a JPEG file");
}

#[test]
fn every_file_that_ends_early() {
    for progressive in [false, true] {
        let file = file(&Options { progressive, restart_interval: 3, ..Options::default() });
        for end in 0..file.len() {
            let reason = take_apart(&file[..end], Limits::default()).unwrap_err();
            let expected = if end < 2 { Unpackable::NotJpeg } else { Unpackable::Truncated };
            assert_eq!(reason, expected, "{end} bytes");
        }
    }
}

#[test]
fn scans_that_are_missing() {
    let sequential = (0..3).map(|component| (vec![component], [0, 63, 0, 0])).collect();
    for (progressive, scans) in [(true, Vec::new()), (false, sequential)] {
        let file = file(&Options { progressive, scans, ..Options::default() });
        let headers: Vec<_> = check(&file).side.headers().map(<[u8]>::to_vec).collect();
        let last = headers.last().unwrap();
        let at = file.windows(last.len()).rposition(|window| window == last).unwrap();
        let changed = [&file[..at], b"\xFF\xD9"].concat();
        assert_eq!(reason(&changed), "scans that leave coefficients incomplete");
    }
}

#[test]
fn restart_markers_out_of_place() {
    let file = file(&Options { restart_interval: 2, ..Options::default() });
    let marker = position(&file, 0xD1);
    let mut wrong = file.clone();
    wrong[marker + 1] = 0xD4;
    let more = [&file[..marker], b"\xFF", &file[marker..]].concat();
    let none = [&file[..marker], &file[marker + 2..]].concat();
    for changed in [wrong, more, none] {
        assert!(matches!(take_apart(&changed, Limits::default()), Err(Unpackable::Broken(_))));
    }
}

/// Little is allocated for a few bytes that claim to be a large image.
#[test]
fn claims_without_data() {
    for progressive in [false, true] {
        let mut file = file(&Options { progressive, ..Options::default() });
        let frame = position(&file, if progressive { 0xC2 } else { 0xC0 });
        file[frame + 5..frame + 9].copy_from_slice(&[0x30, 0, 0x30, 0]);
        assert_eq!(reason(&file), "truncated");
        file[frame + 5..frame + 9].copy_from_slice(&[0x3F, 0xFF, 0x3F, 0xFF]);
        assert_eq!(
            reason(&file),
            "more than 178956970 pixels; shrink the image or raise max_pixels"
        );
        file[frame + 5..frame + 9].fill(0xFF);
        assert_eq!(reason(&file), "broken: the size of the image");
    }
}

#[test]
fn headers_that_repeat() {
    let file = file(&Options::default());
    let (frame, scan) = (position(&file, 0xC0), position(&file, 0xDA));
    let twice = [&file[..scan], &file[frame..frame + 19], &file[scan..]].concat();
    assert_eq!(reason(&twice), "broken: two frame headers");
    let again = [&file[..file.len() - 2], &file[scan..]].concat();
    assert_eq!(reason(&again), "broken: the order of the scans");
    let junk = [&file[..frame], b"\0", &file[frame..]].concat();
    assert_eq!(reason(&junk), "broken: bytes between two segments");
}

/// libjpeg: "Invalid component ID 1 in SOS".
#[test]
fn components_in_another_order() {
    let mut file = file(&Options::default());
    let scan = position(&file, 0xDA);
    file.swap(scan + 5, scan + 7);
    assert_eq!(reason(&file), "broken: the order of a scan's components");
}

/// What the headers' own lengths and numbers don't allow.
#[test]
fn headers_that_are_broken() {
    let file = file(&Options::default());
    let (frame, scan) = (position(&file, 0xC0), position(&file, 0xDA));
    let mut many = [&[0xFF, 0xC4, 1, 35, 0][..], &[17; 16]].concat();
    many.resize(many.len() + 16 * 17, 0);
    for (at, segment, expected) in [
        (scan, &b"\xFF\xDD\0\x05\0\0\0"[..], "the length of a restart interval"),
        (scan, b"\xFF\xC4\0\x04\0\0", "the length of a Huffman table"),
        (scan, &many, "the length of a Huffman table"),
        (scan, b"\xFF\xDA\0\x06\0\0\x3F\0", "the number of components in a scan"),
        (frame, b"\xFF\xC0\0\x04\x08\0", "the length of a frame header"),
        (frame, b"\xFF\xDA\0\x06\0\0\x3F\0", "a scan before the frame header"),
    ] {
        let changed = [&file[..at], segment, &file[at..]].concat();
        assert_eq!(reason(&changed), format!("broken: {expected}"));
    }
    for (at, value, expected) in [
        (frame + 13, file[frame + 10], "two components of one name"),
        (frame + 11, 0x44, "an MCU of too many blocks"),
    ] {
        let mut changed = file.clone();
        changed[at] = value;
        assert_eq!(reason(&changed), format!("broken: {expected}"));
    }
}

#[test]
fn scans_out_of_order() {
    let file = file(&Options { progressive: true, ..Options::default() });
    let (scan, name) = (position(&file, 0xDA), file[position(&file, 0xC2) + 10]);
    let early = [0xFF, 0xDA, 0, 8, 1, name, 0, 1, 63, 0];
    let changed = [&file[..scan], &early, &file[scan..]].concat();
    assert_eq!(reason(&changed), "broken: the order of the scans");
}

/// Each coefficient of each component by itself, bit by bit. All are zero, whose code is the bit 0.
#[test]
fn more_scans_than_encoders_write() {
    let options =
        Options { size: (8, 8), sampling: (1, 1), progressive: true, ..Options::default() };
    let whole = file(&options);
    let frame = position(&whole, 0xC2);
    let mut file = whole[..position(&whole, 0xC4)].to_vec();
    for class in [0, 0x10] {
        file.extend([0xFF, 0xC4, 0, 20, class, 1]);
        file.extend([0; 16]);
    }
    let [a, b, c] = [10, 13, 16].map(|at| whole[frame + at]);
    file.extend([0xFF, 0xDA, 0, 12, 3, a, 0, b, 0, c, 0, 0, 0, 0, 0x1F]);
    for (name, place) in [a, b, c].into_iter().flat_map(|name| (1..64).map(move |k| (name, k))) {
        for bits in [0x06, 0x65, 0x54, 0x43, 0x32, 0x21, 0x10] {
            file.extend([0xFF, 0xDA, 0, 8, 1, name, 0, place, place, bits, 0x7F]);
        }
    }
    assert_eq!(reason(&file), "more than 1000 scans");
}

/// Its code ends a run of blocks, which only progressive scans have.
#[test]
fn a_symbol_of_progressive_scans() {
    let mut file = file(&Options::default());
    let of_ac = |bytes: &[u8]| bytes[..2] == [0xFF, 0xC4] && bytes[4] == 0x10;
    let table = file.windows(5).position(of_ac).unwrap();
    let end = file[table + 21..].iter().position(|&symbol| symbol == 0).unwrap();
    file[table + 21 + end] = 0x10;
    assert_eq!(reason(&file), "broken: a run of blocks in a sequential scan");
}
