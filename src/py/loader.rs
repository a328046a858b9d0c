//! `Catalog` and `Loader`: the core's loader for Python.
//!
//! The loader's threads never take the GIL. What they hold of Python's (the memory of tensors and
//! arrays) is given back by whoever drops it last; without the GIL, PyO3 puts that off.

use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use numpy::{
    PyArray1, PyArray4, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::errors::{detached, to_python};
use super::pipeline::Pipeline;
use super::samples::Held;
use crate::batch::{self, Run};
use crate::loader::{self, Archive, Bytes, Finished, Format, Input, Item, Job, Layout, Memory};

/// A data set whose samples the core finds by index, without Python.
#[pyclass(frozen, module = "tied_augment._core")]
pub struct Catalog(Arc<loader::Catalog>);

#[pymethods]
impl Catalog {
    /// One image file a sample.
    #[staticmethod]
    fn files(paths: Vec<PathBuf>) -> Self {
        let paths = paths.into_iter().map(PathBuf::into_boxed_path).collect();
        Self(Arc::new(loader::Catalog::Files(paths)))
    }

    /// Members of archives; `members` has a row (archive, first byte, number of bytes) a sample.
    #[staticmethod]
    fn members(archives: Vec<PathBuf>, members: PyReadonlyArray2<'_, u64>) -> PyResult<Self> {
        let rows = members.as_array();
        let row = |row: numpy::ndarray::ArrayView1<'_, u64>| match (row.as_slice(), archives.len())
        {
            (Some(&[archive, start, len]), n) if archive < n as u64 => {
                Ok((archive as u32, start, len))
            }
            _ => Err(PyValueError::new_err(format!(
                "{row} is no member of {} archives",
                archives.len()
            ))),
        };
        let members = rows.rows().into_iter().map(row).collect::<PyResult<_>>()?;
        let archives = archives.into_iter().map(Archive::new).collect::<Result<_, _>>();
        let archives = archives.map_err(to_python)?;
        Ok(Self(Arc::new(loader::Catalog::Members { archives, members })))
    }

    /// The images of an (N, height, width, 3) uint8 array, which is not copied.
    #[staticmethod]
    fn pixels(array: &Bound<'_, PyArray4<u8>>) -> PyResult<Self> {
        let shape = array.shape();
        if shape[3] != 3 || shape[1] == 0 || shape[2] == 0 || !array.is_c_contiguous() {
            let message = format!("a C-contiguous (N, H, W, 3) array is needed, not {shape:?}");
            return Err(PyValueError::new_err(message));
        }
        let shape = (u32::try_from(shape[1])?, u32::try_from(shape[2])?);
        let start = NonNull::new(array.data()).filter(|_| array.len() > 0);
        let (start, len) = (start.unwrap_or(NonNull::dangling()), array.len());
        let pixels = Box::new(Array { start, len, _array: array.clone().unbind() });
        Ok(Self(Arc::new(loader::Catalog::Pixels { pixels, shape })))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// An array's memory.
struct Array {
    start: NonNull<u8>,
    len: usize,
    _array: Py<PyArray4<u8>>,
}

// SAFETY: the bytes are only read, and live as long as the array that is held. As with every array
// that is read without the GIL, the user must not write it meanwhile; the docs say so.
unsafe impl Send for Array {}
// SAFETY: as for `Send`.
unsafe impl Sync for Array {}

impl Bytes for Array {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the bytes of a contiguous array, or none; see above.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

/// Threads that make batches ahead of their consumer, for one iteration.
#[pyclass(frozen, module = "tied_augment._core")]
pub struct Loader {
    core: Mutex<Option<Arc<loader::Loader>>>,
    finished: Mutex<Option<Finished>>,
    pipelines: Vec<Arc<batch::Pipeline>>,
    format: Arc<Format>,
    process: u32,
}

#[pymethods]
impl Loader {
    /// `table`: the bytes of 3 x 256 output elements, None for bytes as they are. `normalised`: the
    /// means and the stds that it was made with.
    #[new]
    fn new(
        threads: usize,
        pipelines: Vec<PyRef<'_, Pipeline>>,
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
            pipelines: pipelines.iter().map(|pipeline| Arc::new(pipeline.0.clone())).collect(),
            format: Arc::new(format),
            process: std::process::id(),
        })
    }

    /// Begins a batch with pipeline number `choice`. `out`: the bytes of the whole output, which must
    /// not be touched until `wait` has given the batch back.
    #[expect(clippy::too_many_arguments, reason = "the Python package is the only caller")]
    fn submit(
        &self,
        py: Python<'_>,
        source: Option<&Catalog>,
        samples: Vec<Bound<'_, PyAny>>,
        indices: PyReadonlyArray1<'_, u64>,
        views: PyReadonlyArray1<'_, u16>,
        choice: usize,
        key: (u32, u64),
        out: &Bound<'_, PyArray1<u8>>,
    ) -> PyResult<()> {
        let core = self.core()?;
        let Some(pipeline) = self.pipelines.get(choice) else {
            let message = format!("choice {choice} of {} views", self.pipelines.len());
            return Err(PyValueError::new_err(message));
        };
        let items = items(source, &samples, indices.as_slice()?, views.as_slice()?)?;
        let job = Job {
            pipeline: Arc::clone(pipeline),
            run: Run { epoch: key.0, seed: key.1, view: 0 },
            format: Arc::clone(&self.format),
            out: memory(out)?,
        };
        detached(py, || core.submit(job, items))
    }

    /// Waits for the oldest batch: the positions that failed and why; None after `seconds`.
    fn wait(&self, py: Python<'_>, seconds: f64) -> PyResult<Option<Vec<(usize, PyErr)>>> {
        let core = self.core()?;
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let Some(batch) = detached(py, || Ok(core.next(timeout)))? else { return Ok(None) };
        let failures = batch.failures().into_iter();
        let failures = failures.map(|f| (f.position, to_python(f.error))).collect();
        *lock(&self.finished) = Some(batch);
        Ok(Some(failures))
    }

    /// Makes samples of the batch that `wait` gave last again, from others; `wait` for it again.
    fn redo(
        &self,
        source: Option<&Catalog>,
        samples: Vec<Bound<'_, PyAny>>,
        indices: PyReadonlyArray1<'_, u64>,
        views: PyReadonlyArray1<'_, u16>,
        positions: Vec<usize>,
    ) -> PyResult<()> {
        let core = self.core()?;
        let items = items(source, &samples, indices.as_slice()?, views.as_slice()?)?;
        let Some(batch) = lock(&self.finished).take() else {
            return Err(PyRuntimeError::new_err("there is no finished batch"));
        };
        core.redo(batch, positions.into_iter().zip(items).collect()).map_err(to_python)
    }

    /// The number of finished batches that wait for the consumer.
    fn ready(&self) -> PyResult<usize> {
        Ok(self.core()?.ready())
    }

    /// What the threads have done: samples tried, and their time in seconds.
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
}

impl Drop for Loader {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            // A forked child has no threads to join, and they may have held locks.
            std::mem::forget(lock(&self.core).take());
            std::mem::forget(lock(&self.finished).take());
        }
    }
}

fn items(
    source: Option<&Catalog>,
    samples: &[Bound<'_, PyAny>],
    indices: &[u64],
    views: &[u16],
) -> PyResult<Vec<Item>> {
    if views.len() != indices.len() {
        let (views, indices) = (views.len(), indices.len());
        return Err(PyValueError::new_err(format!("{views} views and {indices} indices")));
    }
    let keys = indices.iter().copied().zip(views.iter().copied());
    if let Some(Catalog(catalog)) = source {
        let input = || Input::Catalog(Arc::clone(catalog));
        return Ok(keys.map(|(index, view)| Item { index, view, input: input() }).collect());
    }
    if samples.len() != indices.len() {
        let (samples, indices) = (samples.len(), indices.len());
        return Err(PyValueError::new_err(format!("{samples} samples and {indices} indices")));
    }
    let item = |(sample, (index, view)): (&Bound<'_, PyAny>, (u64, u16))| {
        Ok(Item { index, view, input: Input::Stored(Held::new(sample)?.stored()?) })
    };
    samples.iter().zip(keys).map(item).collect()
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
