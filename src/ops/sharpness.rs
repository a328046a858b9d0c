//! Pillow's `ImageEnhance.Sharpness`: the blend of a smoothed image and the image.

use multiversion::multiversion;

use super::float::{blend, byte};

/// Pillow's `Sharpness(image).enhance(factor)`.
///
/// Smoothed is `ImageFilter.SMOOTH`: (1,1,1; 1,5,1; 1,1,1) / 13 in f32, summed from 0.5 row by row, the
/// lowest row first, each row by itself; then truncated. The outermost pixels are not smoothed, so that
/// the blend leaves them as they are.
pub fn sharpen(
    (height, width): (usize, usize),
    planes: &mut [u8],
    factor: f32,
    copy: &mut Vec<u8>,
) {
    // Pillow smooths nothing that is smaller than the kernel.
    if factor == 1.0 || height < 3 || width < 3 {
        return;
    }
    for plane in planes.chunks_exact_mut(height * width) {
        copy.clear();
        copy.extend_from_slice(plane);
        for y in 1..height - 1 {
            let row = |y: usize| &copy[y * width..][..width];
            let out = &mut plane[y * width + 1..][..width - 2];
            sharpen_row(row(y - 1), row(y), row(y + 1), factor, out);
        }
    }
}

#[multiversion(targets = "simd")]
fn sharpen_row(above: &[u8], row: &[u8], below: &[u8], factor: f32, out: &mut [u8]) {
    const EDGE: f32 = 1.0 / 13.0;
    const CENTRE: f32 = 5.0 / 13.0;
    let len = out.len();
    let (a0, a1, a2) = (&above[..len], &above[1..][..len], &above[2..][..len]);
    let (r0, r1, r2) = (&row[..len], &row[1..][..len], &row[2..][..len]);
    let (b0, b1, b2) = (&below[..len], &below[1..][..len], &below[2..][..len]);
    let f = |v: u8| f32::from(v);
    for x in 0..len {
        let mut sum = 0.5f32;
        sum += f(b0[x]) * EDGE + f(b1[x]) * EDGE + f(b2[x]) * EDGE;
        sum += f(r0[x]) * EDGE + f(r1[x]) * CENTRE + f(r2[x]) * EDGE;
        sum += f(a0[x]) * EDGE + f(a1[x]) * EDGE + f(a2[x]) * EDGE;
        out[x] = blend(byte(sum), r1[x], factor);
    }
}
