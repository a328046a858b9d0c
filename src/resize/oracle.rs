//! The resize written as plainly as possible, and the fast passes compared with it.

use proptest::prelude::*;

use super::coefficients::{Axis, Coefficients, GROUP, PRECISION_BITS};
use super::{Filter, Flips, Resizer, rows_first};
use crate::image::ImageRef;

/// One output sample; `sample(i)` gives input sample `i`.
fn weigh(sample: impl Fn(usize) -> u8, coefficients: &Coefficients, out: usize) -> u8 {
    let window = coefficients.windows()[out];
    let taps = coefficients.weights(window).iter().zip(window.start..);
    let sum = taps.map(|(&k, i)| i32::from(sample(i)) * k).sum::<i32>();
    ((sum + (1 << (PRECISION_BITS - 1))) >> PRECISION_BITS).clamp(0, 255) as u8
}

fn resize(source: &[u8], input: (usize, usize), output: (usize, usize), filter: Filter) -> Vec<u8> {
    let (mut across, mut down) = (Coefficients::default(), Coefficients::default());
    let axis = |input, output| Axis { input: input as u32, output: output as u32, flip: false };
    let (x_axis, y_axis) = (axis(input.1, output.1), axis(input.0, output.0));
    across.compute(filter, x_axis, GROUP);
    down.compute(filter, y_axis, 1);
    let mut planes = Vec::new();
    for channel in 0..3 {
        let plane: Vec<u8> = source.iter().copied().skip(channel).step_by(3).collect();
        let horizontal = |plane: &[u8]| -> Vec<u8> {
            let rows = plane.chunks_exact(input.1);
            rows.flat_map(|row| (0..output.1).map(|x| weigh(|i| row[i], &across, x))).collect()
        };
        let vertical = |plane: &[u8], width: usize| -> Vec<u8> {
            let at = |x, y| weigh(|i| plane[i * width + x], &down, y);
            (0..output.0).flat_map(|y| (0..width).map(move |x| at(x, y))).collect()
        };
        planes.extend(if rows_first(x_axis, y_axis) {
            horizontal(&vertical(&plane, input.1))
        } else {
            vertical(&horizontal(&plane), output.1)
        });
    }
    planes
}

fn flip(planes: &mut [u8], (height, width): (usize, usize), flips: Flips) {
    for plane in planes.chunks_exact_mut(height * width) {
        if flips.horizontal {
            plane.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
        if flips.vertical {
            // Reversing all and then each row exchanges the rows.
            plane.reverse();
            plane.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
    }
}

/// Compares all versions on random pixels.
fn check(input: (usize, usize), output: (usize, usize), filter: Filter, flips: Flips, seed: u64) {
    let mut state = seed | 1;
    let pixel = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Half of all bytes at the ends of the range, where clamping and overflow show.
        match state >> 61 {
            0 | 1 => 0,
            2 | 3 => 255,
            _ => (state >> 40) as u8,
        }
    };
    let source: Vec<u8> = (0..input.0 * input.1 * 3).map(pixel).collect();
    let mut expected = resize(&source, input, output, filter);
    flip(&mut expected, output, flips);
    let image = ImageRef::new(input.1 as u32, input.0 as u32, &source);
    let size = (output.0 as u32, output.1 as u32);
    for simd in Resizer::available() {
        let mut actual = vec![0; expected.len()];
        Resizer::with_simd(simd).resize(image, size, filter, flips, &mut actual);
        assert!(actual == expected, "{} {input:?} to {output:?}", simd.name());
    }
}

/// With so many samples, the sums of parts of weights no longer fit their registers.
#[test]
fn long_windows_equal_scalar() {
    for filter in [Filter::Box, Filter::Lanczos] {
        check((5000, 70), (3, 65), filter, Flips::default(), 1);
        check((20, 5000), (9, 3), filter, Flips::default(), 2);
    }
}

proptest! {
    #[test]
    fn fast_equals_scalar(
        input in (1usize..150, 1usize..150),
        output in (1usize..100, 1usize..100),
        filter in proptest::sample::select(&Filter::ALL[1..]),
        (horizontal, vertical) in any::<(bool, bool)>(),
        seed in any::<u64>(),
    ) {
        prop_assume!(input != output);
        check(input, output, filter, Flips { horizontal, vertical }, seed);
    }
}
