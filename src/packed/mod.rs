//! Packed images: the quantised coefficients of a JPEG file, stored so that they are quick to read.

pub(crate) mod coefficients;
pub(crate) mod jpeg;
