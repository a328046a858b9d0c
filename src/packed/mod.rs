//! Packed images: the quantised coefficients of a JPEG file, stored so that they are quick to read.
//!
//! A JPEG file must be read from its first bit on, one code after the other. A packed image has the
//! same coefficients, so it gives the same pixels, in another code: any tile of it is found without
//! reading what is before it, and a block is unpacked without a branch per coefficient.
//! `docs/packed-format.md` specifies every byte.
//!
//! ```text
//! header        magic, version, features, lengths, checksums
//! geometry      sizes, components, quantisation tables
//! directory     where each row of MCUs begins, and the length of each tile
//! side          what else the JPEG file had, so that it can be written again; compressed
//! tiles         the coefficients
//! ```
//!
//! * [`pack_jpeg`] packs a JPEG file, [`unpack_jpeg`] gives it back, and [`crate::decode`] makes its
//!   pixels.
//! * [`pack()`] makes a packed image of coefficients, [`Packed`] reads it.
//! * `jpeg` takes JPEG files apart into coefficients and side information, and writes them again.
//! * `codec` has the entropy coder of tiles. Its kernels are laid out as [`crate::simd`] says.
//! * [`geometry`] and [`tiles`] say how an image is divided.
//!
//! The format has version 1. Later releases read it too, as `docs/packed-format.md` promises, so what
//! is here must go on reading the files in `tests/golden/packed`.
//!
//! A packed image may come from anyone. Every length and offset is checked before it is used, and a
//! broken image gives an error or other coefficients.

mod bytes;
mod codec;
pub mod coefficients;
mod file;
pub mod geometry;
mod image;
mod jpeg;
mod pack;
mod side;
#[cfg(test)]
mod tests;
pub mod tiles;
pub(crate) mod zigzag;

pub use self::file::{pack_jpeg, unpack_jpeg};
pub use self::image::Packed;
pub use self::jpeg::Unpackable;
pub use self::pack::pack;
use crate::error::Error;

/// The first bytes of a packed image. No text and no other image format begins so; a transfer that
/// changes ends of lines, or stops at an end of file, breaks them.
pub const MAGIC: [u8; 7] = *b"\xD7TAP\r\n\x1A";

/// The version of the format. Other versions are refused.
const VERSION: u8 = 1;

/// Bytes of the header.
const HEADER: usize = 40;

/// Zeros after the last tile, so that bits can be read nine bytes at a time, and a block further
/// than the end of a stream before that is noticed.
const PADDING: usize = 32;

fn broken(cause: &str) -> Error {
    Error::decode("packed image", cause)
}
