//! [`Fixed`]: an affine transform in Pillow's fixed point.

use std::ops::Range;

/// One pixel.
pub const ONE: i64 = 1 << 16;

/// A matrix in Pillow's fixed point: coordinates in 65,536ths of a pixel.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    start: (i64, i64),
    /// The step from an output pixel to the next one of its row.
    pub right: (i64, i64),
    /// The step to the next row.
    pub down: (i64, i64),
}

impl Fixed {
    /// Pillow's conversion of a matrix.
    pub fn new(&[a, b, c, d, e, f]: &[f64; 6]) -> Self {
        let fix = |v: f64| (v * 65536.0 + 0.5).floor() as i64;
        Self {
            start: (fix(c + a * 0.5 + b * 0.5), fix(f + d * 0.5 + e * 0.5)),
            right: (fix(a), fix(d)),
            down: (fix(b), fix(e)),
        }
    }

    /// The input coordinates of an output pixel.
    pub fn at(&self, x: usize, y: usize) -> (i64, i64) {
        let (x, y) = (x as i64, y as i64);
        (
            self.start.0 + y * self.down.0 + x * self.right.0,
            self.start.1 + y * self.down.1 + x * self.right.1,
        )
    }

    /// The columns of output row `y` that lie inside the image of `(height, width)`.
    pub fn span(&self, y: usize, (height, width): (usize, usize)) -> Range<usize> {
        let (x0, y0) = self.at(0, y);
        let xs = inside(x0, self.right.0, width, width);
        let ys = inside(y0, self.right.1, height, width);
        let start = xs.start.max(ys.start);
        start..xs.end.min(ys.end).max(start)
    }
}

/// The `i` in `0..len` for which `from + i * step` is a coordinate in `0..size` pixels.
fn inside(from: i64, step: i64, size: usize, len: usize) -> Range<usize> {
    let end = (size as i64) << 16;
    // The first i from which on the sum is at least `to`, if the step is positive.
    let first = |to: i64, step: i64| steps(to - from, step).min(len as i64) as usize;
    match step {
        0 if (0..end).contains(&from) => 0..len,
        0 => 0..0,
        1.. => first(0, step)..first(end, step),
        // The first from which on the negated sum is at least 1 - end, or 1.
        _ => {
            let first = |to: i64| steps(to + from, -step).min(len as i64) as usize;
            first(1 - end)..first(1)
        }
    }
}

/// The least n >= 0 for which `n * step >= distance`, for a positive step.
fn steps(distance: i64, step: i64) -> i64 {
    if distance <= 0 {
        return 0;
    }
    if step == ONE {
        return (distance + ONE - 1) >> 16;
    }
    // Coordinates have fewer than 53 bits, so the quotient is too small by one at most, and never
    // too large: it is an integer, or above one by more than its rounding error.
    let n = (distance as f64 / step as f64) as i64;
    n + i64::from(n * step < distance)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_columns_inside_are_found(
            from in -(1i64 << 31)..1 << 31,
            step in prop_oneof![-(1i64 << 17)..1 << 17, Just(0), Just(1), Just(-1), Just(1 << 16)],
            exact: bool,
            size in 1usize..300,
            len in 1usize..300,
        ) {
            let from = if exact { from % 300 * step } else { from % (400 << 16) };
            let expected: Vec<usize> = (0..len)
                .filter(|&i| (0..(size as i64) << 16).contains(&(from + i as i64 * step)))
                .collect();
            let found: Vec<usize> = super::inside(from, step, size, len).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
