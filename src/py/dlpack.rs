//! Buffers of other libraries through DLPack, without copies.
//!
//! Written out rather than taken from the `dlpark` crate, which is 11,000 lines for what is needed
//! here: CPU memory in, both kinds of capsule. The structures are those of `dlpack.h` 1.x.

use std::ffi::{CStr, c_void};
use std::mem::{align_of, size_of};
use std::ptr::NonNull;

use half::{bf16, f16};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::loss::{Floats, FloatsMut, Labels};

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
}

#[repr(C)]
struct Legacy {
    tensor: DlTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Legacy)>,
}

#[repr(C)]
struct Versioned {
    major: u32,
    minor: u32,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Versioned)>,
    flags: u64,
    tensor: DlTensor,
}

const READ_ONLY: u64 = 1;
const COPIED: u64 = 2;
/// Ordinary memory, and pinned memory of CUDA and of ROCm.
const CPU_MEMORY: [i32; 3] = [1, 3, 11];
/// As many as numpy allows.
const MAX_DIMENSIONS: usize = 64;
const INT: u8 = 0;
const UINT: u8 = 1;
const FLOAT: u8 = 2;
const BFLOAT: u8 = 4;

enum Managed {
    Legacy(NonNull<Legacy>),
    Versioned(NonNull<Versioned>),
}

/// A buffer in CPU memory, C-contiguous and aligned, kept alive until this is dropped.
pub struct Buffer {
    name: &'static str,
    managed: Managed,
    shape: Vec<usize>,
}

impl DlTensor {
    /// Bytes of an element; one for those without bits, which no reader takes.
    fn element_size(&self) -> usize {
        (usize::from(self.bits.div_ceil(8)) * usize::from(self.lanes)).max(1)
    }

    /// Whether a tensor of these sides ends at an address.
    fn fits(&self, sides: &[usize]) -> bool {
        let len = sides.iter().try_fold(self.element_size(), |len, &side| len.checked_mul(side));
        let start = (self.data.addr() as u64).checked_add(self.byte_offset);
        len.is_some_and(|len| {
            let end = start.and_then(|start| start.checked_add(len as u64));
            isize::try_from(len).is_ok() && end.is_some_and(|end| usize::try_from(end).is_ok())
        })
    }
}

/// Whether these strides, in elements, are those of C order; no strides are.
fn contiguous(shape: &[i64], strides: &[i64]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&side, &stride)| {
        // The stride of a single element means nothing.
        let right = side <= 1 || stride == expected;
        expected *= side;
        right
    })
}

/// Calls `__dlpack__` of `value`, or takes it for the capsule that such a call gave.
fn capsule<'py>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyCapsule>> {
    if let Ok(capsule) = value.cast::<PyCapsule>() {
        return Ok(capsule.clone());
    }
    let kind = value.get_type().name()?;
    if !value.hasattr("__dlpack__")? {
        return Err(PyTypeError::new_err(format!(
            "{name} must be a numpy array, a torch tensor on the CPU or another object with \
             __dlpack__, got {kind}"
        )));
    }
    let refuse = |what: &str, cause: PyErr| {
        let message = format!("{name}: {what} of this {kind} failed ({cause})");
        let error = PyTypeError::new_err(message);
        error.set_cause(value.py(), Some(cause));
        error
    };
    let device = value.call_method0("__dlpack_device__").and_then(|d| d.extract::<(i32, i32)>());
    check_device(name, device.map_err(|cause| refuse("__dlpack_device__", cause))?.0)?;
    let keywords = pyo3::types::PyDict::new(value.py());
    keywords.set_item("max_version", (1, 0))?;
    let exported = match value.call_method("__dlpack__", (), Some(&keywords)) {
        // A producer of before DLPack 1.0.
        Err(error) if error.is_instance_of::<PyTypeError>(value.py()) => {
            value.call_method0("__dlpack__")
        }
        other => other,
    };
    let exported = exported.map_err(|cause| {
        let error = PyValueError::new_err(format!(
            "{name}: this {kind} can't be shared without a copy ({cause}); pass a copy"
        ));
        error.set_cause(value.py(), Some(cause));
        error
    })?;
    exported.cast_into::<PyCapsule>().map_err(|error| refuse("__dlpack__", error.into()))
}

fn check_device(name: &str, device: i32) -> PyResult<()> {
    if CPU_MEMORY.contains(&device) {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "{name} must be in CPU memory, but is on DLPack device type {device}; move it to the CPU, or \
         use TiedLoss, which computes where the tensors are"
    )))
}

impl Buffer {
    /// Takes over the memory that `value` exports, of any dtype.
    ///
    /// # Errors
    /// `TypeError` if `value` is no such thing, `ValueError` if the memory is not on the CPU, not
    /// C-contiguous or not aligned, each with `name` and the remedy.
    pub fn new(name: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capsule = capsule(name, value)?;
        let managed = take(name, &capsule)?;
        let mut buffer = Self { name, managed, shape: Vec::new() };
        buffer.check()?;
        Ok(buffer)
    }

