//! Where each output pixel is looked up, row by row.

use std::ops::Range;

use multiversion::multiversion;

use super::padded::PAD;
use crate::memory;

/// Where the output pixels of a row are looked up.
#[derive(Debug, Default)]
pub struct Places {
    /// The index in the padded copy of the pixel at or before each.
    pub at: Vec<u32>,
    /// The distance from there, as a fraction of the way to the next column.
    pub dx: Vec<f64>,
    /// The same to the next row.
    pub dy: Vec<f64>,
}

/// The index of a place, and its fractions along the row and the column.
pub type Place = (usize, f64, f64);

/// The directions in which places lie between pixels.
#[derive(Clone, Copy, Debug)]
pub enum Axes {
    /// Along the row only.
    X,
    /// Along the column only.
    Y,
    /// Both.
    Both,
}

impl Places {
    /// Number `i`.
    #[inline(always)]
    #[cfg(target_arch = "x86_64")]
    pub fn get(&self, i: usize) -> Place {
        (self.at[i] as usize, self.dx[i], self.dy[i])
    }

    /// Each of them.
    #[inline(always)]
    pub fn iter(&self) -> impl Iterator<Item = Place> {
        let places = self.at.iter().zip(&self.dx).zip(&self.dy);
        places.map(|((&at, &dx), &dy)| (at as usize, dx, dy))
    }
}

/// An affine transform of an image of `width` x `height`.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    pub matrix: &'a [f64; 6],
    pub height: usize,
    pub width: usize,
}

impl Affine<'_> {
    /// Input coordinates of the output pixel's centre, in Pillow's order of operations.
    #[inline(always)]
    fn at(&self, x: usize, y: usize) -> (f64, f64) {
        let [a, b, c, d, e, f] = *self.matrix;
        let (x, y) = (x as i32 as f64 + 0.5, y as i32 as f64 + 0.5);
        (a * x + b * y + c, d * x + e * y + f)
    }

    /// The columns of output row `y` whose source lies inside the image.
    ///
    /// Rounding keeps sums and products monotone, so the columns are an interval.
    pub fn span(&self, y: usize) -> Range<usize> {
        let [a, _, _, d, ..] = *self.matrix;
        let origin = self.at(0, y);
        let xs = interval(self.width, (origin.0, a), self.width as f64, |x| self.at(x, y).0);
        let ys = interval(self.width, (origin.1, d), self.height as f64, |x| self.at(x, y).1);
        let start = xs.start.max(ys.start);
        start..xs.end.min(ys.end).max(start)
    }

    /// The directions in which output pixels may lie between input pixels.
    pub fn axes(&self) -> Axes {
        let [a, b, c, d, e, f] = *self.matrix;
        let on_columns = a == 1.0 && b == 0.0 && c.fract() == 0.0;
        let on_rows = d == 0.0 && e == 1.0 && f.fract() == 0.0;
        match (on_columns, on_rows) {
            (_, true) => Axes::X,
            (true, false) => Axes::Y,
            (false, false) => Axes::Both,
        }
    }

    /// Finds the places of the columns `span` of output row `y`.
    pub fn places(&self, y: usize, span: Range<usize>, places: &mut Places) {
        let Places { at, dx, dy } = places;
        memory::resize(at, span.len(), 0);
        memory::resize(dx, span.len(), 0.0);
        memory::resize(dy, span.len(), 0.0);
        fill(*self, y, span.start, at, dx, dy);
    }
}

#[multiversion(targets = "simd")]
fn fill(map: Affine<'_>, y: usize, start: usize, at: &mut [u32], dx: &mut [f64], dy: &mut [f64]) {
    let stride = (map.width + 2 * PAD) as f64;
    for (i, ((at, dx), dy)) in at.iter_mut().zip(dx).zip(dy).enumerate() {
        let (x, y) = map.at(start + i, y);
        let (x, y) = (x - 0.5, y - 0.5);
        let (left, above) = (x.floor(), y.floor());
        (*dx, *dy) = (x - left, y - above);
        let index = (above + PAD as f64) * stride + (left + PAD as f64);
        // SAFETY: `span` returns only columns with coordinates in [0, 2^15]: at its ends `at` was
        // compared with the range, and between them `at` is monotone, since the matrix is finite. So
        // the index is an integer of at most (2^15 + 2) * (2^15 + 5), which fits an i32.
        *at = unsafe { index.to_int_unchecked::<i32>() as u32 };
    }
}

/// The `x` in `0..len` for which `at(x)`, which is monotone, is in `0.0..limit`.
///
/// It is about `origin + x * step`. Each end of the interval is first computed from that, and then
/// moved to where it exactly is: by a column at most, unless rounding errors are large.
fn interval(
    len: usize,
    (origin, step): (f64, f64),
    limit: f64,
    at: impl Fn(usize) -> f64,
) -> Range<usize> {
    // The first x from which on something is so, where it is not before.
    let first = |estimate: f64, reached: &dyn Fn(f64) -> bool| {
        let mut x = (estimate as usize).min(len);
        while x < len && !reached(at(x)) {
            x += 1;
        }
        while x > 0 && reached(at(x - 1)) {
            x -= 1;
        }
        x
    };
    let (zero, end) = (-origin / step, (limit - origin) / step);
    if step >= 0.0 {
        first(zero, &|v| v >= 0.0)..first(end, &|v| v >= limit)
    } else {
        first(end, &|v| v < limit)..first(zero, &|v| v < 0.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Affine;

    proptest! {
        #[test]
        fn the_columns_inside_are_found(
            matrix in prop_oneof![
                prop::array::uniform6(-2.0..2.0f64),
                prop::array::uniform6(-60.0..60.0f64),
                prop::array::uniform6((-3..4).prop_map(f64::from)),
            ],
            height in 1usize..50,
            width in 1usize..50,
        ) {
            let map = Affine { matrix: &matrix, height, width };
            let inside = |v: f64, limit: usize| (0.0..limit as f64).contains(&v);
            for y in 0..height {
                let found: Vec<usize> = map.span(y).collect();
                let columns = (0..width).filter(|&column| {
                    let (x, y) = map.at(column, y);
                    inside(x, width) && inside(y, height)
                });
                prop_assert_eq!(found, columns.collect::<Vec<_>>());
            }
        }
    }
}
