//! `tied_loss`: the core's loss for Python.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::dlpack::{Buffer, apart};
use super::errors::{detached, to_python};
use super::pools;
use crate::loss::{Batch, Floats, FloatsMut, Gradients, Similarity, Target, TiedLoss};

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
    let similarity = self::similarity(similarity)?;
    let logits = Buffer::new("logits", logits)?;
    let features = Buffer::new("features", features)?;
    let target = Buffer::new("target", target)?;
    let mut grad_logits = grad_logits.map(|g| Buffer::new("grad_logits", g)).transpose()?;
    let mut grad_features = grad_features.map(|g| Buffer::new("grad_features", g)).transpose()?;

    let pairs = pairs(&logits, &features)?;
    for (gradient, of) in [(&grad_logits, &logits), (&grad_features, &features)] {
        let Some(gradient) = gradient else { continue };
        check_shape(gradient, of)?;
        for input in [&logits, &features, &target] {
            apart(gradient, input)?;
        }
    }
    if let (Some(one), Some(other)) = (&grad_logits, &grad_features) {
        apart(one, other)?;
    }

    let classes = logits.shape()[1];
    let batch = Batch {
        pairs,
        logits: floats("logits", &logits)?,
        features: floats("features", &features)?,
        target: self::target(&target, pairs, classes)?,
    };
    let gradients = Gradients {
        logits: grad_logits.as_mut().map(|g| floats_mut("grad_logits", g)).transpose()?,
        features: grad_features.as_mut().map(|g| floats_mut("grad_features", g)).transpose()?,
    };
    let loss = TiedLoss { tied_weight, similarity, label_smoothing, first_only, ignore_index };
    // No job is smaller than a row of logits or a pair of features.
    let pool = pools::get(threads, 3 * pairs).map_err(to_python)?;
    let parts = detached(py, || loss.run(&batch, gradients, &pool))?;
    Ok((parts.loss, parts.ce, parts.similarity))
}

fn similarity(name: &str) -> PyResult<Similarity> {
    Similarity::ALL.into_iter().find(|known| known.name() == name).ok_or_else(|| {
        let known = Similarity::ALL.map(Similarity::name).join("', '");
        PyValueError::new_err(format!("similarity must be one of '{known}', not '{name}'"))
    })
}

/// Half the rows of two matrices that must have equally many.
fn pairs(logits: &Buffer, features: &Buffer) -> PyResult<usize> {
    for (name, buffer, columns) in [("logits", logits, "C"), ("features", features, "D")] {
        let shape = buffer.shape();
        if shape.len() != 2 || shape[1] == 0 {
            return Err(PyValueError::new_err(format!(
                "{name} must be (2B, {columns}) with {columns} >= 1, got shape {shape:?}"
            )));
        }
    }
    let (rows, others) = (logits.shape()[0], features.shape()[0]);
    if rows == 0 || rows % 2 != 0 {
        return Err(PyValueError::new_err(format!(
            "logits must have 2B rows (all of view 1, then all of view 2), got {rows} rows"
        )));
    }
    if rows != others {
        return Err(PyValueError::new_err(format!(
            "features have {others} rows, logits {rows}: both need 2B"
        )));
    }
    Ok(rows / 2)
}

fn target(buffer: &Buffer, pairs: usize, classes: usize) -> PyResult<Target<'_>> {
    let (target, wanted) = if let Some(labels) = buffer.labels()? {
        (Target::Classes(labels), vec![classes; 0])
    } else if let Some(weights) = buffer.floats()? {
        (Target::Soft(weights), vec![classes])
    } else {
        return Err(PyTypeError::new_err(format!(
            "target must be class indices (integers) or soft targets (floating), got {}",
            buffer.dtype_name()
        )));
    };
    let shape = buffer.shape();
    let rows = shape.first().is_some_and(|&rows| rows == pairs || rows == 2 * pairs);
    if rows && shape[1..] == wanted[..] {
        return Ok(target);
    }
    let columns = wanted.first().map_or(String::new(), |classes| format!(" {classes}"));
    Err(PyValueError::new_err(format!(
        "target of {} must have shape ({pairs},{columns}) or ({},{columns}), got {shape:?}",
        buffer.dtype_name(),
        2 * pairs
    )))
}

fn check_shape(gradient: &Buffer, of: &Buffer) -> PyResult<()> {
    if gradient.shape() == of.shape() {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "{} must have shape {:?}, got {:?}",
        gradient.name(),
        of.shape(),
        gradient.shape()
    )))
}

fn floats<'a>(name: &str, buffer: &'a Buffer) -> PyResult<Floats<'a>> {
    buffer.floats()?.ok_or_else(|| wrong_dtype(name, &buffer.dtype_name()))
}

fn floats_mut<'a>(name: &str, buffer: &'a mut Buffer) -> PyResult<FloatsMut<'a>> {
    let dtype = buffer.dtype_name();
    buffer.floats_mut()?.ok_or_else(|| wrong_dtype(name, &dtype))
}

fn wrong_dtype(name: &str, dtype: &str) -> PyErr {
    PyTypeError::new_err(format!(
        "{name} must be float16, bfloat16, float32 or float64, got {dtype}"
    ))
}
