//! `Catalog`: a data set whose samples the core finds by index.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::ndarray::ArrayView1;
use numpy::{PyArray1, PyArray4, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::errors::{detached, to_python};
use super::samples::bytes_of;
use crate::source::{Archive, OwnedSource};

/// A data set whose samples the core finds by index, without Python.
#[pyclass(frozen, module = "tied_augment._core")]
pub struct Catalog(Vec<OwnedSource>);

#[pymethods]
impl Catalog {
    /// One image file per sample.
    #[staticmethod]
    fn files(paths: Vec<PathBuf>) -> Self {
        Self(paths.into_iter().map(|path| OwnedSource::Path(path.into())).collect())
    }

    /// Members of archives; `members` has a row (archive, first byte, number of bytes) per sample,
    /// and `names` what errors call each.
    #[staticmethod]
    #[pyo3(signature = (archives, members, names=None))]
    fn members(
        archives: Vec<PathBuf>,
        members: PyReadonlyArray2<'_, u64>,
        names: Option<Vec<Option<String>>>,
    ) -> PyResult<Self> {
        let open = |path| Archive::new(path).map(Arc::new).map_err(to_python);
        let archives = archives.into_iter().map(open).collect::<PyResult<Vec<_>>>()?;
        Self::rows(&members, archives.len(), "archives", |number, place, start, len| {
            let archive = Arc::clone(archives.get(place)?);
            let name = names.as_ref().and_then(|names| names.get(number)?.as_deref());
            Some(OwnedSource::Member { archive, start, len, name: name.map(Arc::from) })
        })
    }

    /// Files in memory, which is not copied; `members` has a row (buffer, first byte, number of
    /// bytes) per sample.
    #[staticmethod]
    fn buffers(
        buffers: Vec<Bound<'_, PyArray1<u8>>>,
        members: PyReadonlyArray2<'_, u64>,
    ) -> PyResult<Self> {
        if buffers.iter().any(|buffer| !buffer.is_c_contiguous()) {
            return Err(PyValueError::new_err("buffers must be contiguous"));
        }
        let buffers: Vec<_> = buffers.iter().map(bytes_of).collect();
        Self::rows(&members, buffers.len(), "buffers", |_, place, start, len| {
            let (start, len) = (usize::try_from(start).ok()?, usize::try_from(len).ok()?);
            let buffer = buffers.get(place)?;
            let end = start.checked_add(len).filter(|&end| end <= buffer.len())?;
            Some(OwnedSource::Bytes(buffer.slice(start..end)))
        })
    }

    /// The images of an (N, height, width, 3) uint8 array, which is not copied.
    #[staticmethod]
    fn pixels(array: &Bound<'_, PyArray4<u8>>) -> PyResult<Self> {
        let shape = array.shape();
        if shape[3] != 3 || shape[1] == 0 || shape[2] == 0 || !array.is_c_contiguous() {
            let message = format!("a C-contiguous (N, H, W, 3) array is needed, not {shape:?}");
            return Err(PyValueError::new_err(message));
        }
        let (count, len) = (shape[0], 3 * shape[1] * shape[2]);
        let (height, width) = (u32::try_from(shape[1])?, u32::try_from(shape[2])?);
        let data = bytes_of(array);
        let image = |i| {
            let data = data.slice(i * len..(i + 1) * len);
            OwnedSource::Pixels { width, height, data }
        };
        Ok(Self((0..count).map(image).collect()))
    }

    /// The sample at `index`, for what takes samples one by one.
    fn sample(&self, index: u64) -> PyResult<Located> {
        self.source(index).map(Located)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// A sample of a [`Catalog`], which the core reads when it needs it.
#[pyclass(frozen, module = "tied_augment._core")]
pub struct Located(pub OwnedSource);

#[pymethods]
impl Located {
    /// The content of the file or member.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut buffer = Vec::new();
        let content = detached(py, || self.0.as_source().read(&mut buffer))?;
        Ok(PyBytes::new(py, content))
    }
}

impl Catalog {
    /// A source for each row (place, first byte, number of bytes), of `count` places. `source`
    /// gets the number of the row, too.
    fn rows(
        members: &PyReadonlyArray2<'_, u64>,
        count: usize,
        places: &str,
        source: impl Fn(usize, usize, u64, u64) -> Option<OwnedSource>,
    ) -> PyResult<Self> {
        let members = members.as_array();
        if members.ncols() != 3 {
            let message = format!("members must have 3 columns, not {}", members.ncols());
            return Err(PyValueError::new_err(message));
        }
        let member = |(number, row): (usize, ArrayView1<'_, u64>)| {
            let place = usize::try_from(row[0]).ok();
            let found = place.and_then(|place| source(number, place, row[1], row[2]));
            found.ok_or_else(|| {
                PyValueError::new_err(format!("{row} is not a member of {count} {places}"))
            })
        };
        members.rows().into_iter().enumerate().map(member).collect::<PyResult<_>>().map(Self)
    }

    /// The source of sample `index`.
    pub fn source(&self, index: u64) -> PyResult<OwnedSource> {
        let source = usize::try_from(index).ok().and_then(|index| self.0.get(index));
        source.cloned().ok_or_else(|| {
            let message = format!("index {index} of a data set of {} samples", self.0.len());
            PyValueError::new_err(message)
        })
    }
}
