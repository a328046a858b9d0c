//! What the loss is given, and the checks of it.

use super::cross_entropy::RowTarget;
use super::matrix::{Labels, Matrix, MatrixMut};
use super::real::Real;
use crate::error::{Error, Result};

/// A batch of B samples, view-major: rows `i` and `B + i` are the two views of sample `i`.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// `(2B, C)`: a column per class.
    pub logits: Matrix<'a>,
    /// `(2B, D)`, of the same dtype or another.
    pub features: Matrix<'a>,
    /// What the logits should predict.
    pub target: Target<'a>,
}

/// What the logits should predict: a row per sample, for both of its views, or a row per view.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// `(B,)` or `(2B,)`: the index of the class.
    Classes(Labels<'a>),
    /// `(B, C)` or `(2B, C)`: a weight per class.
    Soft(Matrix<'a>),
}

/// Where to write the gradients of the loss. Those that are `None` are not computed.
///
/// A gradient has the shape and the dtype of its input. For half precision it may be float32
/// instead.
#[derive(Debug, Default)]
pub struct Gradients<'a> {
    /// `(2B, C)`.
    pub logits: Option<MatrixMut<'a>>,
    /// `(2B, D)`.
    pub features: Option<MatrixMut<'a>>,
}

impl Inputs<'_> {
    /// B, the number of samples.
    pub(super) fn pairs(&self) -> usize {
        self.logits.shape()[0] / 2
    }

    /// C.
    pub(super) fn classes(&self) -> usize {
        self.logits.shape()[1]
    }

    /// D.
    pub(super) fn width(&self) -> usize {
        self.features.shape()[1]
    }

    pub(super) fn validate(&self) -> Result<()> {
        let named = [("logits", &self.logits, "C"), ("features", &self.features, "D")];
        for (name, matrix, columns) in named {
            let shape = matrix.shape();
            if shape[1] == 0 {
                return refuse(format!(
                    "{name} must be (2B, {columns}) with {columns} >= 1, got shape {shape:?}"
                ));
            }
            check_layout(name, matrix)?;
        }
        let ([rows, _], [others, _]) = (self.logits.shape(), self.features.shape());
        if rows == 0 || rows % 2 != 0 {
            return refuse(format!(
                "logits must have 2B rows (all of view 1, then all of view 2), got {rows} rows"
            ));
        }
        if rows != others {
            return refuse(format!("features have {others} rows, logits {rows}: both need 2B"));
        }
        Ok(())
    }
}

impl Gradients<'_> {
    /// The same memory, for as long as `self` is borrowed.
    pub(super) fn view_mut(&mut self) -> Gradients<'_> {
        Gradients {
            logits: self.logits.as_mut().map(MatrixMut::view_mut),
            features: self.features.as_mut().map(MatrixMut::view_mut),
        }
    }

    pub(super) fn validate(&self, inputs: &Inputs<'_>) -> Result<()> {
        check_gradient("grad_logits", self.logits.as_ref(), &inputs.logits)?;
        check_gradient("grad_features", self.features.as_ref(), &inputs.features)
    }
}

fn check_gradient(name: &str, gradient: Option<&MatrixMut<'_>>, input: &Matrix<'_>) -> Result<()> {
    let Some(gradient) = gradient.map(MatrixMut::view) else { return Ok(()) };
    let (wanted, got) = (input.shape(), gradient.shape());
    if got != wanted {
        return refuse(format!("{name} must have shape {wanted:?}, got {got:?}"));
    }
    check_layout(name, &gradient)?;
    let half = matches!(input, Matrix::F16(_) | Matrix::Bf16(_));
    let (wanted, got) = (input.dtype(), gradient.dtype());
    if got == wanted || (half && got == "float32") {
        return Ok(());
    }
    let or = if half { " or float32" } else { "" };
    refuse(format!("{name} must be {wanted}{or}, got {got}"))
}

fn check_layout(name: &str, matrix: &Matrix<'_>) -> Result<()> {
    if matrix.is_standard_layout() {
        return Ok(());
    }
    refuse(format!("{name} must be in standard (C) layout; pass as_standard_layout()"))
}

/// The checked target of each row of logits.
#[derive(Debug)]
pub struct RowTargets<'a> {
    checked: Checked<'a>,
    /// Only the first rows count, as many as these.
    supervised: usize,
}

#[derive(Debug)]
enum Checked<'a> {
    /// `None` for a class that is ignored.
    Classes(Vec<Option<usize>>),
    Soft(Matrix<'a>),
}

impl<'a> RowTargets<'a> {
    /// Checks the target of `inputs`, of which the first `supervised` rows of logits count.
    pub fn new(inputs: &Inputs<'a>, supervised: usize, ignore_index: i64) -> Result<Self> {
        let (pairs, classes) = (inputs.pairs(), inputs.classes());
        let checked = match inputs.target {
            Target::Classes(labels) => {
                let labels = labels.to_vec();
                let rows = labels.len();
                if rows != pairs && rows != 2 * pairs {
                    return refuse(format!(
                        "target must have shape ({pairs},) or ({},), got [{rows}]",
                        2 * pairs
                    ));
                }
                let labels = labels.into_iter().take(supervised).enumerate();
                let class = |(row, label)| class(row, label, classes, ignore_index);
                Checked::Classes(labels.map(class).collect::<Result<_>>()?)
            }
            Target::Soft(weights) => {
                let [rows, columns] = weights.shape();
                if (rows != pairs && rows != 2 * pairs) || columns != classes {
                    return refuse(format!(
                        "target of {} must have shape ({pairs}, {classes}) or ({}, {classes}), \
                         got [{rows}, {columns}]",
                        weights.dtype(),
                        2 * pairs
                    ));
                }
                check_layout("target", &weights)?;
                Checked::Soft(weights)
            }
        };
        Ok(Self { checked, supervised })
    }

    /// How many rows of logits count.
    pub fn counted(&self) -> usize {
        match &self.checked {
            Checked::Soft(_) => self.supervised,
            Checked::Classes(classes) => {
                let per_class = self.supervised / classes.len();
                per_class * classes.iter().flatten().count()
            }
        }
    }

    /// The target of row `row` of the logits; `None` if it does not count.
    pub fn get<'b, T: Real>(
        &'b self,
        row: usize,
        scratch: &'b mut [T],
    ) -> Option<RowTarget<'b, T>> {
        if row >= self.supervised {
            return None;
        }
        match &self.checked {
            Checked::Classes(classes) => classes[row % classes.len()].map(RowTarget::Class),
            Checked::Soft(weights) => {
                let row = row % weights.shape()[0];
                Some(RowTarget::Soft(weights.row(row, scratch)))
            }
        }
    }
}

/// The class that `label` names; `None` for `ignore_index`.
fn class(row: usize, label: i128, classes: usize, ignore_index: i64) -> Result<Option<usize>> {
    if label == i128::from(ignore_index) {
        return Ok(None);
    }
    match usize::try_from(label) {
        Ok(class) if class < classes => Ok(Some(class)),
        _ => refuse(format!(
            "target[{row}] is {label}, but logits have the classes 0 to {} \
             (and {ignore_index} marks a row to ignore)",
            classes - 1
        )),
    }
}

pub(super) fn refuse<T>(message: String) -> Result<T> {
    Err(Error::Argument(message))
}
