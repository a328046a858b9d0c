//! `Pipeline`: the core's pipeline for Python; `decode` and `render`.

use std::borrow::Cow;

use numpy::{
    PyArray1, PyArray3, PyArray5, PyArrayMethods, PyReadonlyArray1, PyReadwriteArray5,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::errors::{detached, to_python};
use super::plans;
use super::pools;
use super::samples::Held;
use super::views::View;
use crate::batch::{self, Run, Sample};
use crate::error::Error;
use crate::image::Image;
use crate::plan::Shared;
use crate::rng::Key;

/// Makes all views of samples.
#[pyclass(frozen, module = "tied_augment._core")]
pub struct Pipeline(pub(super) batch::Pipeline);

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
        batch::Pipeline::new(specs, shared, max_pixels).map(Self).map_err(to_python)
    }

    /// The steps of the plans of all views of an image. The first view has number `view`.
    fn plan<'py>(
        &self,
        py: Python<'py>,
        shape: (u32, u32),
        index: u64,
        epoch: u32,
        seed: u64,
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
        indices: PyReadonlyArray1<'py, u64>,
        epoch: u32,
        seed: u64,
        view: u16,
        threads: Option<usize>,
        out: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let indices = indices.as_slice()?;
        let held = hold(&samples)?;
        let pairs = held.iter().zip(indices);
        let samples: Vec<Sample<'_>> =
            pairs.map(|(held, &index)| held.sample(index)).collect::<PyResult<_>>()?;
        let mut out = self.output(out, samples.len())?;
        let out = out.as_slice_mut()?;
        // Threads that samples leave idle share the views of one.
        let pool = pools::get(threads, samples.len() * self.0.len()).map_err(to_python)?;
        detached(py, || self.0.run(&samples, Run { seed, epoch, view }, &pool, out))
    }
}

impl Pipeline {
    /// Checks the caller's buffer.
    fn output<'py>(
        &self,
        out: &Bound<'py, PyAny>,
        samples: usize,
    ) -> PyResult<PyReadwriteArray5<'py, u8>> {
        let (height, width) = self.0.size();
        let wanted = [self.0.len(), samples, 3, height as usize, width as usize];
        let refuse = |what: Cow<'_, str>| {
            let message = format!(
                "out must be a C-contiguous, writable uint8 array of shape {wanted:?}; {what}"
            );
            PyErr::new::<PyValueError, _>(message)
        };
        let Ok(array) = out.cast::<PyArray5<u8>>() else {
            let shape = out.getattr("shape").and_then(|shape| shape.str()).ok();
            let dtype = out.getattr("dtype").and_then(|dtype| dtype.str()).ok();
            return Err(match (shape, dtype) {
                (Some(shape), Some(dtype)) => refuse(format!("got {shape} of {dtype}").into()),
                _ => refuse(format!("got {}", out.get_type().name()?).into()),
            });
        };
        if array.shape() != wanted {
            return Err(refuse(format!("got shape {:?}", array.shape()).into()));
        }
        if !array.is_c_contiguous() {
            return Err(refuse("it is not contiguous".into()));
        }
        array.try_readwrite().map_err(|error| match error {
            numpy::BorrowError::NotWriteable => refuse("it is read-only".into()),
            _ => PyBufferError::new_err("out must not share memory with a sample"),
        })
    }
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
    let sample = held.sample(0)?;
    let image = detached(py, || {
        let mut image = Image::default();
        batch::decode(&sample, max_pixels, &mut image)?;
        Ok::<_, Error>(image)
    })?;
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
    let sample = held.sample(0)?;
    let out = detached(py, || batch::render(&sample, &plan, max_pixels))?;
    PyArray1::from_vec(py, out).reshape([3, plan.size.0 as usize, plan.size.1 as usize])
}
