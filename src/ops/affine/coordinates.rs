//! Where each output pixel is looked up, row by row.

use std::ops::Range;

use multiversion::multiversion;

use super::padded::PAD;

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
    /// The index of each place, and its fractions along the row and the column.
    #[inline(always)]
    pub fn iter(&self) -> impl Iterator<Item = (usize, f64, f64)> {
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
        let (height, width) = (self.height as f64, self.width as f64);
        let (at_x, at_y) = (|x| self.at(x, y).0, |x| self.at(x, y).1);
        let xs = interval(self.width, a >= 0.0, |x| at_x(x) >= 0.0, |x| at_x(x) < width);
        let ys = interval(self.width, d >= 0.0, |x| at_y(x) >= 0.0, |x| at_y(x) < height);
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
        at.resize(span.len(), 0);
        dx.resize(span.len(), 0.0);
        dy.resize(span.len(), 0.0);
        fill(*self, y, span.start, at, dx, dy);
    }
}

#[multiversion(targets = "simd")]
fn fill(map: Affine<'_>, y: usize, start: usize, at: &mut [u32], dx: &mut [f64], dy: &mut [f64]) {
    let stride = (map.width + 2 * PAD) as i32;
    for (i, ((at, dx), dy)) in at.iter_mut().zip(dx).zip(dy).enumerate() {
        let (x, y) = map.at(start + i, y);
        let ((x, rest_x), (y, rest_y)) = (floor(x - 0.5), floor(y - 0.5));
        (*dx, *dy) = (rest_x, rest_y);
        *at = ((y + PAD as i32) * stride + x + PAD as i32) as u32;
    }
}

/// The largest integer that is not above `v`, and the rest. `v` lies in the image.
#[inline(always)]
fn floor(v: f64) -> (i32, f64) {
    // SAFETY: `v` is half a pixel less than a coordinate in [0, 2^15], and so fits an i32. `span`
    // returns only columns with such coordinates: it is a binary search on `at`, which is monotone
    // in x for every finite matrix. With infinities there may be a tail of NaN, for which `span` is
    // empty.
    let whole = unsafe { v.to_int_unchecked::<i32>() };
    let whole = whole - i32::from(f64::from(whole) > v);
    (whole, v - f64::from(whole))
}

/// Finds the `x` in `0..len` for which a value lies in a range.
///
/// The value is monotone in `x`, and `rising` is its direction. `not_below` and `not_beyond`
/// compare it with the ends of the range. Two binary searches find the interval.
pub fn interval(
    len: usize,
    rising: bool,
    not_below: impl Fn(usize) -> bool,
    not_beyond: impl Fn(usize) -> bool,
) -> Range<usize> {
    let first = |reached: &dyn Fn(usize) -> bool| {
        let (mut low, mut high) = (0, len);
        while low < high {
            let middle = (low + high) / 2;
            if reached(middle) { high = middle } else { low = middle + 1 }
        }
        low
    };
    if rising {
        first(&not_below)..first(&|x| !not_beyond(x))
    } else {
        first(&not_beyond)..first(&|x| !not_below(x))
    }
}
