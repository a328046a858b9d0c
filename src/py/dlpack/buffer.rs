//! A DLPack tensor, checked, as array views.

use std::mem::{align_of, size_of};
use std::ptr::NonNull;

use half::{bf16, f16};
use ndarray::{ArrayView, ArrayViewMut, Dimension, IxDyn, ShapeError};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::capsule::{DlTensor, Managed, check_device};
use crate::loss::{Labels, Matrix, MatrixMut};

/// As many as numpy allows.
const MAX_DIMENSIONS: usize = 64;

// DLPack's codes of dtypes.
const INT: u8 = 0;
const UINT: u8 = 1;
const FLOAT: u8 = 2;
const BFLOAT: u8 = 4;
const COMPLEX: u8 = 5;
const BOOL: u8 = 6;

/// The dtypes of a matrix.
const FLOATS: &str = "float16, bfloat16, float32 or float64";

/// A tensor in CPU memory, C-contiguous, kept alive until this is dropped.
pub struct Buffer {
    name: &'static str,
    managed: Managed,
    shape: Vec<usize>,
}

impl Buffer {
    /// Takes over the memory that `value` exports, of any dtype. `name` begins all messages.
    ///
    /// # Errors
    /// `TypeError` for a value without DLPack. `ValueError` for memory that is not on the CPU or not
    /// C-contiguous, and for a description that can't be true.
    pub fn new(name: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let managed = Managed::new(name, value)?;
        let shape = checked_shape(name, managed.tensor())?;
        Ok(Self { name, managed, shape })
    }

    /// The sides.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The dtype, as numpy and PyTorch call it.
    pub fn dtype_name(&self) -> String {
        let (code, bits) = self.dtype();
        match code {
            INT => format!("int{bits}"),
            UINT => format!("uint{bits}"),
            FLOAT => format!("float{bits}"),
            BFLOAT => format!("bfloat{bits}"),
            COMPLEX => format!("complex{bits}"),
            BOOL => "bool".into(),
            other => format!("DLPack type {other} of {bits} bits"),
        }
    }

    /// Whether [`Self::labels`] takes the dtype.
    pub fn is_integer(&self) -> bool {
        matches!(self.dtype(), (INT | UINT, 8 | 16 | 32 | 64))
    }

    /// Whether [`Self::matrix`] takes the dtype.
    pub fn is_floating(&self) -> bool {
        matches!(self.dtype(), (FLOAT, 16 | 32 | 64) | (BFLOAT, 16))
    }

