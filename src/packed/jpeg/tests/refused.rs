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
