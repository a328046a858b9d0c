//! Bilinear and bicubic with NEON: six lanes are the channels of two pixels.
//!
//! # From bytes to f64
//!
//! A conversion would widen a byte step by step. Instead, one look-up in a table puts bytes and
//! constants together, so that each makes an f64:
//!
//! ```text
//! 0x43300000_000000bb is 2^52 + bb
//! ```
//!
//! The constant vanishes from differences between such numbers, which are exact like those of
//! integers. From the first multiplication by a fraction on, everything is in Pillow's order.

use std::arch::aarch64::*;
use std::array::from_fn;
use std::mem::transmute;

use super::super::coordinates::{Axes, Places};
use super::super::padded::{Padded, Pixel};
use super::filter::Smooth;
use super::portable;

/// The channels of two pixels.
type Lanes = [float64x2_t; 3];

/// Two places, and the fractions at each lane.
#[derive(Clone, Copy)]
struct Pair {
    at: [usize; 2],
    dx: Lanes,
    dy: Lanes,
}

/// As [`super::interpolate`].
#[target_feature(enable = "neon")]
pub fn interpolate(
    filter: Smooth,
    axes: Axes,
    source: Padded<'_>,
    places: &Places,
    line: &mut [Pixel],
) {
    if line.len() < 2 {
        return portable::interpolate(filter, axes, source, places, line);
    }
    let stride = source.stride;
    match (filter, axes) {
        (Smooth::Bilinear, Axes::X) => each(places, line, |pair| bilinear_row(source, pair, 0)),
        (Smooth::Bilinear, Axes::Y) => each(places, line, |pair| {
            let [a, _] = two(source, pair.at, 0);
            let [b, _] = two(source, pair.at, stride);
            linear(a, b, pair.dy)
        }),
        (Smooth::Bilinear, Axes::Both) => each(places, line, |pair| {
            let (above, below) =
                (bilinear_row(source, pair, 0), bilinear_row(source, pair, stride));
            add_product(above, sub(below, above), pair.dy)
        }),
        (Smooth::Bicubic, Axes::X) => each(places, line, |pair| bicubic_row(source, pair, 0)),
        (Smooth::Bicubic, Axes::Y) => each(places, line, |pair| {
            let first = pair.at.map(|at| at - stride);
            let [v1, _] = two(source, first, 0);
            let [v2, _] = two(source, first, stride);
            let [v3, _] = two(source, first, 2 * stride);
            let [v4, _] = two(source, first, 3 * stride);
            cubic([v1, v2, v3, v4], pair.dy)
        }),
        (Smooth::Bicubic, Axes::Both) => each(places, line, |pair| {
            let pair = Pair { at: pair.at.map(|at| at - stride), ..pair };
            let (v1, v2) = (bicubic_row(source, pair, 0), bicubic_row(source, pair, stride));
            let (v3, v4) =
                (bicubic_row(source, pair, 2 * stride), bicubic_row(source, pair, 3 * stride));
            down([v1, v2, v3, v4], pair.dy)
        }),
    }
}

/// Bilinear along the row that is `offset` pixels after each place.
#[inline]
#[target_feature(enable = "neon")]
fn bilinear_row(source: Padded<'_>, pair: Pair, offset: usize) -> Lanes {
    let [a, b] = two(source, pair.at, offset);
    linear(a, b, pair.dx)
}

/// Bicubic along the row that is `offset` pixels after each place.
#[inline]
#[target_feature(enable = "neon")]
fn bicubic_row(source: Padded<'_>, pair: Pair, offset: usize) -> Lanes {
    cubic(four(source, pair.at.map(|at| at - 1), offset), pair.dx)
}

/// Writes `value(pair)`, truncated and clamped, for each two places, of which there are two or
/// more. The last two overlap those before them rather than being one.
///
/// There is one call of `value`, so that it is inlined.
#[inline]
#[target_feature(enable = "neon")]
fn each(places: &Places, line: &mut [Pixel], value: impl Fn(Pair) -> Lanes) {
    let (len, last) = (line.len(), line.len() - 2);
    let (at, dx, dy) = (&places.at[..len], &places.dx[..len], &places.dy[..len]);
    for first in (0..len).step_by(2) {
        let first = first.min(last);
        let second = first + 1;
        let [a, b] = bytes(value(Pair {
            at: [at[first] as usize, at[second] as usize],
            dx: lanes(dx[first], dx[second]),
            dy: lanes(dy[first], dy[second]),
        }));
        (line[first], line[second]) = (a, b);
    }
}

/// A number for each pixel.
#[inline]
#[target_feature(enable = "neon")]
fn lanes(first: f64, second: f64) -> Lanes {
    let (first, second) = (vdupq_n_f64(first), vdupq_n_f64(second));
    [first, vzip1q_f64(first, second), second]
}

/// Two adjacent pixels from each place on, `offset` pixels after it. 2^52 is added to each.
#[inline]
#[target_feature(enable = "neon")]
fn two(source: Padded<'_>, at: [usize; 2], offset: usize) -> [Lanes; 2] {
    let [first, second] = at.map(|at| {
        let pixels: &[Pixel; 2] =
            source.pixels[at + offset..].first_chunk().expect("the padding holds every tap");
        // SAFETY: two pixels are the eight bytes that are read.
        unsafe { vld1_u8(pixels.as_ptr().cast()) }
    });
    taps(vcombine_u8(first, second))
}

