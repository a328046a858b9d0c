//! Boxes filled: timm's `RandomErasing`, cutout.

use super::Fill;
use crate::image::Rect;
use crate::rng::{Key, Stream};

/// Fills the part of `rect` that lies in the image.
pub fn fill((height, width): (usize, usize), planes: &mut [u8], rect: Rect, fill: Fill) {
    let Some(part) = rect.clip(width as u32, height as u32) else { return };
    for (channel, plane) in planes.chunks_exact_mut(height * width).enumerate() {
        for y in part.y as usize..part.y as usize + part.h as usize {
            let row = &mut plane[y * width + part.x as usize..][..part.w as usize];
            match fill {
                Fill::Colour(colour) => row.fill(colour[channel]),
                Fill::Noise { mean, std, seed } => {
                    // A stream for each row and channel: what is seen doesn't depend on what is cut off.
                    let index = (y as i64 - i64::from(rect.y)) as u64;
                    let key = Key { seed, epoch: 0, index, view: channel as u16 };
                    let skipped = (part.x - rect.x) as usize;
                    noise(row, Stream::new(key), skipped, (mean[channel], std[channel]));
                }
            }
        }
    }
}

/// Fills `row` with elements `skipped..` of a line of normal numbers (Box and Muller's).
fn noise(row: &mut [u8], mut stream: Stream, skipped: usize, (mean, std): (f32, f32)) {
    let mut spare = None;
    let mut normal = || {
        spare.take().unwrap_or_else(|| {
            // 1 - unit() is never 0.
            let radius = (-2.0 * libm::log(1.0 - stream.unit())).sqrt();
            let (sin, cos) = libm::sincos(std::f64::consts::TAU * stream.unit());
            spare = Some(radius * sin);
            radius * cos
        })
    };
    for _ in 0..skipped {
        normal();
    }
    for v in row {
        *v = (f64::from(mean) + f64::from(std) * normal()).round() as u8;
    }
}
