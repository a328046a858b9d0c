//! Value and gradient of one row's cross entropy and of one pair's distance.

use super::Similarity;
use super::kernels;
use super::real::Real;

/// What a row of logits should have been.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a, T> {
    Class(usize),
    Soft(&'a [T]),
}

/// The row's cross entropy against `(1 - smoothing) * target + smoothing / classes`.
///
/// `out` serves as scratch; if `scale` is given it is left with `scale` times the gradient. As in
/// `torch.nn.functional.cross_entropy`, a soft target need not sum to 1.
pub fn cross_entropy<T: Real>(
    row: &[T],
    wanted: Wanted<'_, T>,
    smoothing: f64,
    scale: Option<f64>,
    out: &mut [T],
) -> f64 {
    let max = kernels::maximum(row);
    let sum = kernels::exponentials(row, max, out);
    // Not the system's logarithm: a result must not depend on the machine.
    let log_sum = libm::log(sum);
    let even = smoothing / row.len() as f64;
    // Without smoothing an infinite logit of another class must not make 0 * inf.
    let smooth = if smoothing > 0.0 { even * kernels::shifted(row, max) } else { 0.0 };
    let kept = 1.0 - smoothing;
    match wanted {
        Wanted::Class(class) => {
            if let Some(scale) = scale {
                kernels::rescale(out, T::from_f64(scale / sum), T::from_f64(scale * even));
                out[class] = out[class] - T::from_f64(scale * kept);
            }
            let own = row[class].to_f64() - max.to_f64();
            log_sum - smooth - if kept > 0.0 { kept * own } else { 0.0 }
        }
        Wanted::Soft(target) => {
            let (weight, weighted) = kernels::weighted(target, row, max);
            let mass = kept * weight + smoothing;
            if let Some(scale) = scale {
                let factor = T::from_f64(mass * scale / sum);
                let (kept, even) = (T::from_f64(scale * kept), T::from_f64(scale * even));
                kernels::rescale_weighted(out, factor, target, kept, even);
            }
            mass * log_sum - smooth - kept * weighted
        }
    }
}

/// Norms below this are taken for it, as in `torch.nn.functional.cosine_similarity`.
const SHORTEST: f64 = 1e-8;

/// One pair's share of the distance: the sum of `(a - b)^2` or of `|a - b|`, or `1 - cos(a, b)`.
///
/// If `out` is given it is left with `scale` times the gradient for either row.
pub fn distance<T: Real>(
    similarity: Similarity,
    (first, second): (&[T], &[T]),
    scale: f64,
    out: Option<(&mut [T], &mut [T])>,
) -> f64 {
    match similarity {
        Similarity::Mse => {
            if let Some(out) = out {
                kernels::differences((first, second), T::from_f64(2.0 * scale), out);
            }
            kernels::squares(first, second)
        }
        Similarity::L1 => {
            if let Some(out) = out {
                kernels::signs((first, second), T::from_f64(scale), out);
            }
            kernels::distances(first, second)
        }
        Similarity::Cosine => {
            let (dot, first_square, second_square) = kernels::products(first, second);
            let norms = (first_square.sqrt(), second_square.sqrt());
            let limited = (norms.0.max(SHORTEST), norms.1.max(SHORTEST));
            let product = limited.0 * limited.1;
            if let Some(out) = out {
                // PyTorch differentiates a norm that it took for another as if it had not.
                let own = |norm: f64, limited: f64| {
                    if norm == 0.0 { 0.0 } else { scale * dot / product / (limited * norm) }
                };
                let own = (own(norms.0, limited.0), own(norms.1, limited.1));
                let own = (T::from_f64(own.0), T::from_f64(own.1));
                kernels::combine((first, second), own, T::from_f64(-scale / product), out);
            }
            1.0 - dot / product
        }
    }
}
