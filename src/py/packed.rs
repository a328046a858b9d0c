//! Packed images: JPEG files to them and back.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::errors::detached;
use super::pipeline::limits;
use crate::error::Error;
use crate::packed;

/// Packs a JPEG file.
#[pyfunction]
pub fn pack_jpeg<'py>(
    py: Python<'py>,
    data: &[u8],
    max_pixels: Option<u64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let image = detached(py, || {
        let refused = |cause| Error::Argument(format!("the file cannot be packed: {cause}"));
        packed::pack_jpeg(data, limits(max_pixels)).map_err(refused)
    })?;
    to_bytes(py, &image)
}

/// Writes the JPEG file that was packed.
#[pyfunction]
pub fn unpack_jpeg<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let file = detached(py, || packed::unpack_jpeg(data))?;
    to_bytes(py, &file)
}

/// As `PyBytes::new`, which panics if there is no memory.
fn to_bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, bytes.len(), |out| {
        out.copy_from_slice(bytes);
        Ok(())
    })
}
