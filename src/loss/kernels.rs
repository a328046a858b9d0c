//! The loops of the loss, over one row or one pair of rows. They are plain Rust that the compiler
//! vectorises (see [`crate::simd`]).
//!
//! # Sums
//!
//! A sum of floats depends on its order, so LLVM may not vectorise one. [`sum`] has an order that
//! it can vectorise: `LANES` partial sums side by side.
//!
//! ```text
//! row       0   1  ...  31 | 32  33  ...  63 | ...
//! lanes    +0  +1  ... +31 | +0  +1  ... +31 | ...
//! ```
//!
//! A lane adds 64 terms in the row's own type. Then the lanes are added up in f64, in pairs, and so
//! is everything after them: the error of a long f32 row does not grow with its length. The order
//! depends on the length only, so the result is the same on every machine and for every number of
//! threads.

use multiversion::multiversion;

use super::real::Real;

/// The number of partial sums. They fill four AVX2 registers of f32.
const LANES: usize = 32;
/// The number of terms after which the lanes are added up in f64.
const BLOCK: usize = 64 * LANES;

/// A row of each view.
#[derive(Clone, Copy)]
pub struct RowPair<'a, T> {
    pub first: &'a [T],
    pub second: &'a [T],
}

/// A row of each view, to write.
pub struct RowPairMut<'a, T> {
    pub first: &'a mut [T],
    pub second: &'a mut [T],
}

/// The dot products of two rows with each other and with themselves.
pub struct Products {
    pub dot: f64,
    pub first_square: f64,
    pub second_square: f64,
}

/// The sum of `term(a, b)` over the pairs of numbers in both rows.
#[inline(always)]
fn sum<T: Real>(first: &[T], second: &[T], term: impl Fn(T, T) -> T) -> f64 {
    let mut total = 0.0;
    for (first, second) in first.chunks(BLOCK).zip(second.chunks(BLOCK)) {
        let mut lanes = [T::ZERO; LANES];
        let (first, first_rest) = first.as_chunks::<LANES>();
        let (second, second_rest) = second.as_chunks::<LANES>();
        for (first, second) in first.iter().zip(second) {
            for ((lane, &a), &b) in lanes.iter_mut().zip(first).zip(second) {
                *lane += term(a, b);
            }
        }
        for ((lane, &a), &b) in lanes.iter_mut().zip(first_rest).zip(second_rest) {
            *lane += term(a, b);
        }
        let mut wide = lanes.map(T::to_f64);
        let mut width = LANES / 2;
        while width > 0 {
            let (left, right) = wide.split_at_mut(width);
            left.iter_mut().zip(right).for_each(|(l, r)| *l += *r);
            width /= 2;
        }
        total += wide[0];
    }
    total
}

/// The largest number that is not NaN; -inf if there is none.
#[multiversion(targets = "simd")]
pub fn maximum<T: Real>(row: &[T]) -> T {
    let larger = |a: T, b: T| if b > a { b } else { a };
    let mut lanes = [T::NEG_INFINITY; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for (lane, &v) in lanes.iter_mut().zip(block) {
            *lane = larger(*lane, v);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, v);
    }
    lanes.into_iter().fold(T::NEG_INFINITY, larger)
}

/// Writes `e^(row - max)` to `out` and returns its sum. No number in `row` may be above `max`.
#[multiversion(targets = "simd")]
pub fn exponentials<T: Real>(row: &[T], max: T, out: &mut [T]) -> f64 {
    for (out, &v) in out.iter_mut().zip(row) {
        *out = (v - max).exp_of_negative();
    }
    sum(out, out, |v, _| v)
}

/// The sum of `row - max`.
#[multiversion(targets = "simd")]
pub fn shifted<T: Real>(row: &[T], max: T) -> f64 {
    sum(row, row, |v, _| v - max)
}

/// The sums of `weights` and of `weights * (row - max)`.
#[multiversion(targets = "simd")]
pub fn weighted<T: Real>(weights: &[T], row: &[T], max: T) -> (f64, f64) {
    (sum(weights, weights, |w, _| w), sum(weights, row, |w, v| w * (v - max)))
}

/// `row = row * factor - less`.
#[multiversion(targets = "simd")]
pub fn rescale<T: Real>(row: &mut [T], factor: T, less: T) {
    for v in row {
        *v = *v * factor - less;
    }
}

/// `row = row * factor - (weights * weight + less)`.
#[multiversion(targets = "simd")]
pub fn rescale_weighted<T: Real>(row: &mut [T], factor: T, weights: &[T], weight: T, less: T) {
    for (v, &w) in row.iter_mut().zip(weights) {
        *v = *v * factor - (w * weight + less);
    }
}

/// The sum of `(first - second)^2`.
#[multiversion(targets = "simd")]
pub fn squares<T: Real>(rows: RowPair<'_, T>) -> f64 {
    sum(rows.first, rows.second, |a, b| (a - b) * (a - b))
}

/// The sum of `|first - second|`.
#[multiversion(targets = "simd")]
pub fn distances<T: Real>(rows: RowPair<'_, T>) -> f64 {
    sum(rows.first, rows.second, |a, b| if a < b { b - a } else { a - b })
}

/// The three dot products of the rows.
#[multiversion(targets = "simd")]
pub fn products<T: Real>(rows: RowPair<'_, T>) -> Products {
    let RowPair { first, second } = rows;
    let product = |a: T, b: T| a * b;
    Products {
        dot: sum(first, second, product),
        first_square: sum(first, first, product),
        second_square: sum(second, second, product),
    }
}

/// Writes `factor * (first - second)` and its negative.
#[multiversion(targets = "simd")]
pub fn differences<T: Real>(rows: RowPair<'_, T>, factor: T, out: RowPairMut<'_, T>) {
    let out = out.first.iter_mut().zip(out.second);
    for ((to_first, to_second), (&a, &b)) in out.zip(rows.first.iter().zip(rows.second)) {
        let value = (a - b) * factor;
        *to_first = value;
        *to_second = -value;
    }
}

/// Writes `factor * sign(first - second)` and its negative. The sign of 0 and of NaN is 0.
#[multiversion(targets = "simd")]
pub fn signs<T: Real>(rows: RowPair<'_, T>, factor: T, out: RowPairMut<'_, T>) {
    let out = out.first.iter_mut().zip(out.second);
    for ((to_first, to_second), (&a, &b)) in out.zip(rows.first.iter().zip(rows.second)) {
        let up = if a > b { factor } else { T::ZERO };
        let down = if a < b { factor } else { T::ZERO };
        *to_first = up - down;
        *to_second = down - up;
    }
}

/// Writes `row * own + other * across` for both rows. `own` has a factor per row.
#[multiversion(targets = "simd")]
pub fn combine<T: Real>(rows: RowPair<'_, T>, own: [T; 2], across: T, out: RowPairMut<'_, T>) {
    let [own_first, own_second] = own;
    let out = out.first.iter_mut().zip(out.second);
    for ((to_first, to_second), (&a, &b)) in out.zip(rows.first.iter().zip(rows.second)) {
        *to_first = a * own_first + b * across;
        *to_second = b * own_second + a * across;
    }
}
