//! The tied loss and its gradients, in one pass over logits and features.
//!
//! A batch has B samples, each in two views. Rows are view-major: all of view 1, then all of view
//! 2, so rows `i` and `B + i` belong to sample `i`. With logits `(2B, C)` and features `(2B, D)`,
//!
//! ```text
//! loss = mean(cross_entropy(logits, target))
//!      + tied_weight * similarity(features[..B], features[B..])
//! ```
//!
//! as Python's `TiedLoss` computes it with PyTorch.
//!
//! ```
//! use ndarray::array;
//! use tied_augment::loss::{Gradients, Inputs, Similarity, Target, TiedLoss};
//! use tied_augment::pool::Pool;
//!
//! // One sample in two views, three classes, two features.
//! let logits = array![[2.0, 0.5, -1.0], [1.5, 0.0, -0.5]];
//! let features = array![[1.0, 0.0], [0.5, 0.5]];
//! let labels = array![0];
//! let inputs = Inputs {
//!     logits: logits.view().into(),
//!     features: features.view().into(),
//!     target: Target::Classes(labels.view().into()),
//! };
//! let mut grad_features = array![[0.0, 0.0], [0.0, 0.0]];
//! let gradients =
//!     Gradients { features: Some(grad_features.view_mut().into()), ..Gradients::default() };
//!
//! let loss = TiedLoss::default().with_similarity(Similarity::Mse).with_tied_weight(2.0);
//! let parts = loss.run(&inputs, gradients, &Pool::new(1)?)?;
//! assert_eq!(parts.similarity, 0.25); // the mean of 0.5^2 and 0.5^2
//! assert_eq!(parts.loss, parts.ce + 2.0 * parts.similarity);
//! assert_eq!(grad_features, array![[1.0, -1.0], [-1.0, 1.0]]);
//! # Ok::<(), tied_augment::error::Error>(())
//! ```
//!
//! # Why one pass
//!
//! PyTorch needs a dozen operations for this, and each reads and writes whole matrices. Here a row
//! is read once, and its value and its gradient are finished while it is in the cache:
//!
//! ```text
//! logits    -> chunks of rows  -> threads: cross_entropy -> a loss per row      -> ce
//! features  -> chunks of pairs -> threads: similarity    -> a distance per pair -> similarity
//! ```
//!
//! # Precision and reproducibility
//!
//! float64 is computed in f64, everything else in f32. Half precision is converted a row at a time.
//! Sums of more than 64 terms are in f64.
//!
//! The result is the same bit for bit on every machine and for any number of threads. Each row has
//! a value of its own, and these are added in order, regardless of the threads that computed them.
//! The order of the sums within a row depends on its length only. There is no FMA, and the
//! logarithm and the exponential are not the system's.
//!
//! This module imports [`crate::error`] and [`crate::pool`] only.

mod chunks;
mod convert;
mod cross_entropy;
mod inputs;
mod kernels;
mod matrix;
mod real;
mod similarity;

pub use inputs::{Gradients, Inputs, Target};
pub use matrix::{Labels, Matrix, MatrixMut};
pub use similarity::Similarity;

use crate::error::Result;
use crate::pool::Pool;
use chunks::{Context, Outputs};
use inputs::{RowTargets, refuse};

/// With fewer numbers than these, waking a second thread takes longer than the work.
const PARALLEL_LEN: usize = 1 << 16;

/// The views whose logits count in the cross entropy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Supervise {
    /// Both.
    #[default]
    Both,
    /// View 1. The gradient of view 2's logits is 0.
    First,
}

/// The loss and its two terms.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Parts {
    /// `ce + tied_weight * similarity`.
    pub loss: f64,
    /// The mean cross entropy over the rows that count; 0 if none does.
    pub ce: f64,
    /// The distance, not weighted.
    pub similarity: f64,
}

/// The options of the loss. See the [module's documentation](self) for an example.
#[derive(Clone, Copy, Debug)]
pub struct TiedLoss {
    similarity: Similarity,
    tied_weight: f64,
    label_smoothing: f64,
    supervise: Supervise,
    ignore_index: i64,
}