    /// A matrix to read. `expected` describes its shape in messages.
    ///
    /// # Errors
    /// `ValueError` if it is not a matrix or not aligned, `TypeError` for another dtype.
    pub fn matrix(&self, expected: &str) -> PyResult<Matrix<'_>> {
        self.check_matrix(expected)?;
        Ok(match self.dtype() {
            (FLOAT, 16) => self.view::<f16, _>()?.into(),
            (FLOAT, 32) => self.view::<f32, _>()?.into(),
            (FLOAT, 64) => self.view::<f64, _>()?.into(),
            (BFLOAT, 16) => self.view::<bf16, _>()?.into(),
            _ => return Err(self.wrong_dtype(FLOATS)),
        })
    }

    /// A matrix to write. [`check_disjoint`] must come first.
    ///
    /// # Errors
    /// As [`Self::matrix`], and `ValueError` if it is read-only or a copy of the caller's.
    pub fn matrix_mut(&mut self, expected: &str) -> PyResult<MatrixMut<'_>> {
        self.check_matrix(expected)?;
        if !self.managed.is_writable() {
            return Err(PyValueError::new_err(format!(
                "{} must be writable memory, which this is not: it is read-only, or a copy",
                self.name
            )));
        }
        Ok(match self.dtype() {
            (FLOAT, 16) => self.view_mut::<f16, _>()?.into(),
            (FLOAT, 32) => self.view_mut::<f32, _>()?.into(),
            (FLOAT, 64) => self.view_mut::<f64, _>()?.into(),
            (BFLOAT, 16) => self.view_mut::<bf16, _>()?.into(),
            _ => return Err(self.wrong_dtype(FLOATS)),
        })
    }

    /// A vector of integers to read.
    ///
    /// # Errors
    /// `ValueError` if it is not a vector or not aligned, `TypeError` for another dtype.
    pub fn labels(&self) -> PyResult<Labels<'_>> {
        Ok(match self.dtype() {
            (INT, 8) => self.view::<i8, _>()?.into(),
            (INT, 16) => self.view::<i16, _>()?.into(),
            (INT, 32) => self.view::<i32, _>()?.into(),
            (INT, 64) => self.view::<i64, _>()?.into(),
            (UINT, 8) => self.view::<u8, _>()?.into(),
            (UINT, 16) => self.view::<u16, _>()?.into(),
            (UINT, 32) => self.view::<u32, _>()?.into(),
            (UINT, 64) => self.view::<u64, _>()?.into(),
            _ => return Err(self.wrong_dtype("integers of 8, 16, 32 or 64 bits")),
        })
    }

    fn check_matrix(&self, expected: &str) -> PyResult<()> {
        let Self { name, shape, .. } = self;
        if shape.len() == 2 {
            return Ok(());
        }
        Err(PyValueError::new_err(format!("{name} must be {expected}, got shape {shape:?}")))
    }

    fn wrong_dtype(&self, expected: &str) -> PyErr {
        let message = format!("{} must be {expected}, got {}", self.name, self.dtype_name());
        PyTypeError::new_err(message)
    }

    fn dtype(&self) -> (u8, u8) {
        let tensor = self.managed.tensor();
        // More than one lane is a vector type, which nothing here takes.
        if tensor.lanes == 1 { (tensor.code, tensor.bits) } else { (u8::MAX, 0) }
    }

    fn view<T, D: Dimension>(&self) -> PyResult<ArrayView<'_, T, D>> {
        let start = self.start::<T>()?;
        // SAFETY: C-contiguous CPU memory of `len` aligned elements (checked), alive while `self` is,
        // of a type all of whose bit patterns are numbers. Nothing here writes to it, as
        // `check_disjoint` has shown. That no other thread does is the caller's duty, as with every
        // numpy function that releases the GIL.
        let slice = unsafe { std::slice::from_raw_parts(start.as_ptr(), self.len()) };
        ArrayView::from_shape(IxDyn(&self.shape), slice)
            .and_then(ArrayView::into_dimensionality)
            .map_err(|error| self.wrong_shape(&error))
    }

    fn view_mut<T, D: Dimension>(&mut self) -> PyResult<ArrayViewMut<'_, T, D>> {
        let start = self.start::<T>()?;
        // SAFETY: as in `view`; writable and disjoint from all other buffers of the call (checked).
        let slice = unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.len()) };
        ArrayViewMut::from_shape(IxDyn(&self.shape), slice)
            .and_then(ArrayViewMut::into_dimensionality)
            .map_err(|error| self.wrong_shape(&error))
    }

    fn wrong_shape(&self, error: &ShapeError) -> PyErr {
        PyValueError::new_err(format!("{} of shape {:?}: {error}", self.name, self.shape))
    }

    fn len(&self) -> usize {
        // Not by `product`, which overflows for [1 << 63, 2, 0].
        if self.shape.contains(&0) { 0 } else { self.shape.iter().product() }
    }

    /// The first element. Dangling if there is none.
    fn start<T>(&self) -> PyResult<NonNull<T>> {
        let start = first_byte(self.managed.tensor()).cast::<T>();
        match NonNull::new(start) {
            _ if self.len() == 0 => Ok(NonNull::dangling()),
            Some(start) if start.addr().get().is_multiple_of(align_of::<T>()) => Ok(start),
            _ => Err(PyValueError::new_err(format!(
                "{} must be aligned to its {} bytes; pass a copy",
                self.name,
                size_of::<T>()
            ))),
        }
    }
}

