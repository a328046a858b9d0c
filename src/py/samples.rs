//! What Python may pass as a sample, and what the core sees of it.

use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;
use numpy::{
    PyArray, PyArray3, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray3, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyMemoryView, PyString, PyTuple};

use super::catalog::Located;
use super::errors::to_python;
use crate::error::Result;
use crate::memory::{self, Promise};
use crate::source::OwnedSource;

/// A sample while the core reads it.
pub struct Held<'py> {
    pub source: OwnedSource,
    /// Marks an array as read, so that it can't be borrowed as an output at the same time.
    borrow: Option<PyReadonlyArray3<'py, u8>>,
}

impl<'py> Held<'py> {
    /// Takes a file's bytes, a path, a sample of a catalog, a PIL image, or an (H, W, 3) uint8
    /// array. Bytes and arrays are not copied.
    pub fn new(sample: &Bound<'py, PyAny>) -> PyResult<Self> {
        let owned = |source| Ok(Self { source, borrow: None });
        if let Ok(bytes) = sample.cast::<PyBytes>() {
            let bytes = PyBackedBytes::from(bytes.clone());
            return owned(OwnedSource::Bytes(Bytes::from_owner(bytes)));
        }
        if let Ok(bytes) = sample.cast::<PyByteArray>() {
            return owned(OwnedSource::Bytes(copied(bytes)?));
        }
        if sample.is_instance_of::<PyString>() || sample.hasattr("__fspath__")? {
            let path: PathBuf = sample.extract()?;
            if path.as_os_str().is_empty() {
                return Err(PyValueError::new_err("a sample's path is empty"));
            }
            return owned(OwnedSource::Path(Arc::from(path)));
        }
        if let Ok(located) = sample.cast::<Located>() {
            return owned(located.get().0.clone());
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
        let &[height, width, 3] = pixels.shape() else { return Err(wrong_array(array)) };
        if height == 0 || width == 0 {
            return Err(wrong_array(array));
        }
        let side = |n: usize| {
            u32::try_from(n).map_err(|_| {
                let message = format!("an image of shape {:?} is too large", pixels.shape());
                PyValueError::new_err(message)
            })
        };
        let (width, height) = (side(width)?, side(height)?);
        let pixels = if pixels.is_c_contiguous() {
            pixels.clone()
        } else {
            array.call_method0("copy")?.cast_into::<PyArray3<u8>>()?
        };
        let source = OwnedSource::Pixels { width, height, data: bytes_of(&pixels) };
        Ok(Self { source, borrow: Some(pixels.try_readonly()?) })
    }

    /// The sample for later, when Python code may have changed an array: that is copied.
    pub fn into_owned(self) -> PyResult<OwnedSource> {
        Ok(match (self.source, self.borrow) {
            (OwnedSource::Pixels { width, height, data }, Some(_)) => {
                let data = copy(&data).map_err(to_python)?;
                OwnedSource::Pixels { width, height, data }
            }
            (source, _) => source,
        })
    }
}

fn copy(bytes: &[u8]) -> Result<Bytes> {
    memory::caught(|| {
        let mut copy = Vec::new();
        memory::copy(bytes, &mut copy);
        Ok(copy.into())
    })
}

/// A copy, since Python code may change the array meanwhile.
fn copied(array: &Bound<'_, PyByteArray>) -> PyResult<Bytes> {
    let copy = || {
        let _promise = Promise::new(array.len());
        Ok(array.to_vec().into())
    };
    memory::caught(copy).map_err(to_python)
}

/// The bytes of a C-contiguous array, which is not copied.
///
/// As with every array that is read without the GIL, nobody may write it meanwhile.
pub fn bytes_of<D: numpy::ndarray::Dimension>(array: &Bound<'_, PyArray<u8, D>>) -> Bytes {
    let start = NonNull::new(array.data()).filter(|_| array.len() > 0);
    let (start, len) = (start.unwrap_or(NonNull::dangling()), array.len());
    Bytes::from_owner(ArrayBytes { start, len, _array: array.clone().unbind().into_any() })
}

/// An array's memory.
struct ArrayBytes {
    start: NonNull<u8>,
    len: usize,
    _array: Py<PyAny>,
}

// SAFETY: the bytes are only read, and live as long as the array that is held. That nobody writes
// them meanwhile is the user's duty; the docs say so.
unsafe impl Send for ArrayBytes {}

impl AsRef<[u8]> for ArrayBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the bytes of a contiguous array, or none; see above.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

/// The error for something that is not an image; says what to pass instead where that is known.
fn wrong_type(sample: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let kind = sample.get_type();
    let name = kind.name()?;
    let remedy = if kind.module().is_ok_and(|module| module.to_string().starts_with("torch")) {
        "; if a transform made the tensor, take ToTensor out of it (views are made from images), \
         else pass an array of uint8: tensor.numpy() if it is (H, W, 3), \
         tensor.permute(1, 2, 0).numpy() if it is (3, H, W)"
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
        "expected the bytes of an image file, a path, a PIL image or an (H, W, 3) uint8 numpy \
         array, got {name}{remedy}"
    )))
}

/// The error for an array of another shape or dtype; says how to make it an image.
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
        [4, _, _] => "; it looks like RGBA, (4, H, W): pass array[:3].transpose(1, 2, 0)",
        [_, _, 2] => {
            "; it looks like gray with alpha: pass numpy.repeat(array[:, :, :1], 3, axis=2)"
        }
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