    fn tensor(&self) -> &DlTensor {
        // SAFETY: the producer keeps its structure until the deleter is called, on drop.
        unsafe {
            match &self.managed {
                Managed::Legacy(managed) => &managed.as_ref().tensor,
                Managed::Versioned(managed) => &managed.as_ref().tensor,
            }
        }
    }

    /// Checks what the producer says before any of it is relied on: a capsule may come from anywhere.
    fn check(&mut self) -> PyResult<()> {
        check_device(self.name, self.tensor().device_type)?;
        let tensor = self.tensor();
        let refuse = |what: String| Err(PyValueError::new_err(format!("{} {what}", self.name)));
        let dimensions = match usize::try_from(tensor.ndim) {
            Ok(dimensions) if dimensions <= MAX_DIMENSIONS => dimensions,
            _ => return refuse(format!("has {} dimensions; pass a matrix", tensor.ndim)),
        };
        if tensor.shape.is_null() && dimensions > 0 {
            return refuse(format!("has {dimensions} dimensions, but its DLPack capsule no shape"));
        }
        let numbers = |pointer: *const i64| -> Vec<i64> {
            if pointer.is_null() || dimensions == 0 {
                return Vec::new();
            }
            // SAFETY: DLPack: shape, and strides unless null, have `ndim` entries.
            unsafe { std::slice::from_raw_parts(pointer, dimensions) }.to_vec()
        };
        let (shape, strides) = (numbers(tensor.shape), numbers(tensor.strides));
        let sides = shape.iter().map(|&side| usize::try_from(side).ok());
        let Some(sides) = sides.collect::<Option<Vec<_>>>() else {
            return refuse(format!("has a negative side in its shape {shape:?}"));
        };
        if !sides.contains(&0) {
            if tensor.data.is_null() {
                return refuse(format!("of shape {shape:?} has no memory: its address is 0"));
            }
            if !tensor.fits(&sides) {
                return refuse(format!("of shape {shape:?} is larger than the memory"));
            }
            if !contiguous(&shape, &strides) {
                return refuse(format!(
                    "must be C-contiguous, got strides {strides:?} (in elements) for shape \
                     {shape:?}; pass numpy.ascontiguousarray(...) or .contiguous()"
                ));
            }
        }
        self.shape = sides;
        Ok(())
    }

    /// The argument's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The sides.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn len(&self) -> usize {
        // Not by `product`, which overflows in [1 << 63, 2, 0].
        if self.shape.contains(&0) { 0 } else { self.shape.iter().product() }
    }

    fn dtype(&self) -> (u8, u8) {
        let tensor = self.tensor();
        // Several lanes are a vector type, which nothing here takes.
        if tensor.lanes == 1 { (tensor.code, tensor.bits) } else { (u8::MAX, 0) }
    }

    fn start(&self) -> *mut u8 {
        self.tensor().data.cast::<u8>().wrapping_add(self.tensor().byte_offset as usize)
    }

    fn slice<T>(&self) -> PyResult<&[T]> {
        let pointer = self.pointer::<T>()?;
        // SAFETY: C-contiguous CPU memory of `len` aligned elements (checked), alive while `self` is,
        // of a type all of whose bit patterns are numbers. Nothing here writes to it, as `apart` has
        // shown; that no other thread does is the caller's duty, as with every numpy function that
        // releases the GIL.
        Ok(unsafe { std::slice::from_raw_parts(pointer.as_ptr(), self.len()) })
    }

    fn slice_mut<T>(&mut self) -> PyResult<&mut [T]> {
        let pointer = self.pointer::<T>()?;
        // SAFETY: as in `slice`; writable and apart from all other buffers of the call (checked).
        Ok(unsafe { std::slice::from_raw_parts_mut(pointer.as_ptr(), self.len()) })
    }

    fn pointer<T>(&self) -> PyResult<NonNull<T>> {
        let start = self.start().cast::<T>();
        match NonNull::new(start) {
            _ if self.len() == 0 => Ok(NonNull::dangling()),
            Some(pointer) if start.addr().is_multiple_of(align_of::<T>()) => Ok(pointer),
            _ => Err(PyValueError::new_err(format!(
                "{} must be aligned to its {} bytes; pass a copy",
                self.name,
                size_of::<T>()
            ))),
        }
    }

    /// Its numbers, if they are floating-point ones.
    pub fn floats(&self) -> PyResult<Option<Floats<'_>>> {
        Ok(Some(match self.dtype() {
            (FLOAT, 16) => Floats::F16(self.slice::<f16>()?),
            (FLOAT, 32) => Floats::F32(self.slice::<f32>()?),
            (FLOAT, 64) => Floats::F64(self.slice::<f64>()?),
            (BFLOAT, 16) => Floats::Bf16(self.slice::<bf16>()?),
            _ => return Ok(None),
        }))
    }

    /// Its numbers, if they are integers.
    pub fn labels(&self) -> PyResult<Option<Labels<'_>>> {
        Ok(Some(match self.dtype() {
            (INT, 8) => Labels::I8(self.slice()?),
            (INT, 16) => Labels::I16(self.slice()?),
            (INT, 32) => Labels::I32(self.slice()?),
            (INT, 64) => Labels::I64(self.slice()?),
            (UINT, 8) => Labels::U8(self.slice()?),
            (UINT, 16) => Labels::U16(self.slice()?),
            (UINT, 32) => Labels::U32(self.slice()?),
            (UINT, 64) => Labels::U64(self.slice()?),
            _ => return Ok(None),
        }))
    }

    /// Its numbers to write, if they are floating-point ones.
    ///
    /// Must come after [`apart`]. Fails for a buffer that is read-only, or a copy of the caller's.
    pub fn floats_mut(&mut self) -> PyResult<Option<FloatsMut<'_>>> {
        if let Managed::Versioned(managed) = &self.managed {
            // SAFETY: as in `tensor`.
            let flags = unsafe { managed.as_ref().flags };
            if flags & (READ_ONLY | COPIED) != 0 {
                let name = self.name;
                return Err(PyValueError::new_err(format!(
                    "{name} must be writable memory, which this is not: it is read-only, or a copy"
                )));
            }
        }
        Ok(Some(match self.dtype() {
            (FLOAT, 16) => FloatsMut::F16(self.slice_mut::<f16>()?),
            (FLOAT, 32) => FloatsMut::F32(self.slice_mut::<f32>()?),
            (FLOAT, 64) => FloatsMut::F64(self.slice_mut::<f64>()?),
            (BFLOAT, 16) => FloatsMut::Bf16(self.slice_mut::<bf16>()?),
            _ => return Ok(None),
        }))
    }

    /// The type, as numpy and torch call it.
    pub fn dtype_name(&self) -> String {
        let (code, bits) = self.dtype();
        match code {
            INT => format!("int{bits}"),
            UINT => format!("uint{bits}"),
            FLOAT => format!("float{bits}"),
            BFLOAT => format!("bfloat{bits}"),
            5 => format!("complex{bits}"),
            6 => "bool".into(),
            other => format!("DLPack type {other} of {bits} bits"),
        }
    }
}

