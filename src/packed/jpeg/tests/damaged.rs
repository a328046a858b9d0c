//! Damaged files, side information and coefficients: an error or the truth, and never a panic.

use proptest::prelude::*;
use proptest::sample::Index;

use super::libjpeg::Options;
use super::{check, file};
use crate::decode::Limits;
use crate::packed::jpeg::{Parts, Side, take_apart};

fn options() -> impl Strategy<Value = Options> {
    let components = prop::sample::select(vec![1, 3, 4]);
    (components, any::<[bool; 3]>(), 1u8..3).prop_map(
        |(components, [progressive, optimized, restarts], sampling)| Options {
            size: (30, 35),
            components,
            sampling: (sampling, sampling),
            quality: 70,
            progressive,
            optimized,
            restart_interval: if restarts { 2 } else { 0 },
            ..Options::default()
        },
    )
}

/// A change of some bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Replace(Index, u8),
    Cut(Index, u8),
    Insert(Index, Vec<u8>),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        match self {
            Self::Flip(at, bit) => bytes[at.index(length)] ^= 1 << (bit % 8),
            Self::Replace(at, value) => bytes[at.index(length)] = *value,
            Self::Cut(at, count) => {
                let at = at.index(length);
                bytes.drain(at..length.min(at + 1 + usize::from(count % 16)));
            }
            Self::Insert(at, more) => {
                let at = at.index(length);
                bytes.splice(at..at, more.iter().copied());
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let marker = prop_oneof![
        (0xC0u8..).prop_map(|code| vec![0xFF, code]),
        prop::collection::vec(any::<u8>(), 1..5),
        Just(vec![0xFF]),
        Just(vec![0]),
    ];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Damage::Replace(at, value)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, count)| Damage::Cut(at, count)),
        1 => (any::<Index>(), marker).prop_map(|(at, more)| Damage::Insert(at, more)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// What is accepted, `check` holds against libjpeg. It must have no warning either.
    #[test]
    fn files(options in options(), damage in prop::collection::vec(damage(), 1..4)) {
        let mut file = file(&options);
        damage.iter().for_each(|damage| damage.apply(&mut file));
        let limits = Limits::default().with_max_pixels(1 << 20);
        if take_apart(&file, limits).is_ok() {
            check(&file);
        }
    }

    /// The same in the data of scans only: most of these are accepted.
    #[test]
    fn data_of_scans(options in options(), at: Index, bit in 0u8..8) {
        let mut file = file(&options);
        let scan = file.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
        let at = scan + at.index(file.len() - scan);
        file[at] ^= 1 << bit;
        if take_apart(&file, Limits::default()).is_ok() {
            check(&file);
        }
    }

    #[test]
    fn side_information(options in options(), damage in prop::collection::vec(damage(), 1..4)) {
        let parts = check(&file(&options));
        let mut bytes = parts.side.to_bytes();
        damage.iter().for_each(|damage| damage.apply(&mut bytes));
        if let Ok(side) = Side::from_bytes(&bytes) {
            let _ = Parts { side, ..parts }.write();
        }
    }

    #[test]
    fn noise_as_side_information(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Side::from_bytes(&bytes).is_err());
    }

    #[test]
    fn any_coefficients(
        options in options(),
        changes in prop::collection::vec((any::<Index>(), any::<Index>(), any::<i16>()), 1..20),
    ) {
        let mut parts = check(&file(&options));
        for (component, at, value) in changes {
            let count = parts.coefficients.components.len();
            let blocks = &mut parts.coefficients.components[component.index(count)].blocks;
            let at = at.index(blocks.len() * 64);
            blocks[at / 64][at % 64] = value;
        }
        if let Ok(file) = parts.write() {
            let _ = take_apart(&file, Limits::default());
        }
    }
}

#[test]
fn coefficients_of_another_shape() {
    let mut parts = check(&file(&Options::default()));
    parts.coefficients.components[1].blocks.pop();
    assert!(parts.write().is_err());
    parts.coefficients.components.pop();
    assert!(parts.write().is_err());
}
