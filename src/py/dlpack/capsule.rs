//! DLPack's C structures: how they are obtained, and released.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyCapsule, PyDict};

/// `DLTensor` of `dlpack.h` 1.x, with its device and its dtype written out.
#[repr(C)]
pub struct DlTensor {
    pub data: *mut c_void,
    pub device_type: i32,
    device_id: i32,
    pub ndim: i32,
    pub code: u8,
    pub bits: u8,
    pub lanes: u16,
    pub shape: *const i64,
    pub strides: *const i64,
    pub byte_offset: u64,
}

/// `DLManagedTensor`, of before DLPack 1.0.
#[repr(C)]
pub struct Legacy {
    tensor: DlTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Legacy)>,
}

/// `DLManagedTensorVersioned`.
#[repr(C)]
pub struct Versioned {
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

/// A structure that is ours to delete.
pub enum Managed {
    Legacy(NonNull<Legacy>),
    Versioned(NonNull<Versioned>),
}

impl Managed {
    /// Has `value` export its memory, or consumes it if it is a capsule already.
    ///
    /// # Errors
    /// `TypeError` for a value without DLPack, `ValueError` for memory that can't be shared. If the
    /// value raises something that is not an `Exception`, such as `KeyboardInterrupt`, it is that.
    pub fn new(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        match value.cast::<PyCapsule>() {
            // Without a GIL, two threads might both take the structure before either renames it.
            Ok(capsule) => with_critical_section(capsule, || consume(name, capsule)),
            Err(_) => consume(name, &export(name, value)?),
        }
    }

    pub fn tensor(&self) -> &DlTensor {
        // SAFETY: the producer keeps its structure until the deleter is called, on drop.
        unsafe {
            match self {
                Self::Legacy(managed) => &managed.as_ref().tensor,
                Self::Versioned(managed) => &managed.as_ref().tensor,
            }
        }
    }

    /// Whether what is written here reaches the caller's array.
    pub fn is_writable(&self) -> bool {
        match self {
            Self::Legacy(_) => true,
            // SAFETY: as in `tensor`.
            Self::Versioned(managed) => unsafe {
                managed.as_ref().flags & (READ_ONLY | COPIED) == 0
            },
        }
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        // SAFETY: called once, attached to the interpreter (buffers live and die in functions that
        // Python calls); the structure is not touched afterwards.
        unsafe {
            match *self {
                Self::Legacy(managed) => {
                    if let Some(deleter) = managed.as_ref().deleter {
                        deleter(managed.as_ptr());
                    }
                }
                Self::Versioned(managed) => {
                    if let Some(deleter) = managed.as_ref().deleter {
                        deleter(managed.as_ptr());
                    }
                }
            }
        }
    }
}

/// Calls `__dlpack__` of `value`, if its memory is on the CPU.
fn export<'py>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyCapsule>> {
    let py = value.py();
    let kind = value.get_type().name()?;
    if !value.hasattr("__dlpack__")? {
        return Err(PyTypeError::new_err(format!(
            "{name} must be a numpy array, a torch tensor on the CPU or another object with \
             __dlpack__, got {kind}"
        )));
    }
    // KeyboardInterrupt and SystemExit are not about the array: they pass.
    let because = |cause: PyErr, error: PyErr| {
        if !cause.is_instance_of::<PyException>(py) {
            return cause;
        }
        error.set_cause(py, Some(cause));
        error
    };
    let failed = |method: &str, cause: PyErr| {
        let message = format!("{name}: {method} of this {kind} failed ({cause})");
        because(cause, PyTypeError::new_err(message))
    };
    let device = value.call_method0("__dlpack_device__").and_then(|d| d.extract::<(i32, i32)>());
    check_device(name, device.map_err(|cause| failed("__dlpack_device__", cause))?.0)?;
    let keywords = PyDict::new(py);
    keywords.set_item("max_version", (1, 0))?;
    let exported = match value.call_method("__dlpack__", (), Some(&keywords)) {
        // A producer of before DLPack 1.0.
        Err(error) if error.is_instance_of::<PyTypeError>(py) => value.call_method0("__dlpack__"),
        other => other,
    };
    let exported = exported.map_err(|cause| {
        let message =
            format!("{name}: this {kind} can't be shared without a copy ({cause}); pass a copy");
        because(cause, PyValueError::new_err(message))
    })?;
    exported.cast_into::<PyCapsule>().map_err(|error| failed("__dlpack__", error.into()))
}

/// Refuses memory that is not the CPU's.
pub fn check_device(name: &str, device: i32) -> PyResult<()> {
    if CPU_MEMORY.contains(&device) {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "{name} must be in CPU memory, but is on DLPack device type {device}; move it to the CPU, or \
         use TiedLoss, which computes where the tensors are"
    )))
}

/// Takes the structure out of `capsule` and renames it.
fn consume(name: &str, capsule: &Bound<'_, PyCapsule>) -> PyResult<Managed> {
    let refuse = |what: &str| Err(PyValueError::new_err(format!("{name}: {what}")));
    let pointer = |kind: &CStr| {
        // SAFETY: a live capsule and a C string; a wrong name gives null and an exception.
        let pointer = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), kind.as_ptr()) };
        NonNull::new(pointer).ok_or_else(|| PyErr::fetch(capsule.py()))
    };
    let is = |kind: &CStr| {
        // SAFETY: as above; this only compares names.
        unsafe { ffi::PyCapsule_IsValid(capsule.as_ptr(), kind.as_ptr()) == 1 }
    };
    let rename = |used: &CStr| {
        // SAFETY: a live capsule and a static name.
        if unsafe { ffi::PyCapsule_SetName(capsule.as_ptr(), used.as_ptr()) } == 0 {
            return Ok(());
        }
        Err(PyErr::fetch(capsule.py()))
    };
    if is(c"dltensor_versioned") {
        let managed = pointer(c"dltensor_versioned")?.cast::<Versioned>();
        // SAFETY: a capsule of this name holds this structure. The version comes first in every
        // version of it.
        if unsafe { managed.as_ref().major } > 1 {
            return refuse("exported with a later DLPack than version 1");
        }
        rename(c"used_dltensor_versioned")?;
        return Ok(Managed::Versioned(managed));
    }
    if is(c"dltensor") {
        let managed = pointer(c"dltensor")?.cast();
        rename(c"used_dltensor")?;
        return Ok(Managed::Legacy(managed));
    }
    refuse("a capsule that is not a DLPack tensor, or was used before")
}
