//! `tied_loss`: the core's loss for Python.
//!
//! This module names arguments and converts; the core checks the shapes.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::dlpack::{Buffer, check_disjoint};
use super::errors::{detached, to_python};
use super::pools;
use crate::loss::{Gradients, Inputs, Supervise, Target, TiedLoss};

const LOGITS: &str = "(2B, C) with C >= 1";
const FEATURES: &str = "(2B, D) with D >= 1";

/// (loss, ce, similarity) of one batch; writes the gradients into the buffers that are given.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "Python passes each by name")]
pub fn tied_loss(
    py: Python<'_>,
    logits: &Bound<'_, PyAny>,
    features: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
    grad_logits: Option<&Bound<'_, PyAny>>,
    grad_features: Option<&Bound<'_, PyAny>>,
    tied_weight: f64,
    similarity: &str,
    label_smoothing: f64,
    first_only: bool,
    ignore_index: i64,
    threads: Option<usize>,
) -> PyResult<(f64, f64, f64)> {
    let loss = TiedLoss::default()
        .with_similarity(similarity.parse().map_err(to_python)?)
        .with_tied_weight(tied_weight)
        .with_label_smoothing(label_smoothing)
        .with_supervise(if first_only { Supervise::First } else { Supervise::Both })
        .with_ignore_index(ignore_index);
    let logits = Buffer::new("logits", logits)?;
    let features = Buffer::new("features", features)?;
    let target = Buffer::new("target", target)?;
    let mut grad_logits = grad_logits.map(|g| Buffer::new("grad_logits", g)).transpose()?;
    let mut grad_features = grad_features.map(|g| Buffer::new("grad_features", g)).transpose()?;

    for gradient in [&grad_logits, &grad_features].into_iter().flatten() {
        for input in [&logits, &features, &target] {
            check_disjoint(gradient, input)?;
        }
    }
    if let (Some(one), Some(other)) = (&grad_logits, &grad_features) {
        check_disjoint(one, other)?;
    }
    let inputs = Inputs {
        logits: logits.matrix(LOGITS)?,
        features: features.matrix(FEATURES)?,
        target: self::target(&target)?,
    };
    let gradients = Gradients {
        logits: grad_logits.as_mut().map(|g| g.matrix_mut(LOGITS)).transpose()?,
        features: grad_features.as_mut().map(|g| g.matrix_mut(FEATURES)).transpose()?,
    };
    // A batch of B samples has at most 3B chunks: a row of logits, or a pair of features.
    let pairs = logits.shape()[0] / 2;
    let pool = pools::get(threads, 3 * pairs).map_err(to_python)?;
    let parts = detached(py, || loss.run(&inputs, gradients, &pool))?;
    Ok((parts.loss, parts.ce, parts.similarity))
}

fn target(buffer: &Buffer) -> PyResult<Target<'_>> {
    let (dimensions, expected) = if buffer.is_integer() {
        (1, "(B,) or (2B,)")
    } else if buffer.is_floating() {
        (2, "(B, C) or (2B, C)")
    } else {
        return Err(PyTypeError::new_err(format!(
            "target must be class indices (integers) or soft targets (floating), got {}",
            buffer.dtype_name()
        )));
    };
    let shape = buffer.shape();
    if shape.len() != dimensions {
        let dtype = buffer.dtype_name();
        return Err(PyValueError::new_err(format!(
            "target of {dtype} must be {expected}, got shape {shape:?}"
        )));
    }
    if buffer.is_integer() {
        Ok(Target::Classes(buffer.labels()?))
    } else {
        Ok(Target::Soft(buffer.matrix(expected)?))
    }
}
