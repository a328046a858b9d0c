//! Plans between Python and the core, through serde: lists of pairs of a name and a dict.
//!
//! Reading accepts lists for tuples, so that plans survive JSON.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pythonize::{depythonize, pythonize};

use crate::plan::Plan;

/// The steps of `plan`.
pub fn steps<'py>(py: Python<'py>, plan: &Plan) -> PyResult<Bound<'py, PyAny>> {
    Ok(pythonize(py, plan)?)
}

/// The plan with these steps.
pub fn plan(steps: &Bound<'_, PyAny>) -> PyResult<Plan> {
    depythonize(steps).map_err(|error| PyValueError::new_err(error.to_string()))
}
