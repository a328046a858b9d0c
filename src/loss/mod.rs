//! The tied loss with its gradients, in one pass over logits and features.
//!
//! `mean cross entropy + tied_weight * distance between the two views' features`, as the Python class
//! `TiedLoss` computes it with PyTorch. Imports [`crate::error`] and [`crate::pool`] only, and knows
//! nothing of views beyond their order: row `i` and row `pairs + i` belong together.

mod buffers;
mod jobs;
mod kernels;
mod real;
mod rows;

pub use buffers::{Floats, FloatsMut, Labels};

use crate::error::{Error, Result};
use crate::pool::Pool;

/// Fewer numbers than these are not worth waking a thread for.
const ALONE: usize = 1 << 16;

/// A distance between the features of two views: 0 if they are equal (or point the same way).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Similarity {
    /// The mean over all numbers of the squared difference.
    Mse,
    /// The mean over all numbers of the difference's magnitude; its derivative at 0 is 0.
    L1,
    /// The mean over the pairs of 1 - cosine; a norm under 1e-8 is taken for 1e-8.
    Cosine,
}

impl Similarity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mse, Self::L1, Self::Cosine];

    /// The name that Python's `TiedLoss` uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::L1 => "l1",
            Self::Cosine => "cosine",
        }
    }
}

/// What the logits should have been: a row for each pair (and both its views), or for each view.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The number of each row's class.
    Classes(Labels<'a>),
    /// A weight for each class, row by row.
    Soft(Floats<'a>),
}

/// One batch, view-major: `2 * pairs` rows of logits and of features, and a target.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Half the number of rows.
    pub pairs: usize,
    /// As many columns as there are classes.
    pub logits: Floats<'a>,
    /// Any number of columns.
    pub features: Floats<'a>,
    /// For all rows, or for the pairs.
    pub target: Target<'a>,
}

/// Where to write the derivatives of the loss; what is `None` is not computed.
///
/// Of the dtype of what they belong to; or, for half precision, of float32.
#[derive(Debug, Default)]
pub struct Gradients<'a> {
    /// As large as the logits.
    pub logits: Option<FloatsMut<'a>>,
    /// As large as the features.
    pub features: Option<FloatsMut<'a>>,
}

/// The loss and what it is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parts {
    /// `ce + tied_weight * similarity`.
    pub loss: f64,
    /// The mean cross entropy over the supervised rows that are not ignored; NaN if there is none.
    pub ce: f64,
    /// The distance, not weighted.
    pub similarity: f64,
}

/// The loss, declared.
#[derive(Clone, Copy, Debug)]
pub struct TiedLoss {
    /// The factor of the distance.
    pub tied_weight: f64,
    /// The distance.
    pub similarity: Similarity,
    /// From 0 to 1.
    pub label_smoothing: f64,
    /// Supervise the rows of view 1 only.
    pub first_only: bool,
    /// Rows of this class count for nothing.
    pub ignore_index: i64,
}

impl TiedLoss {
    /// Computes the loss of `batch` and writes `gradients`.
    ///
    /// In f64 for float64, else in f32, with every sum beyond 64 terms in f64. The result does not
    /// depend on `pool` or on the machine. NaN and infinity go where the formula takes them.
    ///
    /// # Errors
    /// [`Error::Argument`] for sizes or dtypes that don't fit, a class that does not exist, or an
    /// option out of range.
    pub fn run(
        &self,
        batch: &Batch<'_>,
        mut gradients: Gradients<'_>,
        pool: &Pool,
    ) -> Result<Parts> {
        self.validate()?;
        batch.validate()?;
        batch.validate_gradient("grad_logits", batch.logits, gradients.logits.as_ref())?;
        batch.validate_gradient("grad_features", batch.features, gradients.features.as_ref())?;

        let supervised = if self.first_only { batch.pairs } else { 2 * batch.pairs };
        let counted = self.count(batch, supervised)?;
        let per_row = 1.0 / counted as f64;
        let per_pair = match self.similarity {
            Similarity::Cosine => 1.0 / batch.pairs as f64,
            Similarity::Mse | Similarity::L1 => 2.0 / batch.features.len() as f64,
        };
        if self.first_only {
            gradients.logits = gradients.logits.map(|all| {
                let (first, second) = all.split_at(batch.pairs * batch.classes());
                second.zero();
                first
            });
        }
        let mut losses = vec![0.0; supervised];
        let mut distances = vec![0.0; batch.pairs];
        let scales = (per_row, self.tied_weight * per_pair);
        let jobs = jobs::cut(batch, gradients, (&mut losses, &mut distances), scales);
        let work = batch.logits.len() + batch.features.len();
        let threads = if work < ALONE { 1 } else { pool.threads() };
        pool.share(jobs, threads, |job| job.run(self, batch));

        // Row by row, whoever computed them: that is what makes the sums independent of threads.
        let ce = losses.iter().sum::<f64>() / counted as f64;
        let similarity = distances.iter().sum::<f64>() * per_pair;
        Ok(Parts { loss: ce + self.tied_weight * similarity, ce, similarity })
    }

