//! `Loader`: the core's loader for Python.
//!
//! The loader's threads never take the GIL. They may be the last to drop something of Python's,
//! such as the memory of a tensor; PyO3 then frees it at the next call that holds the GIL.

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::catalog::Catalog;
use super::errors::{detached, to_python};
use super::pipeline::Pipeline;
use super::samples::Held;
use crate::batch;
use crate::loader::{self, Finished, Format, Job, Layout, Memory, OwnedSample, Replacement};
use crate::rng::Key;
use crate::source::OwnedSource;

/// Threads that make batches ahead of their consumer, for one iteration.
#[pyclass(frozen, module = "tied_augment._core")]
pub struct Loader {
    core: Mutex<Option<Arc<loader::Loader>>>,
    finished: Mutex<Option<Finished>>,
    pipelines: Vec<Arc<batch::Pipeline>>,
    seed: u64,
    epoch: u32,
    format: Arc<Format>,
    process: u32,
}

#[pymethods]
impl Loader {
    /// All samples have the same `seed` and `epoch`. `table` has the bytes of 3 x 256 output
    /// elements, or is None for bytes as they are; `normalised` has the means and stds that it was
    /// made with.
    #[new]
    fn new(
        threads: usize,
        pipelines: Vec<PyRef<'_, Pipeline>>,
        seed: u64,
        epoch: u32,
        table: Option<&[u8]>,
        normalised: Option<[[f32; 3]; 2]>,
        channels_last: bool,
    ) -> PyResult<Self> {
        let layout = if channels_last { Layout::Interleaved } else { Layout::Planes };
        let format = Format::new(table, normalised, layout).map_err(to_python)?;
        let core = loader::Loader::new(threads).map_err(to_python)?;
        Ok(Self {
            core: Mutex::new(Some(Arc::new(core))),
            finished: Mutex::default(),
            pipelines: pipelines.iter().map(|pipeline| Arc::clone(&pipeline.0)).collect(),
            seed,
            epoch,
            format: Arc::new(format),
            process: std::process::id(),
        })
    }

    /// Begins a batch with pipeline number `choice`. `out` has the bytes of the whole output;
    /// nobody may touch them until `wait` has returned the batch.
    #[expect(clippy::too_many_arguments, reason = "the Python package is the only caller")]
    fn submit(
        &self,
        py: Python<'_>,
        catalog: Option<&Catalog>,
        samples: Vec<Bound<'_, PyAny>>,
        indices: PyReadonlyArray1<'_, u64>,
        views: PyReadonlyArray1<'_, u16>,
        choice: usize,
        out: &Bound<'_, PyArray1<u8>>,
    ) -> PyResult<()> {
        let core = self.core()?;
        let Some(pipeline) = self.pipelines.get(choice) else {
            let message = format!("choice {choice} of {} views", self.pipelines.len());
            return Err(PyValueError::new_err(message));
        };
        let job = Job {
            pipeline: Arc::clone(pipeline),
            samples: self.samples(catalog, &samples, indices.as_slice()?, views.as_slice()?)?,
            format: Arc::clone(&self.format),
            out: memory(out)?,
        };
        detached(py, || core.submit(job))
    }

    /// Waits for the oldest batch. Returns the positions that failed and why; None after `seconds`.
    fn wait(&self, py: Python<'_>, seconds: f64) -> PyResult<Option<Vec<(usize, PyErr)>>> {
        let core = self.core()?;
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let Some(batch) = detached(py, || Ok(core.wait(timeout)))? else { return Ok(None) };
        let failures = batch.failures().into_iter();
        let failures = failures.map(|f| (f.position, to_python(f.error))).collect();
        let delivered = lock(&self.finished).replace(batch);
        // Not under the lock: it may free objects of Python's, whose finalizers run any code.
        drop(delivered);
        Ok(Some(failures))
    }

