//! [`GaussianKernel`].

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, Scratch};
use crate::image::{Planes, mirrored};
use crate::memory;

/// torchvision's `gaussian_blur(image, kernel_size, sigma)`, mirrored at the edges.
///
/// torchvision convolves with the two-dimensional kernel in f32, sums in an order that depends on
/// the machine, and rounds. Here the columns are convolved first and then the rows, which needs
/// fewer products. A value whose sum is within about 1e-4 of a half may be rounded the other way,
/// so results are at most 1 apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianKernel {
    /// The number of taps in each direction: odd.
    pub kernel_size: u32,
    /// The standard deviation, in pixels.
    pub sigma: f64,
}

impl Kernel for GaussianKernel {
    fn validate(&self) -> Result<(), String> {
        let Self { kernel_size, sigma } = self;
        if kernel_size % 2 == 0 || *kernel_size > 1 << 15 {
            return Err(format!("kernel_size must be odd and at most 32767, not {kernel_size}"));
        }
        if !(*sigma > 0.0 && sigma.is_finite()) {
            return Err(format!("sigma must be above 0, not {sigma}"));
        }
        Ok(())
    }

    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch) {
        let (height, width) = (planes.height(), planes.width());
        let taps = self.kernel_size as usize;
        let half = taps / 2;
        let Scratch { plane: copy, floats, .. } = scratch;
        self.write_weights(floats);
        // After the weights: a row with mirrored ends, and a row of sums.
        memory::resize(floats, taps + (width + 2 * half) + width, 0.0);
        let (weights, rest) = floats.split_at_mut(taps);
        let (row, sums) = rest.split_at_mut(width + 2 * half);
        for plane in planes.channels() {
            memory::copy(plane, copy);
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
}

impl GaussianKernel {
    /// Replaces the content of `weights` by the kernel along one axis.
    fn write_weights(&self, weights: &mut Vec<f32>) {
        let half = f64::from(self.kernel_size / 2);
        let weight = |i| {
            let x = f64::from(i) - half;
            (-0.5 * (x / self.sigma) * (x / self.sigma)).exp() as f32
        };
        memory::collect((0..self.kernel_size).map(weight), weights);
        let total: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
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
