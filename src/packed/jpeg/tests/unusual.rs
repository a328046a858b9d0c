//! Files that the standard allows and libjpeg would not write: other padding, other runs of ended
//! blocks, needless zeros, bytes between and after the scans.

use proptest::prelude::*;

use super::libjpeg::Options;
use super::{check, file, other_file};
use crate::decode::Limits;
use crate::packed::jpeg::habits::Habits;
use crate::packed::jpeg::headers::{Headers, Next};
use crate::packed::jpeg::padding::{Exception, Padding};
use crate::packed::jpeg::side::Builder;
use crate::packed::jpeg::{Parts, take_apart};

/// The content of a DHT marker with tables 0 and 1 of both classes, in which every symbol has a
/// code.
fn full_tables() -> Vec<u8> {
    let mut content = Vec::new();
    for number in [0, 1] {
        content.push(number);
        content.extend([0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        content.extend(0..16);
        content.push(0x10 | number);
        // Some codes are longer than one look-up.
        content.extend([0, 0, 0, 0, 0, 0, 0, 120, 130, 1, 1, 1, 1, 1, 1, 0]);
        content.extend(0..=255);
    }
    content
}

/// The same image with tables that have every symbol.
fn with_full_tables(file: &[u8]) -> Parts {
    let Parts { side, coefficients } = check(file);
    let mut headers = Headers::new(u64::MAX);
    let mut builder = Builder::default();
    for header in side.headers() {
        // The scan header comes last. No table of the file is read after ours.
        let scan = header.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).unwrap();
        let content = full_tables();
        let length = (content.len() as u16 + 2).to_be_bytes();
        let header = [&header[..scan], &[0xFF, 0xC4], &length, &content, &header[scan..]].concat();
        let Ok(Next::Scan(scan)) = headers.next(&header, &mut 0) else { panic!("no scan") };
        builder.scan(&header, scan, Habits::default());
    }
    builder.end(side.trailing());
    Parts { side: builder.finish(headers, Padding::default()).unwrap(), coefficients }
}

/// `parts` written, and read again.
fn again(parts: &Parts) -> Parts {
    let read = check(&parts.write().unwrap());
    assert!(read.coefficients == parts.coefficients);
    read
}

fn habits() -> impl Strategy<Value = Habits> {
    let longest_run = prop::sample::select(vec![0x7FFF, 0x7FFF, 1, 2, 9]);
    let exceptions = prop::collection::btree_set(0u32..60, 0..8);
    let zeros = prop::collection::btree_map(0u32..60, 1u8..3, 0..8);
    (longest_run, any::<bool>(), exceptions, zeros).prop_map(
        |(longest_run, cut_at_corrections, exceptions, zeros)| Habits {
            longest_run,
            cut_at_corrections,
            exceptions: exceptions.into_iter().collect(),
            zeros: zeros.into_iter().collect(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn runs_are_cut_elsewhere(
        habits in prop::collection::vec(habits(), 20),
        sampling in 1u8..3,
        restart_interval in prop::sample::select(vec![0, 0, 4]),
    ) {
        let options = Options {
            size: (70, 60),
            sampling: (sampling, sampling),
            restart_interval,
            quality: 60,
            progressive: true,
            ..Options::default()
        };
        let mut parts = with_full_tables(&file(&options));
        let count = parts.side.habits.len();
        parts.side.habits = habits[..count].to_vec();
        // Zeros may have no room in their block. Then this is not a file for libjpeg either.
        let written = parts.write().unwrap();
        if take_apart(&written, Limits::default()).is_ok() {
            check(&written);
        }
        parts.side.habits.iter_mut().for_each(|habits| habits.zeros.clear());
        again(&parts);
    }

    #[test]
    fn padding_of_any_bits(
        zeros: bool,
        exceptions in prop::collection::btree_map(
            0u32..20,
            (0u8..128, prop::collection::vec(0u8..255, 0..4)),
            0..6,
        ),
        progressive: bool,
    ) {
        let options = Options { restart_interval: 2, progressive, ..Options::default() };
        let mut parts = check(&file(&options));
        let exceptions = exceptions.into_iter();
        let exception = |(interval, (bits, surplus))| Exception { interval, bits, surplus };
        parts.side.padding = Padding { zeros, exceptions: exceptions.map(exception).collect() };
        // Of what is said for the last interval of a scan, the surplus belongs to the headers.
        let written = parts.write().unwrap();
        prop_assert!(check(&written).coefficients == parts.coefficients);
    }
}

#[test]
fn needless_zeros() {
    for progressive in [false, true] {
        let options = Options { quality: 30, progressive, ..Options::default() };
        let mut parts = with_full_tables(&file(&options));
        let last = parts.side.habits.len() - 1;
        // Some block of these has room for them.
        let room = |block: u32| {
            let mut parts = Parts { coefficients: parts.coefficients.clone(), side: clone(&parts) };
            parts.side.habits[last].zeros.push((block, 1));
            take_apart(&parts.write().unwrap(), Limits::default()).ok().map(|_| (block, 1))
        };
        let zeros: Vec<_> = (0..12).filter_map(room).collect();
        assert!(zeros.len() > 3, "{}", zeros.len());
        parts.side.habits[last].zeros = zeros.clone();
        assert_eq!(again(&parts).side.habits[last].zeros, zeros);
    }
}

fn clone(parts: &Parts) -> super::Side {
    super::Side::from_bytes(&parts.side.to_bytes()).unwrap()
}

#[test]
fn no_runs_at_all() {
    let file = other_file(|encoder| {
        encoder.set_progressive(true);
        encoder.set_quality(20);
    });
    let habits = check(&file).side.habits;
    assert!(habits.iter().any(|habits| habits.longest_run == 1));
    assert!(habits.iter().all(|habits| habits.exceptions.is_empty()));
}

#[test]
fn corrections_without_a_limit() {
    let options =
        Options { size: (300, 300), quality: 97, progressive: true, ..Options::default() };
    let mut parts = with_full_tables(&super::libjpeg::encode(&smooth(&options), &options));
    parts.side.habits.iter_mut().for_each(|habits| habits.cut_at_corrections = false);
    let read = again(&parts);
    assert!(read.side.habits.iter().any(|habits| !habits.cut_at_corrections));
    assert!(read.side.habits.iter().all(|habits| habits.exceptions.is_empty()));
}

/// Pixels whose high coefficients are few and large: no scan but the first ones finds new ones.
fn smooth(options: &Options) -> Vec<u8> {
    let (height, width) = options.size;
    let at = |i: usize| if (i / 3 % width + i / 3 / width).is_multiple_of(2) { 40 } else { 200 };
    (0..height * width * 3).map(at).collect()
}

#[test]
fn bytes_between_and_after_scans() {
    for progressive in [false, true] {
        let options = Options { progressive, ..Options::default() };
        let file = file(&options);
        let parts = check(&file);
        let end = file.len() - 2;
        for junk in
            [&b"\xFF\xD3"[..], b"\xFF", b"\x12\x34", b"\xFF\x00\x56\xFF\xFF", b"\xFF\xFE\0\x04ab"]
        {
            let changed = [&file[..end], junk, b"\xFF\xD9", b"more"].concat();
            assert!(check(&changed).coefficients == parts.coefficients, "{junk:?}");
        }
    }
}
