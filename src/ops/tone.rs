//! Ops that map each value of a plane to another: Pillow's `ImageOps` and timm's `solarize_add`.

use multiversion::multiversion;

use super::table::{histogram, map};

/// Pillow's `invert`: `255 - v`.
#[multiversion(targets = "simd")]
pub fn invert(planes: &mut [u8]) {
    for v in planes {
        *v = 255 - *v;
    }
}

/// Pillow's `posterize`: the upper `bits` of each value. 0 gives black.
#[multiversion(targets = "simd")]
pub fn posterize(planes: &mut [u8], bits: u32) {
    let mask = !(0xffu32 >> bits.min(8)) as u8;
    for v in planes {
        *v &= mask;
    }
}

/// Pillow's `solarize`: values from `threshold` on are inverted.
#[multiversion(targets = "simd")]
pub fn solarize(planes: &mut [u8], threshold: f64) {
    // v < threshold is v < ceil(threshold) for an integer v, and the cast saturates.
    let threshold = threshold.ceil() as u32;
    let Some(last) = threshold.min(256).checked_sub(1) else {
        return planes.iter_mut().for_each(|v| *v = 255 - *v);
    };
    let last = last as u8;
    for v in planes {
        *v = if *v <= last { *v } else { 255 - *v };
    }
}

/// timm's `solarize_add`: `min(255, v + add)` below `threshold`, else `v`.
#[multiversion(targets = "simd")]
pub fn solarize_add(planes: &mut [u8], add: u8, threshold: u32) {
    let Some(last) = threshold.min(256).checked_sub(1) else {
        return;
    };
    let last = last as u8;
    for v in planes {
        *v = if *v <= last { v.saturating_add(add) } else { *v };
    }
}

/// Pillow's `autocontrast`: each channel's range stretched to 0..=255.
///
/// `clamp(trunc(v * scale - lo * scale))` in f64, `scale = 255 / (hi - lo)`; a channel of one value stays.
pub fn auto_contrast((height, width): (usize, usize), planes: &mut [u8]) {
    for plane in planes.chunks_exact_mut(height * width) {
        let (lo, hi) = range(plane);
        if lo < hi {
            let scale = 255.0 / f64::from(hi - lo);
            let offset = -f64::from(lo) * scale;
            let table = std::array::from_fn(|v| (v as f64 * scale + offset) as u8);
            map(plane, &table);
        }
    }
}

#[multiversion(targets = "simd")]
fn range(plane: &[u8]) -> (u8, u8) {
    let lo = plane.iter().fold(255, |lo, &v| lo.min(v));
    (lo, plane.iter().fold(0, |hi, &v| hi.max(v)))
}

/// Pillow's `equalize`: each channel's histogram made even.
///
/// `step = (pixels - those of the highest value used) / 255`, and value v becomes
/// `(step / 2 + pixels below v) / step`, all integers. A channel of one value, or with a step of 0,
/// stays. What Pillow's table holds above 255 belongs to values that no pixel has.
pub fn equalize((height, width): (usize, usize), planes: &mut [u8]) {
    for plane in planes.chunks_exact_mut(height * width) {
        let counts = histogram(plane);
        let Some(last) = counts.iter().rposition(|&n| n > 0) else { continue };
        let step = (plane.len() as u32 - counts[last]) / 255;
        if step == 0 {
            continue;
        }
        let mut n = step / 2;
        let table = counts.map(|count| {
            let v = (n / step).min(255) as u8;
            n += count;
            v
        });
        map(plane, &table);
    }
}
