//! Pillow's algorithms pixel by pixel, for tests.

use super::super::padded::Pixel;
use super::fixed::Fixed;

/// Three planes of noise.
pub fn picture((height, width): (usize, usize), seed: u64) -> Vec<u8> {
    let value = |i: u64| ((i ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
    (0..3 * height as u64 * width as u64).map(value).collect()
}

/// `affine_fixed`.
pub fn fixed(map: &Fixed, fill: Pixel, size: (usize, usize), data: &[u8]) -> Vec<u8> {
    look_up(fill, size, data, |x, y| {
        let (x, y) = map.at(x, y);
        (x >> 16, y >> 16)
    })
}

/// `ImagingScaleAffine` without scaling.
pub fn moved((c, f): (f64, f64), fill: Pixel, size: (usize, usize), data: &[u8]) -> Vec<u8> {
    let sum = |start: f64, n: usize| (0..n).fold(start + 0.5, |sum, _| sum + 1.0).floor() as i64;
    look_up(fill, size, data, |x, y| (sum(c, x), sum(f, y)))
}

fn look_up(
    fill: Pixel,
    (height, width): (usize, usize),
    data: &[u8],
    place: impl Fn(usize, usize) -> (i64, i64),
) -> Vec<u8> {
    let mut out = Vec::new();
    for (channel, fill) in fill.into_iter().enumerate().take(3) {
        for y in 0..height {
            for x in 0..width {
                let (x, y) = place(x, y);
                let inside = (0..width as i64).contains(&x) && (0..height as i64).contains(&y);
                let at = (channel * height) as i64 + y;
                let at = at * width as i64 + x;
                out.push(if inside { data[at as usize] } else { fill });
            }
        }
    }
    out
}
