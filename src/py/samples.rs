//! What Python may pass as a sample, and what the core sees of it.

use std::path::PathBuf;

use numpy::{
    PyArray3, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray3, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyMemoryView, PyString, PyTuple};

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
            let path: PathBuf = sample.extract()?;
            if path.as_os_str().is_empty() {
                return Err(PyValueError::new_err("a sample's path is empty"));
            }
            return Ok(Self::Path(path));
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
        Err(wrong_type(sample)?)
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
                let side = |n: usize| {
                    u32::try_from(n).map_err(|_| {
                        let message = format!("an image of shape {shape:?} is too large");
                        PyValueError::new_err(message)
                    })
                };
                Source::Pixels(ImageRef::new(side(shape[1])?, side(shape[0])?, array.as_slice()?))
            }
        };
        Ok(Sample { source, index })
    }
}

/// The refusal of what is not an image, with what to pass instead where that can be told.
fn wrong_type(sample: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let kind = sample.get_type();
    let name = kind.name()?;
    let remedy = if kind.module().is_ok_and(|module| module.to_string().starts_with("torch")) {
        "; if a transform made the tensor, take ToTensor out of it (views are made from images), else \
         pass tensor.permute(1, 2, 0).numpy(), of uint8"
    } else if sample.is_none() {
        "; the data set gave no image"
    } else if sample.is_instance_of::<PyTuple>() || sample.is_instance_of::<PyList>() {
        "; pass the image alone, not a pair of image and target"
    } else if sample.is_instance_of::<PyMemoryView>() {
        "; pass bytes(sample)"
    } else if sample.hasattr("read")? {
        "; pass file.read() or the file's path"
    } else {
        ""
    };
    Ok(PyTypeError::new_err(format!(
        "expected the bytes of an image file, a path, a PIL image or an (H, W, 3) uint8 numpy array, \
         got {name}{remedy}"
    )))
}

/// The refusal of an array of another shape or dtype, with what makes it an image.
fn wrong_array(array: &Bound<'_, PyUntypedArray>) -> PyErr {
    let (shape, dtype) = (array.shape(), array.dtype());
    let form = match *shape {
        [] => "",
        [_] => "; if these are the bytes of a file, pass array.tobytes()",
        _ if shape.contains(&0) => "; it has no pixels",
        [_, _] => "; gray: pass numpy.stack([array] * 3, axis=-1)",
        [_, _, 3] => "",
        [3, _, _] => "; it looks like (3, H, W): pass array.transpose(1, 2, 0)",
        [_, _, 1] => "; gray: pass numpy.repeat(array, 3, axis=2)",
        [1, _, _] => "; it looks like gray, (1, H, W): pass numpy.stack([array[0]] * 3, axis=-1)",
        [_, _, 4] => "; it looks like RGBA: pass array[:, :, :3]",
        [_, _, _, 3] => "; it looks like several images: pass them one by one",
        _ => "",
    };
    let numbers = match dtype.kind() {
        b'u' if dtype.itemsize() == 1 => "",
        b'f' => "; if its values are 0 to 1, make them (array * 255).round().astype('uint8')",
        b'u' if dtype.itemsize() == 2 => {
            "; if its values are 0 to 65,535, make them (array // 257).astype('uint8')"
        }
        _ => "; make its values 0 to 255 and .astype('uint8')",
    };
    PyTypeError::new_err(format!(
        "an array must be an (H, W, 3) uint8 image, got shape {shape:?} of {dtype}{form}{numbers}"
    ))
}
