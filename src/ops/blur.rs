//! Pillow's `ImageFilter.GaussianBlur`: three box blurs of a fractional radius in each direction.

use multiversion::multiversion;

/// What blurs reuse.
#[derive(Debug, Default)]
pub struct Buffers {
    pub(super) plane: Vec<u8>,
    pub(super) floats: Vec<f32>,
    sums: Vec<u32>,
}

/// Pillow's passes in each direction.
const PASSES: usize = 3;

/// Pillow's `GaussianBlur(radius)` on each plane.
pub fn pillow(
    (height, width): (usize, usize),
    planes: &mut [u8],
    radius: f64,
    buffers: &mut Buffers,
) {
    if radius == 0.0 {
        return;
    }
    let radius = box_radius(radius as f32);
    let Buffers { plane: other, sums, .. } = buffers;
    other.resize(height * width, 0);
    for plane in planes.chunks_exact_mut(height * width) {
        // Along the columns of the transposed plane first: that is along the rows.
        transpose(plane, (height, width), other);
        down_thrice(other, plane, (width, height), radius, sums);
        transpose(plane, (width, height), other);
        down_thrice(other, plane, (height, width), radius, sums);
    }
}

/// The radius of a box whose triple use has the standard deviation `sigma` (Gwosdek et al. 2011,
/// equations 7, 11, 14), in Pillow's mix of f32 and f64.
fn box_radius(sigma: f32) -> f32 {
    let variance = sigma * sigma / PASSES as f32;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
    let mut part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    part /= 6.0 * (variance - (whole + 1.0) * (whole + 1.0));
    whole + part
}

/// Blurs `a` along its columns three times; the result is in `b`.
fn down_thrice(a: &mut [u8], b: &mut [u8], size: (usize, usize), radius: f32, sums: &mut Vec<u32>) {
    down(a, b, size, radius, sums);
    down(b, a, size, radius, sums);
    down(a, b, size, radius, sums);
}

/// One box blur along the columns (`ImagingHorizontalBoxBlur`, turned).
///
/// With `r` the radius' whole part, `ww = trunc(2^24 / (2 radius + 1))` and `fw` what is left for the
/// two outer pixels: `(sum of 2r + 1 pixels * ww + outer two * fw + 2^23) >> 24`, edges repeated.
fn down(
    input: &[u8],
    out: &mut [u8],
    (height, width): (usize, usize),
    radius: f32,
    sums: &mut Vec<u32>,
) {
    let whole = radius as usize;
    let ww = ((1u32 << 24) as f32 / (radius * 2.0 + 1.0)) as u32;
    let fw = (1u32 << 24).wrapping_sub((2 * whole as u32 + 1).wrapping_mul(ww)) / 2;
    let row = |y: isize| &input[y.clamp(0, height as isize - 1) as usize * width..][..width];
    let r = whole as isize;
    sums.clear();
    sums.resize(width, 0);
    // The window of row -1.
    let first = row(0);
    for (sum, &v) in sums.iter_mut().zip(first) {
        *sum = u32::from(v) * (whole as u32 + 1);
    }
    for y in 0..r {
        for (sum, &v) in sums.iter_mut().zip(row(y)) {
            *sum += u32::from(v);
        }
    }
    for (y, out) in out.chunks_exact_mut(width).enumerate() {
        let y = y as isize;
        let (leaving, entering) = (row(y - r - 1), row(y + r));
        step(sums, (leaving, entering, row(y + r + 1)), (ww, fw), out);
    }
}

#[multiversion(targets = "simd")]
fn step(
    sums: &mut [u32],
    (leaving, entering, after): (&[u8], &[u8], &[u8]),
    (ww, fw): (u32, u32),
    out: &mut [u8],
) {
    let len = out.len();
    let (sums, leaving) = (&mut sums[..len], &leaving[..len]);
    let (entering, after) = (&entering[..len], &after[..len]);
    for x in 0..len {
        let sum = sums[x].wrapping_add(u32::from(entering[x])).wrapping_sub(u32::from(leaving[x]));
        sums[x] = sum;
        let outer = u32::from(leaving[x]) + u32::from(after[x]);
        let total = sum.wrapping_mul(ww).wrapping_add(outer.wrapping_mul(fw));
        out[x] = (total.wrapping_add(1 << 23) >> 24) as u8;
    }
}

/// Rows become columns, in tiles that stay in the first cache.
fn transpose(input: &[u8], (height, width): (usize, usize), out: &mut [u8]) {
    const TILE: usize = 16;
    for top in (0..height).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for x in left..width.min(left + TILE) {
                for y in top..height.min(top + TILE) {
                    out[x * height + y] = input[y * width + x];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// Pillow's box blur of one line, each sum by itself.
    fn line(input: &[u8], radius: f32) -> Vec<u8> {
        let r = radius as i64;
        let ww = ((1u32 << 24) as f32 / (radius * 2.0 + 1.0)) as u64;
        let fw = ((1 << 24) - (2 * r as u64 + 1) * ww) / 2;
        let at = |x: i64| u64::from(input[x.clamp(0, input.len() as i64 - 1) as usize]);
        let blurred = |x: i64| {
            let sum: u64 = (x - r..=x + r).map(at).sum();
            let outer = at(x - r - 1) + at(x + r + 1);
            ((sum * ww + outer * fw + (1 << 23)) >> 24) as u8
        };
        (0..input.len() as i64).map(blurred).collect()
    }

    proptest! {
        #[test]
        fn running_sums_are_sums(
            input in prop::collection::vec(any::<u8>(), 1..60),
            radius in 0.0f32..20.0,
        ) {
            let mut out = vec![0; input.len()];
            // One column.
            super::down(&input, &mut out, (input.len(), 1), radius, &mut Vec::new());
            prop_assert_eq!(out, line(&input, radius));
        }

        #[test]
        fn a_transposition_undoes_itself(width in 1usize..40, height in 1usize..40) {
            let input: Vec<u8> = (0..width * height).map(|i| i as u8).collect();
            let (mut turned, mut back) = (vec![0; input.len()], vec![0; input.len()]);
            super::transpose(&input, (height, width), &mut turned);
            prop_assert_eq!(turned[(width - 1) * height], input[width - 1]);
            super::transpose(&turned, (width, height), &mut back);
            prop_assert_eq!(back, input);
        }
    }
}
