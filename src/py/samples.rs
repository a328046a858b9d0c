//! What Python may pass as a sample, and what the core sees of it.

use std::path::PathBuf;

use numpy::{PyArray3, PyArrayMethods, PyReadonlyArray3, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};

use crate::batch::{Sample, Source};
use crate::image::{Image, ImageRef};
use crate::loader::Stored;

/// A sample, kept alive while the core reads it.
pub enum Held<'py> {
    Bytes(Bound<'py, PyBytes>),
    Copied(Vec<u8>),
    Path(PathBuf),
    Array(PyReadonlyArray3<'py, u8>),
}

impl<'py> Held<'py> {
    /// Takes a file's bytes, a path, a PIL image, or an (H, W, 3) uint8 array.
    pub fn new(sample: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = sample.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.clone()));
        }
        if let Ok(bytes) = sample.cast::<PyByteArray>() {
            return Ok(Self::Copied(bytes.to_vec()));
        }
        if sample.is_instance_of::<PyString>() || sample.hasattr("__fspath__")? {
            return Ok(Self::Path(sample.extract()?));
        }
        if let Ok(array) = sample.cast::<PyUntypedArray>() {
            return Self::array(array);
        }
        // PIL is not imported: any object that can make itself RGB and an array will do.
        if sample.hasattr("convert")? && sample.hasattr("size")? {
            let rgb = sample.call_method1("convert", ("RGB",))?;
            let numpy = sample.py().import("numpy")?;
            let array = numpy.call_method1("ascontiguousarray", (rgb,))?;
            return Self::array(array.cast::<PyUntypedArray>()?);
        }
        Err(PyTypeError::new_err(format!(
            "expected the bytes of an image file, a path, a PIL image or an (H, W, 3) uint8 numpy \
             array, got {}",
            sample.get_type().name()?
        )))
    }

    fn array(array: &Bound<'py, PyUntypedArray>) -> PyResult<Self> {
        let Ok(pixels) = array.cast::<PyArray3<u8>>() else {
            return Err(wrong_array(array));
        };
        let shape = pixels.shape();
        if shape[2] != 3 || shape[0] == 0 || shape[1] == 0 {
            return Err(wrong_array(array));
        }
        if pixels.is_c_contiguous() {
            return Ok(Self::Array(pixels.try_readonly()?));
        }
        let copy = array.call_method0("copy")?;
        Ok(Self::Array(copy.cast::<PyArray3<u8>>()?.try_readonly()?))
    }

    /// A copy of the sample that needs no Python.
    pub fn stored(&self) -> PyResult<Stored> {
        Ok(match self.sample(0)?.source {
            Source::Bytes(bytes) => Stored::Bytes(bytes.to_vec()),
            Source::Path(path) => Stored::Path(path.into()),
            Source::Pixels(pixels) => {
                let mut image = Image::default();
                image.copy_from(pixels);
                Stored::Pixels(image)
            }
        })
    }

    /// The sample as the core takes it.
    pub fn sample(&self, index: u64) -> PyResult<Sample<'_>> {
        let source = match self {
            Self::Bytes(bytes) => Source::Bytes(bytes.as_bytes()),
            Self::Copied(bytes) => Source::Bytes(bytes),
            Self::Path(path) => Source::Path(path),
            Self::Array(array) => {
                let shape = array.shape();
                let side = |n: usize| u32::try_from(n).map_err(PyErr::from);
                Source::Pixels(ImageRef::new(side(shape[1])?, side(shape[0])?, array.as_slice()?))
            }
        };
        Ok(Sample { source, index })
    }
}

fn wrong_array(array: &Bound<'_, PyUntypedArray>) -> PyErr {
    PyTypeError::new_err(format!(
        "an array must be an (H, W, 3) uint8 image, got shape {:?} of {}",
        array.shape(),
        array.dtype()
    ))
}