/// Checks that no byte of `written` is one of `other`.
///
/// # Errors
/// `ValueError` if they overlap.
pub fn check_disjoint(written: &Buffer, other: &Buffer) -> PyResult<()> {
    let range = |buffer: &Buffer| {
        let tensor = buffer.managed.tensor();
        let start = first_byte(tensor).addr();
        // No overflow: `checked_shape` has seen that the end is an address.
        (start, start + buffer.len() * element_size(tensor))
    };
    let ((start, end), (other_start, other_end)) = (range(written), range(other));
    if start < other_end && other_start < end {
        return Err(PyValueError::new_err(format!(
            "{} must not share memory with {}",
            written.name, other.name
        )));
    }
    Ok(())
}

/// The shape of a tensor in C-contiguous CPU memory that can exist.
fn checked_shape(name: &str, tensor: &DlTensor) -> PyResult<Vec<usize>> {
    check_device(name, tensor.device_type)?;
    let refuse = |what: String| Err(PyValueError::new_err(format!("{name} {what}")));
    let dimensions = match usize::try_from(tensor.ndim) {
        Ok(dimensions) if dimensions <= MAX_DIMENSIONS => dimensions,
        _ => return refuse(format!("has {} dimensions; pass a matrix", tensor.ndim)),
    };
    if tensor.shape.is_null() && dimensions > 0 {
        return refuse(format!("has {dimensions} dimensions, but its DLPack capsule no shape"));
    }
    let entries = |pointer: *const i64| -> Vec<i64> {
        if pointer.is_null() || dimensions == 0 {
            return Vec::new();
        }
        // SAFETY: DLPack: shape, and strides unless null, have `ndim` entries.
        unsafe { std::slice::from_raw_parts(pointer, dimensions) }.to_vec()
    };
    let (shape, strides) = (entries(tensor.shape), entries(tensor.strides));
    let sides = shape.iter().map(|&side| usize::try_from(side).ok());
    let Some(sides) = sides.collect::<Option<Vec<_>>>() else {
        return refuse(format!("has a negative side in its shape {shape:?}"));
    };
    if sides.contains(&0) {
        return Ok(sides);
    }
    if tensor.data.is_null() {
        return refuse(format!("of shape {shape:?} has no memory: its address is 0"));
    }
    if !fits(tensor, &sides) {
        return refuse(format!("of shape {shape:?} is larger than the memory"));
    }
    if !is_contiguous(&shape, &strides) {
        return refuse(format!(
            "must be C-contiguous, got strides {strides:?} (in elements) for shape {shape:?}; pass \
             numpy.ascontiguousarray(...) or .contiguous()"
        ));
    }
    Ok(sides)
}

/// The address of the first element.
fn first_byte(tensor: &DlTensor) -> *mut u8 {
    tensor.data.cast::<u8>().wrapping_add(tensor.byte_offset as usize)
}

/// Bytes of an element. A dtype of 0 bits counts as one byte; no view takes it.
fn element_size(tensor: &DlTensor) -> usize {
    (usize::from(tensor.bits.div_ceil(8)) * usize::from(tensor.lanes)).max(1)
}

/// Whether a tensor of these sides ends within the address space.
fn fits(tensor: &DlTensor, sides: &[usize]) -> bool {
    let len = sides.iter().try_fold(element_size(tensor), |len, &side| len.checked_mul(side));
    let start = (tensor.data.addr() as u64).checked_add(tensor.byte_offset);
    len.is_some_and(|len| {
        let end = start.and_then(|start| start.checked_add(len as u64));
        isize::try_from(len).is_ok() && end.is_some_and(|end| usize::try_from(end).is_ok())
    })
}

/// Whether these strides, in elements, are those of C order. Null strides, here empty, are.
fn is_contiguous(shape: &[i64], strides: &[i64]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&side, &stride)| {
        // The stride of a single element means nothing.
        let right = side <= 1 || stride == expected;
        expected *= side;
        right
    })
}
