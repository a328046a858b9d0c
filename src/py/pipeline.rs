//! `Pipeline`: the core's pipeline for Python; `decode` and `render`.

use std::sync::Arc;

use numpy::{PyArray1, PyArray3, PyArray5, PyArrayMethods, PyReadonlyArray1, PyReadwriteArray5};
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

    /// Writes all views of `samples` into `out`, (views, samples, 3, height, width) uint8.
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
        out: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let held = hold(&samples)?;
        let pairs = held.iter().zip(indices.as_slice()?);
        let samples: Vec<_> = pairs
            .map(|(held, &index)| Sample {
                source: held.source.as_source(),
                key: Key { seed, epoch, index, view },
            })
            .collect();
        let mut out = output(out)?;
        let out = out.as_array_mut();
        // Threads that samples leave idle share the views of one.
        let pool = pools::get(threads, samples.len() * self.0.num_views()).map_err(to_python)?;
        let workspaces = pools::workspaces();
        detached(py, || self.0.run(&samples, &pool, &workspaces, out))
    }
}

/// The caller's buffer.
fn output<'py>(out: &Bound<'py, PyAny>) -> PyResult<PyReadwriteArray5<'py, u8>> {
    let Ok(array) = out.cast::<PyArray5<u8>>() else {
        let shape = out.getattr("shape").and_then(|shape| shape.str()).ok();
        let dtype = out.getattr("dtype").and_then(|dtype| dtype.str()).ok();
        let got = match (shape, dtype) {
            (Some(shape), Some(dtype)) => format!("{shape} of {dtype}"),
            _ => out.get_type().name()?.to_string(),
        };
        let message = "out must be a uint8 array of shape (views, samples, 3, height, width)";
        return Err(PyValueError::new_err(format!("{message}; got {got}")));
    };
    array.try_readwrite().map_err(|error| match error {
        numpy::BorrowError::NotWriteable => {
            PyValueError::new_err("out must be writable; it is read-only")
        }
        _ => PyBufferError::new_err("out must not share memory with a sample"),
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
