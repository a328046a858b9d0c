//! Plans as the dicts that `View.plan` gives.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::plan::Plan;
use crate::resize::Filter;

/// A plan as the dict that `View.plan` documents.
pub fn dict<'py>(py: Python<'py>, plan: &Plan) -> PyResult<Bound<'py, PyDict>> {
    let geometry = &plan.geometry;
    let crop = (geometry.crop.x, geometry.crop.y, geometry.crop.w, geometry.crop.h);
    let interpolation = geometry.interpolation.map(Filter::name);
    let ops = PyList::empty(py);
    let arguments = PyDict::new(py);
    arguments.set_item("x", geometry.crop.x)?;
    arguments.set_item("y", geometry.crop.y)?;
    arguments.set_item("w", geometry.crop.w)?;
    arguments.set_item("h", geometry.crop.h)?;
    ops.append(("crop", arguments))?;
    if let Some(filter) = interpolation {
        let arguments = PyDict::new(py);
        arguments.set_item("size", geometry.frame.map_or(plan.size, |frame| frame.resized))?;
        arguments.set_item("interpolation", filter)?;
        ops.append(("resize", arguments))?;
    }
    if let Some(frame) = geometry.frame {
        let arguments = PyDict::new(py);
        arguments.set_item("x", frame.x)?;
        arguments.set_item("y", frame.y)?;
        arguments.set_item("size", plan.size)?;
        ops.append(("frame", arguments))?;
    }
    for (name, done) in [("hflip", geometry.hflip), ("vflip", geometry.vflip)] {
        if done {
            ops.append((name, PyDict::new(py)))?;
        }
    }
    let dict = PyDict::new(py);
    dict.set_item("crop", crop)?;
    dict.set_item("interpolation", interpolation)?;
    dict.set_item("hflip", geometry.hflip)?;
    dict.set_item("vflip", geometry.vflip)?;
    dict.set_item("ops", ops)?;
    Ok(dict)
}
