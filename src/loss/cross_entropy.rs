//! Value and gradient of one row's cross entropy.

use super::kernels;
use super::real::Real;

/// What a row of logits should predict.
#[derive(Clone, Copy, Debug)]
pub enum RowTarget<'a, T> {
    /// One class.
    Class(usize),
    /// A weight per class. As in `torch.nn.functional.cross_entropy` they need not sum to 1.
    Soft(&'a [T]),
}

/// The cross entropy of a row against `(1 - smoothing) * target + smoothing / classes`.
///
/// With `q` for this smoothed target and `p = softmax(row)` the value is `-sum(q * log(p))` and the
/// gradient `sum(q) * p - q`. Exponentials are of `row - max(row)`, which can't overflow.
///
/// `out` is scratch. If `scale` is given, `scale` times the gradient is left in it.
pub fn cross_entropy<T: Real>(
    row: &[T],
    target: RowTarget<'_, T>,
    smoothing: f64,
    scale: Option<f64>,
    out: &mut [T],
) -> f64 {
    let max = kernels::maximum(row);
    let sum = kernels::exponentials(row, max, out);
    // Not the system's logarithm: the result must be the same on every machine.
    let log_sum = libm::log(sum);
    let even = smoothing / row.len() as f64;
    // Without smoothing, an infinite logit of another class must not become 0 * inf.
    let smooth = if smoothing > 0.0 { even * kernels::shifted(row, max) } else { 0.0 };
    let kept = 1.0 - smoothing;
    match target {
        RowTarget::Class(class) => {
            if let Some(scale) = scale {
                kernels::rescale(out, T::from_f64(scale / sum), T::from_f64(scale * even));
                out[class] = out[class] - T::from_f64(scale * kept);
            }
            let own = row[class].to_f64() - max.to_f64();
            log_sum - smooth - if kept > 0.0 { kept * own } else { 0.0 }
        }
        RowTarget::Soft(weights) => {
            let (weight, weighted) = kernels::weighted(weights, row, max);
            let mass = kept * weight + smoothing;
            if let Some(scale) = scale {
                let factor = T::from_f64(mass * scale / sum);
                let (kept, even) = (T::from_f64(scale * kept), T::from_f64(scale * even));
                kernels::rescale_weighted(out, factor, weights, kept, even);
            }
            mass * log_sum - smooth - kept * weighted
        }
    }
}