/// Checks that no byte of `written` is one of `other`.
pub fn apart(written: &Buffer, other: &Buffer) -> PyResult<()> {
    let range = |buffer: &Buffer| {
        let start = buffer.start().addr();
        // No overflow: `check` has seen that the end is an address.
        (start, start + buffer.len() * buffer.tensor().element_size())
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

/// Takes the structure out of `capsule`, which is marked as used.
fn take(name: &str, capsule: &Bound<'_, PyCapsule>) -> PyResult<Managed> {
    let refuse = |what: &str| Err(PyValueError::new_err(format!("{name}: {what}")));
    let pointer = |kind: &CStr| {
        // SAFETY: a live capsule and a C string; a wrong name gives null and an exception.
        let pointer = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), kind.as_ptr()) };
        NonNull::new(pointer).ok_or_else(|| PyErr::fetch(capsule.py()))
    };
    let is = |kind: &CStr| {
        // SAFETY: as above; asks only.
        unsafe { ffi::PyCapsule_IsValid(capsule.as_ptr(), kind.as_ptr()) == 1 }
    };
    let (managed, used) = if is(c"dltensor_versioned") {
        let managed = pointer(c"dltensor_versioned")?.cast::<Versioned>();
        // SAFETY: the protocol says what a capsule of this name holds; the version comes first in
        // every version.
        if unsafe { managed.as_ref().major } > 1 {
            return refuse("exported with a later DLPack than version 1");
        }
        (Managed::Versioned(managed), c"used_dltensor_versioned")
    } else if is(c"dltensor") {
        (Managed::Legacy(pointer(c"dltensor")?.cast()), c"used_dltensor")
    } else {
        return refuse("a capsule that is not a DLPack tensor, or was used before");
    };
    // SAFETY: a live capsule and a static name. From here on the deleter is ours to call.
    if unsafe { ffi::PyCapsule_SetName(capsule.as_ptr(), used.as_ptr()) } != 0 {
        return Err(PyErr::fetch(capsule.py()));
    }
    Ok(managed)
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: called once, with the GIL held (buffers live and die in functions that Python
        // calls); the structure is not touched afterwards.
        unsafe {
            match self.managed {
                Managed::Legacy(managed) => {
                    if let Some(deleter) = managed.as_ref().deleter {
                        deleter(managed.as_ptr());
                    }
                }
                Managed::Versioned(managed) => {
                    if let Some(deleter) = managed.as_ref().deleter {
                        deleter(managed.as_ptr());
                    }
                }
            }
        }
    }
}
