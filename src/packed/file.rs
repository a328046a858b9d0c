//! JPEG files to packed images and back.

use super::geometry::MAX_MCU_BLOCKS;
use super::jpeg::{Parts, Side, Unpackable, take_apart};
use super::tiles::Grid;
use super::{Packed, broken, pack};
use crate::decode::Limits;
use crate::error::Error;
use crate::memory::Promise;

/// How many bytes packing and unpacking take for a byte of what they are given, besides the
/// coefficients: the bytes of a scan, of the new file, of tiles and of side information, some in
/// vectors that are doubled. Files made to be costly can take more.
const PER_BYTE: usize = 16;

/// Packs a JPEG file. [`unpack_jpeg`] gives it back byte for byte, and
/// [`Decoder`](crate::decode::Decoder) makes the same pixels of both.
///
/// ```
/// use tied_augment::decode::Limits;
/// use tied_augment::packed::{pack_jpeg, unpack_jpeg};
///
/// let mut jpeg = Vec::new();
/// let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
/// encoder.encode(&[128; 64 * 48 * 3], 64, 48, jpeg_encoder::ColorType::Rgb)?;
///
/// let packed = pack_jpeg(&jpeg, Limits::default())?;
/// assert_eq!(unpack_jpeg(&packed)?, jpeg);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the file is not a sound JPEG file, exceeds `limits`, is of a kind that can't be packed, or could not be written
/// again as it is. Keep such a file as it is.
pub fn pack_jpeg(file: &[u8], limits: Limits) -> Result<Vec<u8>, Unpackable> {
    let _promise = Promise::new(file.len().saturating_mul(PER_BYTE));
    let Parts { coefficients, side } = take_apart(file, limits)?;
    if Grid::new(&side.geometry, 1).mcu_blocks() > MAX_MCU_BLOCKS {
        return Err(Unpackable::LargeMcus);
    }
    pack(&coefficients, &side.to_bytes(), &side.geometry).map_err(|_| Unpackable::TooLong)
}

/// Writes the JPEG file that was packed.
///
/// # Errors
/// [`Error::Decode`], also if a single bit has changed.
pub fn unpack_jpeg(image: &[u8]) -> Result<Vec<u8>, Error> {
    let _promise = Promise::new(image.len().saturating_mul(PER_BYTE));
    let packed = Packed::open(image)?;
    packed.verify()?;
    let side = Side::from_bytes(&packed.side()?).map_err(|cause| broken(&cause.to_string()))?;
    if side.geometry != *packed.geometry() {
        return Err(broken("its side information is of another image"));
    }
    let parts = Parts { coefficients: packed.coefficients()?, side };
    parts.write().map_err(|cause| broken(&cause.to_string()))
}
