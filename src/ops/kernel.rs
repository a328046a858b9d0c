//! torchvision's `gaussian_blur`, up to the order of float sums.

use multiversion::multiversion;

use super::blur::Buffers;
use crate::image::mirrored;

/// torchvision's `gaussian_blur(image, kernel_size, sigma)` on each plane, mirrored at the edges.
///
/// torchvision convolves with the two-dimensional kernel in f32, in an order that depends on the
/// machine, and rounds; we convolve along the columns and then the rows. Values whose sum is within
/// about 1e-4 of a half may round the other way: at most 1 apart.
pub fn blur(
    (height, width): (usize, usize),
    planes: &mut [u8],
    taps: usize,
    sigma: f64,
    buffers: &mut Buffers,
) {
    let half = taps / 2;
    let Buffers { plane: copy, floats, .. } = buffers;
    floats.clear();
    floats.extend((0..taps).map(|i| {
        let x = i as f64 - half as f64;
        (-0.5 * (x / sigma) * (x / sigma)).exp() as f32
    }));
    let total: f32 = floats.iter().sum();
    floats.iter_mut().for_each(|weight| *weight /= total);
    // The kernel, one row with mirrored ends, and one row of sums.
    floats.resize(taps + (width + 2 * half) + width, 0.0);
    let (weights, rest) = floats.split_at_mut(taps);
    let (row, sums) = rest.split_at_mut(width + 2 * half);
    for plane in planes.chunks_exact_mut(height * width) {
        copy.clear();
        copy.extend_from_slice(plane);
        for (y, out) in plane.chunks_exact_mut(width).enumerate() {
            sums.fill(0.0);
            for (i, &weight) in weights.iter().enumerate() {
                let y = mirrored(y as i64 + i as i64 - half as i64, height);
                add_bytes(sums, &copy[y * width..][..width], weight);
            }
            row[half..half + width].copy_from_slice(sums);
            for i in 1..=half {
                row[half - i] = row[half + mirrored(-(i as i64), width)];
                row[half + width - 1 + i] = row[half + mirrored((width - 1 + i) as i64, width)];
            }
            sums.fill(0.0);
            for (i, &weight) in weights.iter().enumerate() {
                add_floats(sums, &row[i..i + width], weight);
            }
            for (out, sum) in out.iter_mut().zip(&*sums) {
                *out = sum.round_ties_even() as u8;
            }
        }
    }
}

#[multiversion(targets = "simd")]
fn add_bytes(sums: &mut [f32], row: &[u8], weight: f32) {
    for (sum, &v) in sums.iter_mut().zip(row) {
        *sum += f32::from(v) * weight;
    }
}

#[multiversion(targets = "simd")]
fn add_floats(sums: &mut [f32], row: &[f32], weight: f32) {
    for (sum, &v) in sums.iter_mut().zip(row) {
        *sum += v * weight;
    }
}
