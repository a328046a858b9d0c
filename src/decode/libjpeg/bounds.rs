//! What a file may cost libjpeg. A few bytes can claim a large image, and each scan of a
//! progressive file is a pass over all of it.

use std::ffi::c_int;
use std::panic::resume_unwind;
use std::slice;

use mozjpeg_sys as sys;

use super::entropy::is_huffman;
use super::{Decompression, LibjpegError};
use crate::decode::coefficients::Coefficients;

/// More scans than any encoder writes.
const MAX_SCANS: u64 = 1000;

/// So many scans are always allowed. Encoders write 10 to 20.
const MIN_SCANS: u64 = 100;

/// The most scans times pixels, beyond [`MIN_SCANS`]: 100 scans of Pillow's largest image.
const MAX_SCANNED_PIXELS: u64 = MIN_SCANS * 178_956_970;

/// Blocks that arithmetic codes may have without taking any bytes: 16,777,216 samples, for which
/// libjpeg keeps 32 MiB if the file is progressive.
const FREE_BLOCKS: u64 = 1 << 18;

/// libjpeg's progress manager, and how many scans the file may have. libjpeg's struct is first, so
/// that a pointer to it is a pointer to this.
#[repr(C)]
pub struct Progress {
    manager: sys::jpeg_progress_mgr,
    max_scans: u64,
}

impl Progress {
    /// With `manager`, whose callback is set here.
    pub fn new(mut manager: sys::jpeg_progress_mgr) -> Self {
        manager.progress_monitor = Some(progress_monitor);
        Self { manager, max_scans: MAX_SCANS }
    }

    /// For an image of `pixels`.
    pub fn start(&mut self, pixels: u64) {
        self.max_scans = max_scans(pixels);
    }
}

/// Bits that a file with arithmetic codes has at least, for so many blocks.
///
/// The cheapest decision costs 2^-15 of a bit, so a blank page of any size fits into a few bytes.
/// Files of up to [`FREE_BLOCKS`] may be so short. Larger ones need an eighth of what Huffman codes
/// need; photographs have a hundred times that.
fn least_arithmetic_bits(blocks: u64) -> u64 {
    if blocks <= FREE_BLOCKS { 0 } else { blocks / 8 }
}

/// How many scans an image of `pixels` may have.
fn max_scans(pixels: u64) -> u64 {
    (MAX_SCANNED_PIXELS / pixels.max(1)).clamp(MIN_SCANS, MAX_SCANS)
}

unsafe extern "C-unwind" fn progress_monitor(cinfo: &mut sys::jpeg_common_struct) {
    let cinfo: *mut sys::jpeg_common_struct = cinfo;
    // SAFETY: this monitor is only ever given to decompressors, which begin with the common struct.
    let scans: c_int = unsafe { (*cinfo.cast::<sys::jpeg_decompress_struct>()).input_scan_number };
    // SAFETY: `progress` was set to a `Progress`, which begins with libjpeg's struct.
    let max_scans = unsafe { (*(*cinfo).progress.cast::<Progress>()).max_scans };
    if u64::try_from(scans).is_ok_and(|scans| scans > max_scans) {
        resume_unwind(Box::new(LibjpegError(format!(
            "more than {max_scans} scans, too many for an image of this size"
        ))));
    }
}

impl<S: Coefficients> Decompression<'_, S> {
    /// How many bytes the file has.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Bits that a complete file has at least: one for each block of each component, since a block
    /// begins with a Huffman code. For arithmetic codes see [`least_arithmetic_bits`].
    pub fn least_bits(&mut self) -> u64 {
        let cinfo = &mut *self.context.cinfo;
        let huffman = is_huffman(cinfo);
        let count = usize::try_from(cinfo.num_components).unwrap_or(0);
        // SAFETY: libjpeg has made this array for as many components when it read the header.
        let components = unsafe { slice::from_raw_parts(cinfo.comp_info, count) };
        let blocks = |c: &sys::jpeg_component_info| {
            u64::from(c.width_in_blocks) * u64::from(c.height_in_blocks)
        };
        let blocks = components.iter().map(blocks).sum();
        if huffman { blocks } else { least_arithmetic_bits(blocks) }
    }
}

#[cfg(test)]
mod tests {
    use super::{least_arithmetic_bits, max_scans};

    #[test]
    fn scans_times_pixels_are_bounded() {
        assert_eq!([0, 1, 17_000_000].map(max_scans), [1000; 3]);
        assert_eq!(max_scans(35_791_394), 500);
        assert_eq!([178_956_970, 1 << 40].map(max_scans), [100; 2]);
    }

    #[test]
    fn small_images_of_arithmetic_codes_may_have_no_bits() {
        assert_eq!([0, 1 << 18].map(least_arithmetic_bits), [0; 2]);
        assert_eq!([(1 << 18) + 1, 8 << 20].map(least_arithmetic_bits), [1 << 15, 1 << 20]);
    }
}
