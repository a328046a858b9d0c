//! Memory of numpy, PyTorch and other libraries through DLPack, without copies.
//!
//! [DLPack](https://dmlc.github.io/dlpack/latest/) is a C structure that describes a tensor: address,
//! device, dtype, shape and strides. A library offers it through two methods of its arrays:
//!
//! ```text
//! consumer                                   producer
//!    |  array.__dlpack_device__()               |
//!    | ---------------------------------------> |  (device type, device number)
//!    |  array.__dlpack__(max_version=(1, 0))    |
//!    | ---------------------------------------> |  a capsule with a pointer to the structure
//!    |  renames the capsule                     |
//!    |  reads or writes the memory              |
//!    |  calls the structure's deleter           |
//!    | ---------------------------------------> |  releases the memory
//! ```
//!
//! The rules that matter here:
//!
//! - **Two structures.** DLPack 1.0 put a version and flags in front of the tensor. A producer that is
//!   older has neither: it raises `TypeError` for the keyword `max_version`, and is asked again without
//!   it. The capsule's name tells the structures apart: `dltensor_versioned` or `dltensor`. A
//!   structure of a later major version may have another layout, so only its version may be read.
//! - **Ownership.** A capsule can be consumed once. The consumer renames it to `used_...` and from then
//!   on must call the deleter exactly once. A capsule that is never consumed deletes its structure by
//!   itself.
//! - **Flags.** A producer may mark its memory as read-only, or as a copy. Gradients are refused
//!   memory with either flag: it must not be written to, or the caller would never see the result. The
//!   old structure has no flags, so its memory counts as writable.
//! - **Strides** are in elements, and may be null for C order. An array that is not C-contiguous is
//!   refused, since the loss reads rows as slices.
//!
//! A capsule may come from anywhere, so all that it says is checked before it is relied on, except what
//! can't be: that the memory is there, and that nobody else writes to it meanwhile.
//!
//! [`capsule`] has the C structures and their ownership, [`buffer`] the checks and the array views. The
//! `dlpark` crate does the same in 11,000 lines, for every device and for exporting too.

mod buffer;
mod capsule;

pub use buffer::{Buffer, check_disjoint};
