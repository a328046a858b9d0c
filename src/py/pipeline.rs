//! `Pipeline`: the core's pipeline for Python; `decode` and `render`.

use std::sync::Arc;

use numpy::ndarray::Dimension;
use numpy::{
    PyArray, PyArray1, PyArray3, PyArray4, PyArray5, PyArrayMethods, PyReadonlyArray1,
    PyReadwriteArray,
};
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::errors::{detached, to_python};
use super::plans;
use super::pools;
use super::samples::Held;
use super::views::View;
use crate::batch::{self, Sample};
use crate::decode::Limits;
use crate::plan::Shared;
use crate::rng::Key;
use crate::view;

/// Makes all views of samples.
#[pyclass(frozen, module = "tied_augment._core")]
pub struct Pipeline(pub(super) Arc<batch::Pipeline>);

#[pymethods]
impl Pipeline {
    #[new]
    fn new(
        views: Vec<View>,
        same_crop: bool,
        own_flips: bool,
        max_pixels: Option<u64>,
    ) -> PyResult<Self> {
        let specs = views.into_iter().map(View::spec).collect::<PyResult<_>>()?;
        let shared = match (same_crop, own_flips) {
            (false, _) => Shared::Nothing,
            (true, true) => Shared::Crop,
            (true, false) => Shared::CropAndFlips,
        };
        let pipeline = batch::Pipeline::new(specs, shared).map_err(to_python)?;
        Ok(Self(Arc::new(pipeline.with_limits(limits(max_pixels)))))
    }

    /// The steps of the plans of all views of an image. The first view has number `view`.
    fn plan<'py>(
        &self,
        py: Python<'py>,
        shape: (u32, u32),
        seed: u64,
        epoch: u32,
        index: u64,
        view: u16,
    ) -> PyResult<Bound<'py, PyList>> {
        let key = Key { seed, epoch, index, view };
        let plans = detached(py, || self.0.plan(shape, key))?;
        let plans =
            plans.iter().map(|plan| plans::steps(py, plan)).collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, plans)
    }

    /// Writes all views of `samples` into `outs`: an array (views, samples, 3, height, width) of
    /// uint8, or a list with an array (samples, 3, height, width) for each view.
    #[expect(clippy::too_many_arguments, reason = "Python passes each by name")]
    fn run<'py>(
        &self,
        py: Python<'py>,
        samples: Vec<Bound<'py, PyAny>>,
        seed: u64,
        epoch: u32,
        indices: PyReadonlyArray1<'py, u64>,
        view: u16,
        threads: Option<usize>,
        outs: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let held = hold(&samples)?;
        let pairs = held.iter().zip(indices.as_slice()?);
        let samples: Vec<_> = pairs
            .map(|(held, &index)| Sample {
                source: held.source.as_source(),
                key: Key { seed, epoch, index, view },
            })
            .collect();
        let (mut whole, mut parts) = (None, Vec::new());
        if let Ok(array) = outs.cast::<PyArray5<u8>>() {
            whole = Some(writable(array)?);
        } else {
            let arrays: Vec<Bound<'py, PyArray4<u8>>> = outs.extract()?;
            parts = arrays.iter().map(writable).collect::<PyResult<_>>()?;
        }
        let mut whole = whole.as_mut().map(PyReadwriteArray::as_array_mut);
        let outs: Vec<_> = match &mut whole {
            Some(whole) => whole.outer_iter_mut().collect(),
            None => parts.iter_mut().map(PyReadwriteArray::as_array_mut).collect(),
        };
        // Threads that samples leave idle share the views of one.
        let pool = pools::get(threads, samples.len() * self.0.num_views()).map_err(to_python)?;
        let workspaces = pools::workspaces();
        detached(py, || self.0.run(&samples, &pool, &workspaces, outs))
    }
}

/// A buffer of the caller's.
fn writable<'py, D: Dimension>(
    out: &Bound<'py, PyArray<u8, D>>,
) -> PyResult<PyReadwriteArray<'py, u8, D>> {
    out.try_readwrite().map_err(|error| match error {
        numpy::BorrowError::NotWriteable => {
            PyValueError::new_err("out must be writable; it is read-only")
        }
        _ => PyBufferError::new_err(
            "out must not share memory with a sample, nor one of its arrays with another",
        ),
    })
}

pub(super) fn limits(max_pixels: Option<u64>) -> Limits {
    let limits = Limits::default();
    max_pixels.map_or(limits, |max_pixels| limits.with_max_pixels(max_pixels))
}

fn hold<'py>(samples: &[Bound<'py, PyAny>]) -> PyResult<Vec<Held<'py>>> {
    let hold = |(position, sample)| {
        Held::new(sample).inspect_err(|error| {
            let note = format!("sample {position} of the batch");
            // A note keeps the exception's type and traceback; Python before 3.11 has none.
            let _ = error.value(sample.py()).call_method1("add_note", (note,));
        })
    };
    samples.iter().enumerate().map(hold).collect()
}

/// Decodes a whole image to (height, width, 3) uint8.
#[pyfunction]
pub fn decode<'py>(
    py: Python<'py>,
    sample: &Bound<'py, PyAny>,
    max_pixels: Option<u64>,
) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let held = Held::new(sample)?;
    let source = held.source.as_source();
    let image = detached(py, || source.decode(limits(max_pixels)))?;
    let shape = [image.height as usize, image.width as usize, 3];
    PyArray1::from_vec(py, image.data).reshape(shape)
}

/// Executes a plan's `ops` on one sample, to (3, height, width) uint8.
#[pyfunction]
pub fn render<'py>(
    py: Python<'py>,
    sample: &Bound<'py, PyAny>,
    ops: &Bound<'py, PyAny>,
    max_pixels: Option<u64>,
) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let plan = plans::plan(ops)?;
    let held = Held::new(sample)?;
    let source = held.source.as_source();
    let out = detached(py, || view::render(source, &plan, limits(max_pixels)))?;
    PyArray1::from_vec(py, out).reshape([3, plan.size.0 as usize, plan.size.1 as usize])
}

/// The steps of a plan's `ops`, all arguments written out, after the checks of [`render`] for an
/// image of (height, width) `shape`.
#[pyfunction]
pub fn checked_plan<'py>(
    py: Python<'py>,
    ops: &Bound<'py, PyAny>,
    shape: (u32, u32),
) -> PyResult<Bound<'py, PyAny>> {
    let plan = plans::plan(ops)?;
    plan.validate(shape).map_err(to_python)?;
    plans::steps(py, &plan)
}