impl Default for TiedLoss {
    /// The defaults of Python's `TiedLoss`: [`Similarity::Mse`] with weight 1, no label smoothing,
    /// both views supervised, class -100 ignored.
    fn default() -> Self {
        Self {
            similarity: Similarity::Mse,
            tied_weight: 1.0,
            label_smoothing: 0.0,
            supervise: Supervise::Both,
            ignore_index: -100,
        }
    }
}

impl TiedLoss {
    /// Chooses the distance between the two views' features.
    #[must_use]
    pub fn with_similarity(self, similarity: Similarity) -> Self {
        Self { similarity, ..self }
    }

    /// Sets the factor of the distance. It must be finite.
    #[must_use]
    pub fn with_tied_weight(self, tied_weight: f64) -> Self {
        Self { tied_weight, ..self }
    }

    /// Sets the label smoothing, in [0, 1], as in `torch.nn.functional.cross_entropy`.
    #[must_use]
    pub fn with_label_smoothing(self, label_smoothing: f64) -> Self {
        Self { label_smoothing, ..self }
    }

    /// Chooses the views whose logits count.
    #[must_use]
    pub fn with_supervise(self, supervise: Supervise) -> Self {
        Self { supervise, ..self }
    }

    /// Sets the class whose rows do not count, not even in the mean.
    #[must_use]
    pub fn with_ignore_index(self, ignore_index: i64) -> Self {
        Self { ignore_index, ..self }
    }

    /// Computes the loss of `inputs` and writes `gradients`.
    ///
    /// The result does not depend on `pool`. NaN and infinity propagate as in the formula: a NaN
    /// among the logits of a row makes the loss and this row's gradient NaN, and no other row's.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::error::Error::Argument) for a shape, layout or dtype that does
    /// not fit, a class that does not exist, or an option out of range.
    pub fn run(
        &self,
        inputs: &Inputs<'_>,
        mut gradients: Gradients<'_>,
        pool: &Pool,
    ) -> Result<Parts> {
        self.validate()?;
        inputs.validate()?;
        gradients.validate(inputs)?;
        let pairs = inputs.pairs();
        let supervised = match self.supervise {
            Supervise::Both => 2 * pairs,
            Supervise::First => pairs,
        };
        let targets = RowTargets::new(inputs, supervised, self.ignore_index)?;
        let counted = targets.counted().max(1) as f64; // without labels the mean is 0, not 0 / 0
        let mean_factor = self.similarity.mean_factor(pairs, inputs.width());

        let (mut losses, mut distances) = (vec![0.0; 2 * pairs], vec![0.0; pairs]);
        // Views with the lifetime of `losses`: ndarray's are invariant and do not shorten by
        // themselves.
        let gradients = gradients.view_mut();
        let outputs = Outputs { losses: &mut losses, distances: &mut distances, gradients };
        let chunks = chunks::divide(inputs, outputs);
        let context = Context {
            inputs,
            targets: &targets,
            label_smoothing: self.label_smoothing,
            similarity: self.similarity,
            row_scale: 1.0 / counted,
            pair_scale: self.tied_weight * mean_factor,
        };
        let len = 2 * pairs * (inputs.classes() + inputs.width());
        let threads = if len < PARALLEL_LEN { 1 } else { pool.threads() };
        pool.share(chunks, threads, |chunk| chunk.run(&context));

        let ce = losses.iter().sum::<f64>() / counted;
        let similarity = distances.iter().sum::<f64>() * mean_factor;
        Ok(Parts { loss: ce + self.tied_weight * similarity, ce, similarity })
    }

    fn validate(&self) -> Result<()> {
        let Self { tied_weight, label_smoothing, .. } = self;
        if !tied_weight.is_finite() {
            return refuse(format!("tied_weight must be finite, got {tied_weight}"));
        }
        if !(0.0..=1.0).contains(label_smoothing) {
            return refuse(format!("label_smoothing must be in [0, 1], got {label_smoothing}"));
        }
        Ok(())
    }
}
