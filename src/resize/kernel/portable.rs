//! The vertical pass in plain Rust.

use super::super::coefficients::{Coefficients, PRECISION_BITS};
use super::buffers::{BLOCK, ByteRows, HALF};

/// As [`super::vertical()`], with sums in memory. Compilers vectorise its loops for any machine.
pub fn vertical(input: ByteRows<'_>, coefficients: &Coefficients, out: &mut [u8]) {
    let ByteRows { data, stride, width } = input;
    let mut sums = [0i32; 4 * BLOCK];
    for (&window, out) in coefficients.windows().iter().zip(out.chunks_exact_mut(width)) {
        let rows = &data[window.start * stride..];
        let starts = (0..width).step_by(sums.len());
        for (start, out) in starts.zip(out.chunks_mut(sums.len())) {
            let sums = &mut sums[..out.len()];
            sums.fill(HALF);
            for (tap, &weight) in coefficients.weights(window).iter().enumerate() {
                let row = &rows[tap * stride + start..][..out.len()];
                for (sum, &byte) in sums.iter_mut().zip(row) {
                    *sum += i32::from(byte) * weight;
                }
            }
            for (out, &sum) in out.iter_mut().zip(&*sums) {
                *out = (sum >> PRECISION_BITS).clamp(0, 255) as u8;
            }
        }
    }
}