    fn validate(&self) -> Result<()> {
        if !self.tied_weight.is_finite() {
            return refuse(format!("tied_weight must be finite, got {}", self.tied_weight));
        }
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return refuse(format!(
                "label_smoothing must be in [0, 1], got {}",
                self.label_smoothing
            ));
        }
        Ok(())
    }

    /// Checks the classes of the supervised rows; returns how many are not ignored.
    fn count(&self, batch: &Batch<'_>, supervised: usize) -> Result<usize> {
        let Target::Classes(labels) = batch.target else {
            return Ok(supervised);
        };
        let (rows, classes) = (batch.target_rows(), batch.classes());
        let mut counted = 0;
        for row in 0..supervised.min(rows) {
            let class = labels.get(row);
            if class == i128::from(self.ignore_index) {
                continue;
            }
            if !(0..classes as i128).contains(&class) {
                return refuse(format!(
                    "target[{row}] is {class}, but logits have the classes 0 to {} \
                     (and {} marks a row to ignore)",
                    classes - 1,
                    self.ignore_index
                ));
            }
            counted += 1;
        }
        // One target for both views counts twice.
        Ok(if supervised > rows { 2 * counted } else { counted })
    }
}

impl Batch<'_> {
    fn classes(&self) -> usize {
        self.logits.len() / (2 * self.pairs)
    }

    fn width(&self) -> usize {
        self.features.len() / (2 * self.pairs)
    }

    fn target_rows(&self) -> usize {
        match self.target {
            Target::Classes(labels) => labels.len(),
            Target::Soft(weights) => weights.len() / self.classes(),
        }
    }

    fn validate(&self) -> Result<()> {
        if self.pairs == 0 {
            return refuse("the batch is empty: the mean over no rows has no value".into());
        }
        for (name, matrix) in [("logits", self.logits), ("features", self.features)] {
            if matrix.len() == 0 || matrix.len() % (2 * self.pairs) != 0 {
                return refuse(format!(
                    "{name} must have {} rows of at least one number, got {} numbers",
                    2 * self.pairs,
                    matrix.len()
                ));
            }
        }
        let rows = self.target_rows();
        let whole = match self.target {
            Target::Classes(_) => true,
            Target::Soft(weights) => weights.len() == rows * self.classes(),
        };
        if !whole || (rows != self.pairs && rows != 2 * self.pairs) {
            return refuse(format!(
                "target must have {} or {} rows, got {rows}",
                self.pairs,
                2 * self.pairs
            ));
        }
        Ok(())
    }

    fn validate_gradient(
        &self,
        name: &str,
        of: Floats<'_>,
        gradient: Option<&FloatsMut<'_>>,
    ) -> Result<()> {
        let Some(gradient) = gradient else { return Ok(()) };
        if gradient.len() != of.len() {
            let (got, wanted) = (gradient.len(), of.len());
            return refuse(format!("{name} must have {wanted} numbers, got {got}"));
        }
        let half = matches!(of, Floats::F16(_) | Floats::Bf16(_));
        if gradient.dtype() == of.dtype() || (half && gradient.dtype() == "float32") {
            return Ok(());
        }
        let or = if half { " or float32" } else { "" };
        refuse(format!("{name} must be {}{or}, got {}", of.dtype(), gradient.dtype()))
    }
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::Argument(message))
}
