//! The vertical pass: each output row is a weighted sum of input rows, whatever the bytes in them mean.

use multiversion::multiversion;

use super::Coefficients;
use super::coefficients::PRECISION_BITS;

/// Bytes worked on at once: their sums fill eight AVX2 registers.
const BLOCK: usize = 64;

/// Resizes rows of `width` bytes that lie `stride` bytes apart in `data`; output row `y` goes to row
/// `rows - 1 - y` if `flip`.
///
/// `data` starts at input row `first` of those that `coefficients` speaks of.
pub fn resize(
    (data, stride): (&[u8], usize),
    first: usize,
    coefficients: &Coefficients,
    flip: bool,
    width: usize,
    out: &mut [u8],
) {
    let windows = coefficients.windows();
    for (y, &window) in windows.iter().enumerate() {
        let y = if flip { windows.len() - 1 - y } else { y };
        let rows = &data[(window.start - first) * stride..];
        combine((rows, stride), coefficients.of(window), &mut out[y * width..][..width]);
    }
}

/// `clamp((2^21 + sum of row * weight) >> 22)`, byte by byte; rows lie `stride` bytes apart.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn combine((rows, stride): (&[u8], usize), weights: &[i32], out: &mut [u8]) {
    let width = out.len();
    let mut start = 0;
    while start < width {
        // The last block overlaps the one before it rather than being short.
        if start + BLOCK > width && width >= BLOCK {
            start = width - BLOCK;
        }
        let end = width.min(start + BLOCK);
        let mut sums = [1i32 << (PRECISION_BITS - 1); BLOCK];
        for (row, &weight) in rows.chunks(stride).zip(weights) {
            if let Ok(block) = <&[u8; BLOCK]>::try_from(&row[start..end]) {
                for (s, &v) in sums.iter_mut().zip(block) {
                    *s += i32::from(v) * weight;
                }
            } else {
                for (s, &v) in sums.iter_mut().zip(&row[start..end]) {
                    *s += i32::from(v) * weight;
                }
            }
        }
        for (o, s) in out[start..end].iter_mut().zip(sums) {
            *o = (s >> PRECISION_BITS).clamp(0, 255) as u8;
        }
        start = end;
    }
}
