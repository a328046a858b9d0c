//! The Python module `tied_augment._core`: validate, release the GIL, call the core, convert.
//!
//! Only this module knows Python. It has no logic of its own and no defaults for arguments: both
//! are in the Python package, which is its only caller.

mod catalog;
mod dlpack;
mod errors;
mod loader;
mod loss;
mod packed;
mod pipeline;
mod plans;
mod pools;
mod samples;
mod views;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::resize::Resizer;

/// What this build can do: versions and the SIMD in use.
#[pyfunction]
fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS))?;
    info.set_item("optimized", !cfg!(debug_assertions))?;
    info.set_item("jpeg_simd", crate::decode::jpeg_simd())?;
    info.set_item("resize_simd", Resizer::default().simd().name())?;
    info.set_item("threads", pools::default_threads())?;
    Ok(info)
}

/// Stops the panics of decoders from being printed: each becomes a `DecodeError` with the same
/// message.
fn quiet_decoders() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !crate::decode::panic_is_the_files() {
            print(panic);
        }
    }));
}

// A free-threaded Python stays without its GIL: docs/reliability.md says what was run there.
#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::build_info;
    #[pymodule_export]
    use super::catalog::{Catalog, Located};
    #[pymodule_export]
    use super::errors::DecodeError;
    #[pymodule_export]
    use super::loader::Loader;
    #[pymodule_export]
    use super::loss::tied_loss;
    #[pymodule_export]
    use super::packed::{pack_jpeg, unpack_jpeg};
    #[pymodule_export]
    use super::pipeline::{Pipeline, checked_plan, decode, render};
    #[pymodule_export]
    use super::views::policy_remarks;

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::quiet_decoders();
        Ok(())
    }
}
