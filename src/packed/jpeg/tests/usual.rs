//! What encoders write every day.

use jpeg_encoder::SamplingFactor;
use proptest::prelude::*;

use super::libjpeg::{Options, encode};
use super::{check, other_file, pixels};
use crate::packed::jpeg::habits::Habits;

/// Scans of sequential and progressive files, as libjpeg's scripts have them.
fn scripts(components: usize) -> Vec<Vec<(Vec<usize>, [u8; 4])>> {
    let all: Vec<usize> = (0..components).collect();
    let each = |scan: [u8; 4]| (0..components).map(move |component| (vec![component], scan));
    let mut sequential = vec![(vec![0], [0, 63, 0, 0])];
    if components > 1 {
        sequential.push((all[1..].to_vec(), [0, 63, 0, 0]));
    }
    let spectral = [vec![(all.clone(), [0, 0, 0, 0])], each([1, 63, 0, 0]).collect()].concat();
    let mut deep = vec![(all.clone(), [0, 0, 0, 3])];
    deep.extend(each([1, 8, 0, 2]).chain(each([9, 63, 0, 4])));
    deep.extend(each([9, 63, 4, 3]).chain(each([9, 63, 3, 2])).chain(each([1, 63, 2, 1])));
    deep.extend([(all.clone(), [0, 0, 3, 2]), (all.clone(), [0, 0, 2, 1]), (all, [0, 0, 1, 0])]);
    deep.extend(each([1, 63, 1, 0]));
    vec![Vec::new(), each([0, 63, 0, 0]).collect(), sequential, spectral, deep]
}

pub(super) fn options() -> impl Strategy<Value = Options> {
    let shape = (1usize..90, 1usize..90, prop::sample::select(vec![1, 3, 4]), 1u8..5, 1u8..3);
    let coding = (1u8..101, any::<[bool; 3]>(), prop::sample::select(vec![0u16, 0, 0, 1, 2, 7]));
    (shape, coding, any::<prop::sample::Index>()).prop_map(|(shape, coding, script)| {
        let (height, width, components, h, v) = shape;
        let (quality, [progressive, optimized, mozjpeg], restart_interval) = coding;
        let scripts = scripts(components);
        let script = script.index(scripts.len());
        // An MCU has at most ten blocks.
        let v = if h * v + components as u8 - 1 > 10 { 1 } else { v };
        Options {
            size: (height, width),
            components,
            sampling: (h, v),
            quality,
            progressive,
            optimized,
            mozjpeg: mozjpeg && script == 0,
            restart_interval,
            scans: scripts[script].clone(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn files_of_libjpeg(options in options(), rough in 0u32..1000) {
        let parts = check(&encode(&pixels(&options, rough), &options));
        // The rules of `habits` are libjpeg's.
        prop_assert!(parts.side.habits.iter().all(|habits| *habits == Habits::default()));
    }
}

#[test]
fn files_of_another_encoder() {
    use SamplingFactor::*;
    for sampling in [R_4_4_4, R_4_4_0, R_4_4_1, R_4_2_2, R_4_2_0, R_4_2_1, R_4_1_1, R_4_1_0] {
        for (progressive, optimized) in [(false, false), (false, true), (true, false), (true, true)]
        {
            // It forgets the restarts when it optimises tables, which then lack codes.
            for restarts in if optimized { &[0][..] } else { &[0, 1, 5] } {
                check(&other_file(|encoder| {
                    encoder.set_sampling_factor(sampling);
                    encoder.set_progressive(progressive);
                    encoder.set_optimized_huffman_tables(optimized);
                    encoder.set_restart_interval(*restarts);
                }));
            }
        }
    }
}

/// Runs of the greatest length, and more corrections than libjpeg's buffer holds.
#[test]
fn long_runs() {
    for (side, rough, quality) in [(2400, 0, 97), (800, 4, 97)] {
        let options = Options {
            size: (side, side),
            components: 1,
            sampling: (1, 1),
            quality,
            progressive: true,
            ..Options::default()
        };
        let flat = vec![128; side * side];
        let pixels = if rough == 0 { flat } else { pixels(&options, rough) };
        let parts = check(&encode(&pixels, &options));
        assert!(parts.side.habits.iter().all(|habits| *habits == Habits::default()));
    }
}