    /// Makes samples of the batch that `wait` returned last again, from other sources. `wait`
    /// returns the batch once more.
    fn redo(
        &self,
        catalog: Option<&Catalog>,
        samples: Vec<Bound<'_, PyAny>>,
        indices: PyReadonlyArray1<'_, u64>,
        views: PyReadonlyArray1<'_, u16>,
        positions: Vec<usize>,
    ) -> PyResult<()> {
        let core = self.core()?;
        let samples = self.samples(catalog, &samples, indices.as_slice()?, views.as_slice()?)?;
        let Some(batch) = lock(&self.finished).take() else {
            return Err(PyRuntimeError::new_err("there is no finished batch"));
        };
        let replacement = |(position, sample)| Replacement { position, sample };
        let replacements = positions.into_iter().zip(samples).map(replacement).collect();
        core.redo(batch, replacements).map_err(to_python)
    }

    /// The number of finished batches that `wait` has not returned yet.
    fn ready(&self) -> PyResult<usize> {
        Ok(self.core()?.ready())
    }

    /// What the threads have done: samples that were made or failed, and the seconds spent on them.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.core()?.counts();
        let dict = PyDict::new(py);
        dict.set_item("images", counts.images)?;
        dict.set_item("busy", counts.busy.as_secs_f64())?;
        Ok(dict)
    }

    /// Ends the threads and waits until they have ended.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if std::process::id() != self.process {
            return Ok(());
        }
        let left = (lock(&self.core).take(), lock(&self.finished).take());
        detached(py, || {
            drop(left);
            Ok(())
        })
    }
}

impl Loader {
    fn core(&self) -> PyResult<Arc<loader::Loader>> {
        if std::process::id() != self.process {
            return Err(PyRuntimeError::new_err(
                "this iteration began before the process was forked, and its threads stayed in the \
                 parent: begin a new one in the child with iter(loader)",
            ));
        }
        let core = lock(&self.core).clone();
        core.ok_or_else(|| PyRuntimeError::new_err("the iteration has been closed"))
    }

    /// The samples with `indices`, from `catalog` or else from `samples`. `views` has the number of
    /// the first view of each.
    fn samples(
        &self,
        catalog: Option<&Catalog>,
        samples: &[Bound<'_, PyAny>],
        indices: &[u64],
        views: &[u16],
    ) -> PyResult<Vec<OwnedSample>> {
        let sources: PyResult<_> = match catalog {
            Some(catalog) => indices.iter().map(|&index| catalog.source(index)).collect(),
            None => samples.iter().map(|s| Held::new(s)?.into_owned()).collect(),
        };
        let sources: Vec<OwnedSource> = sources?;
        let (n, m) = (indices.len(), views.len());
        if sources.len() != n || m != n {
            let message = format!("{} samples, {n} indices and {m} views", sources.len());
            return Err(PyValueError::new_err(message));
        }
        let keys = indices.iter().zip(views);
        let key = |(&index, &view)| Key { seed: self.seed, epoch: self.epoch, index, view };
        let sample = |(source, key)| OwnedSample { source, key };
        Ok(sources.into_iter().zip(keys.map(key)).map(sample).collect())
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            // A forked child has no threads to join, and locks that they held stay locked.
            std::mem::forget(lock(&self.core).take());
            std::mem::forget(lock(&self.finished).take());
        }
    }
}

fn memory(out: &Bound<'_, PyArray1<u8>>) -> PyResult<Memory> {
    let writable = out.try_readwrite().is_ok();
    let Some(start) = NonNull::new(out.data()).filter(|_| writable && out.is_c_contiguous()) else {
        return Err(PyValueError::new_err("out must be contiguous, writable uint8 memory"));
    };
    let owner = Box::new(out.clone().unbind());
    // SAFETY: the array's bytes, which `owner` keeps where they are. The Python package, the only
    // caller, made the array for this batch and touches it after `wait` only.
    Ok(unsafe { Memory::foreign(start, out.len(), owner) })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
