//! Pillow's `ImageEnhance` (all but sharpness) and grayscale.

use multiversion::multiversion;

use super::float::blend;

/// Pillow's luma, `convert('L')`: ITU-R 601 in 16-bit fixed point, rounded.
#[inline(always)]
pub fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
}

fn channels(planes: &mut [u8], plane: usize) -> (&mut [u8], &mut [u8], &mut [u8]) {
    let (r, rest) = planes.split_at_mut(plane);
    let (g, b) = rest.split_at_mut(plane);
    (r, g, b)
}

/// torchvision's `to_grayscale` to three channels: each is the luma.
#[multiversion(targets = "simd")]
pub fn grayscale((height, width): (usize, usize), planes: &mut [u8]) {
    let (r, g, b) = channels(planes, height * width);
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let l = luma(*r, *g, *b);
        [*r, *g, *b] = [l; 3];
    }
}

/// Pillow's `Color(image).enhance(factor)`: the blend of luma and image.
#[multiversion(targets = "simd")]
pub fn saturate((height, width): (usize, usize), planes: &mut [u8], factor: f32) {
    if factor == 1.0 {
        return;
    }
    let (r, g, b) = channels(planes, height * width);
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        let l = luma(*r, *g, *b);
        [*r, *g, *b] = [blend(l, *r, factor), blend(l, *g, factor), blend(l, *b, factor)];
    }
}

/// Pillow's `Brightness(image).enhance(factor)`: the blend of black and image.
pub fn brightness(planes: &mut [u8], factor: f32) {
    if factor != 1.0 {
        blend_from(planes, 0, factor);
    }
}

/// Pillow's `Contrast(image).enhance(factor)`: the blend of the mean luma, rounded, and image.
pub fn contrast((height, width): (usize, usize), planes: &mut [u8], factor: f32) {
    if factor != 1.0 {
        let sum = luma_sum(planes, height * width);
        let mean = (sum as f64 / (height * width) as f64 + 0.5) as u8;
        blend_from(planes, mean, factor);
    }
}

#[multiversion(targets = "simd")]
fn blend_from(planes: &mut [u8], from: u8, factor: f32) {
    for v in planes {
        *v = blend(from, *v, factor);
    }
}

#[multiversion(targets = "simd")]
fn luma_sum(planes: &[u8], plane: usize) -> u64 {
    /// Few enough for a sum in u32.
    const BLOCK: usize = 1 << 16;
    let (r, rest) = planes.split_at(plane);
    let (g, b) = rest.split_at(plane);
    let mut sum = 0;
    for ((r, g), b) in r.chunks(BLOCK).zip(g.chunks(BLOCK)).zip(b.chunks(BLOCK)) {
        let block = r.iter().zip(g).zip(b).map(|((&r, &g), &b)| u32::from(luma(r, g, b)));
        sum += u64::from(block.sum::<u32>());
    }
    sum
}