/// Four adjacent pixels from each place on, `offset` pixels after it. 2^52 is added to each.
#[inline]
#[target_feature(enable = "neon")]
fn four(source: Padded<'_>, at: [usize; 2], offset: usize) -> [Lanes; 4] {
    let [first, second] = at.map(|at| {
        let pixels: &[Pixel; 4] =
            source.pixels[at + offset..].first_chunk().expect("the padding holds every tap");
        // SAFETY: four pixels are the sixteen bytes that are read.
        vreinterpretq_u64_u8(unsafe { vld1q_u8(pixels.as_ptr().cast()) })
    });
    let [v1, v2] = taps(vreinterpretq_u8_u64(vzip1q_u64(first, second)));
    let [v3, v4] = taps(vreinterpretq_u8_u64(vzip2q_u64(first, second)));
    [v1, v2, v3, v4]
}

/// The first pixels and the second pixels of both halves, with 2^52 added to each.
#[inline]
#[target_feature(enable = "neon")]
fn taps(halves: uint8x16_t) -> [Lanes; 2] {
    let bytes = uint8x16x2_t(halves, vreinterpretq_u8_f64(base()));
    let lanes = |first, second| {
        // The other bytes are those of 2^52, which are in the second register.
        let index: [u8; 16] = from_fn(|i| match i {
            0 => first,
            8 => second,
            _ => 16 + i as u8,
        });
        // SAFETY: 16 bytes on both sides, and all values are valid.
        let index = unsafe { transmute::<[u8; 16], uint8x16_t>(index) };
        vreinterpretq_f64_u8(vqtbl2q_u8(bytes, index))
    };
    [[lanes(0, 1), lanes(2, 8), lanes(9, 10)], [lanes(4, 5), lanes(6, 12), lanes(13, 14)]]
}

/// What [`taps`] adds. Its lowest byte is 0.
#[inline]
#[target_feature(enable = "neon")]
fn base() -> float64x2_t {
    vdupq_n_f64((1u64 << 52) as f64)
}

#[inline]
#[target_feature(enable = "neon")]
fn add(a: Lanes, b: Lanes) -> Lanes {
    from_fn(|i| vaddq_f64(a[i], b[i]))
}

#[inline]
#[target_feature(enable = "neon")]
fn sub(a: Lanes, b: Lanes) -> Lanes {
    from_fn(|i| vsubq_f64(a[i], b[i]))
}

/// `a + b * c`, rounded twice.
#[inline]
#[target_feature(enable = "neon")]
fn add_product(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
    from_fn(|i| vaddq_f64(a[i], vmulq_f64(b[i], c[i])))
}

/// `p1 + d * (p2 + d * (p3 + d * p4))`.
#[inline]
#[target_feature(enable = "neon")]
fn polynomial([p1, p2, p3, p4]: [Lanes; 4], d: Lanes) -> Lanes {
    add_product(p1, d, add_product(p2, d, add_product(p3, d, p4)))
}

/// Pillow's `BILINEAR`, of taps.
#[inline]
#[target_feature(enable = "neon")]
fn linear(a: Lanes, b: Lanes, d: Lanes) -> Lanes {
    add_product(sub(a, [base(); 3]), sub(b, a), d)
}

/// Pillow's `BICUBIC`, of taps. What is computed of them is exact in any order, also when fused.
#[inline]
#[target_feature(enable = "neon")]
fn cubic([v1, v2, v3, v4]: [Lanes; 4], d: Lanes) -> Lanes {
    let (left, right) = (sub(v2, v1), sub(v3, v4));
    let p3 = from_fn(|i| vfmsq_f64(right[i], left[i], vdupq_n_f64(2.0)));
    polynomial([sub(v2, [base(); 3]), sub(v3, v1), p3, sub(left, right)], d)
}

/// Pillow's `BICUBIC`, of the results of four rows. They are not integers, so every operation is in
/// Pillow's order.
#[inline]
#[target_feature(enable = "neon")]
fn down([v1, v2, v3, v4]: [Lanes; 4], d: Lanes) -> Lanes {
    let left = sub(v1, v2);
    let p3 = sub(add(add(left, left), v3), v4);
    let p4 = add(sub(sub(v2, v1), v3), v4);
    polynomial([v2, sub(v3, v1), p3, p4], d)
}

/// Floats truncated and clamped to the bytes of two pixels.
#[inline]
#[target_feature(enable = "neon")]
fn bytes(v: Lanes) -> [Pixel; 2] {
    // Interpolated values are small, so nothing is lost by taking the lower halves.
    let [a, b, c] = v.map(|v| vreinterpretq_s32_s64(vcvtq_s64_f64(v)));
    let (ab, c) = (vuzp1q_s32(a, b), vuzp1q_s32(c, c));
    let v = vuzp1q_s16(vreinterpretq_s16_s32(ab), vreinterpretq_s16_s32(c));
    let v = vqmovun_s16(v);
    // SAFETY: 8 bytes on both sides, and all values are valid.
    unsafe {
        let places = transmute::<[u8; 8], uint8x8_t>([0, 1, 2, 255, 3, 4, 5, 255]);
        transmute::<uint8x8_t, [Pixel; 2]>(vtbl1_u8(v, places))
    }
}
