//! The resize written as plainly as possible, and the fast passes compared with it.

use proptest::prelude::*;

use super::axis::Axis;
use super::coefficients::{Coefficients, GROUP, PRECISION_BITS};
use super::{Filter, Flips, Part, Resizer, filter, rows_first};
use crate::image::{ImageRef, Rect};

/// One output sample; `sample(i)` gives input sample `i`.
fn weigh(sample: impl Fn(usize) -> u8, coefficients: &Coefficients, out: usize) -> u8 {
    let window = coefficients.windows()[out];
    let taps = coefficients.weights(window).iter().zip(window.start..);
    let sum = taps.map(|(&k, i)| i32::from(sample(i)) * k).sum::<i32>();
    ((sum + (1 << (PRECISION_BITS - 1))) >> PRECISION_BITS).clamp(0, 255) as u8
}

fn resize(source: &[u8], input: (usize, usize), output: (usize, usize), filter: Filter) -> Vec<u8> {
    let (mut across, mut down) = (Coefficients::default(), Coefficients::default());
    let axis = |input, output| Axis::whole(input as u32, output as u32, false);
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

/// Bytes of which half are at the ends of the range, where clamping and overflow show.
fn noise((height, width): (usize, usize), seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        match state >> 61 {
            0 | 1 => 0,
            2 | 3 => 255,
            _ => (state >> 40) as u8,
        }
    };
    (0..height * width * 3).map(byte).collect()
}

/// Compares all instruction sets of this machine with the plain resize.
fn compare(
    source: &[u8],
    input: (usize, usize),
    output: (usize, usize),
    filter: Filter,
    flips: Flips,
) -> Result<(), TestCaseError> {
    let mut expected = resize(source, input, output, filter);
    flip(&mut expected, output, flips);
    let image = ImageRef::new(input.1 as u32, input.0 as u32, source);
    let size = (output.0 as u32, output.1 as u32);
    for simd in Resizer::available() {
        let mut actual = vec![0; expected.len()];
        Resizer::with_simd(simd).resize(image, size, filter, flips, &mut actual);
        // Not `prop_assert_eq`, which would print both.
        prop_assert!(actual == expected, "{} {input:?} {output:?} {filter:?}", simd.name());
    }
    Ok(())
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
        let flips = Flips { horizontal, vertical };
        compare(&noise(input, seed), input, output, filter, flips)?;
    }
}

proptest! {
    #[test]
    fn a_part_is_a_crop_of_the_whole(
        input in (1usize..150, 1usize..150),
        output in (1usize..100, 1usize..100),
        at in (0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0),
        filter in proptest::sample::select(&Filter::ALL),
        (horizontal, vertical) in any::<(bool, bool)>(),
        seed in any::<u64>(),
    ) {
        // A place and a size, both from a number in 0 to 1.
        let place = |whole: usize, start: f64, share: f64| {
            let start = (whole as f64 * start) as usize;
            (start, 1 + ((whole - start - 1) as f64 * share) as usize)
        };
        let ((y, h), (x, w)) = (place(output.0, at.0, at.1), place(output.1, at.2, at.3));
        let source = noise(input, seed);
        let image = ImageRef::new(input.1 as u32, input.0 as u32, &source);
        let size = (output.0 as u32, output.1 as u32);
        let mut whole = vec![0; 3 * output.0 * output.1];
        Resizer::default().resize(image, size, filter, Flips::default(), &mut whole);
        let rows = whole.chunks_exact(output.1).enumerate();
        let wanted = rows.filter(|(row, _)| (y..y + h).contains(&(row % output.0)));
        let mut expected: Vec<u8> =
            wanted.flat_map(|(_, row)| row[x..x + w].iter().copied()).collect();
        let flips = Flips { horizontal, vertical };
        flip(&mut expected, (h, w), flips);

        let rect = Rect { x: x as i32, y: y as i32, w: w as u32, h: h as u32 };
        let part = Part { input: (input.0 as u32, input.1 as u32), output: size, rect, filter };
        // Only what is needed is there.
        let needed = part.needed();
        for simd in Resizer::available() {
            let mut actual = vec![0; expected.len()];
            let source = image.crop(needed);
            Resizer::with_simd(simd).resize_part(source, needed, part, flips, &mut actual);
            prop_assert!(actual == expected, "{} {part:?}", simd.name());
        }
    }
}

/// Several panels, windows of many groups, and strips that alone are more than a panel.
#[test]
fn large_and_long_images() {
    let cases = [
        ((1000, 1201), (224, 224), Filter::Lanczos),
        ((9, 4099), (5, 224), Filter::Bilinear),
        ((9, 4099), (5, 224), Filter::Bicubic),
        ((3, 20_000), (2, 7), Filter::Lanczos),
        ((20_000, 3), (7, 65), Filter::Bicubic),
        ((1, 5000), (1, 5001), Filter::Bicubic),
        ((2, 3), (70, 1500), Filter::Bilinear),
        // With so many samples, sums of parts of weights no longer fit their registers.
        ((5000, 70), (3, 65), Filter::Box),
        ((5000, 70), (3, 65), Filter::Lanczos),
        ((20, 5000), (9, 3), Filter::Box),
        ((20, 5000), (9, 3), Filter::Lanczos),
    ];
    for (number, (input, output, filter)) in (0..).zip(cases) {
        let flips = Flips { horizontal: number % 2 == 1, vertical: number % 3 == 1 };
        compare(&noise(input, number), input, output, filter, flips).expect("equal");
    }
}

/// Weights without calls of a sine are those that calls give.
#[test]
fn nearly_lanczos_is_rounded_alike() {
    for i in -40_000..40_000 {
        let x = f64::from(i) / 12_345.0;
        let difference = (filter::lanczos(x) - filter::nearly_lanczos(x)).abs();
        assert!(difference < 1e-12, "{x}: {difference}");
    }
}
