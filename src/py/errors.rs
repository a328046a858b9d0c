//! The only map from the core's errors to Python's exceptions, and the only place that releases the
//! GIL.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::error::{Error, Result};

pyo3::create_exception!(
    tied_augment,
    DecodeError,
    PyOSError,
    "A file is not an image, is broken, exceeds `max_pixels`, or is too long and thin for the \
     view. The message names the sample.\n\n\
     A subclass of OSError, as Pillow's `UnidentifiedImageError` is."
);

/// Runs `work` without the GIL; a panic in it becomes a `RuntimeError`.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    py.detach(|| {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(Error::panic(&*payload)))
    })
    .map_err(to_python)
}

/// The exception for `error`, with the whole message.
pub fn to_python(error: Error) -> PyErr {
    let message = error.to_string();
    match innermost(error) {
        Error::Io(cause) if ran_out(&cause) => {
            let remedy = "close files, or raise the limit on open files (ulimit -n)";
            PyOSError::new_err((cause.raw_os_error(), format!("{message}; {remedy}")))
        }
        // As an io::Error, so that Python sees FileNotFoundError, PermissionError, ...
        Error::Io(cause) => std::io::Error::new(cause.kind(), message).into(),
        Error::Unidentified(_)
        | Error::Decode { .. }
        | Error::TooLarge { .. }
        | Error::Sides(_) => DecodeError::new_err(message),
        Error::Memory { .. } => PyMemoryError::new_err(message),
        Error::Argument(_) => PyValueError::new_err(message),
        Error::Threads { .. } | Error::Panic(_) | Error::At { .. } => {
            PyRuntimeError::new_err(message)
        }
    }
}

/// Whether the process or the system has no file descriptor left. The `errno` tells Python, which
/// must not take the sample for a bad one.
fn ran_out(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    return matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

fn innermost(error: Error) -> Error {
    match error {
        Error::At { source, .. } => innermost(*source),
        other => other,
    }
}
