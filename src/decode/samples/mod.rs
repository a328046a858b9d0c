//! Coefficients to pixels, as libjpeg-turbo computes them on x86-64, but more of them at once.
//!
//! libjpeg calls its SIMD routines for one block or one row of a component. Here one call does four
//! blocks side by side, and another upsamples and converts a whole row. [`Strip`] has the samples in
//! between: those of two rows of MCUs, which are all that a row of pixels needs. [`Images`] does that
//! for the parts of an image that are wanted, whatever its coefficients come from ([`Tiles`]).
//!
//! This is for grey images and for YCbCr in 4:4:4, 4:2:2 and 4:2:0, with AVX2. libjpeg does the
//! others, and tests compare with it.

mod colour;
mod images;
mod strip;
mod transform;
mod vector;

use self::colour::{Full, Half, Quarter, Sources};
pub use self::images::{Buffers, Images, Tiles};
pub use self::strip::Chroma;
use self::strip::Strip;
use self::vector::{Avx2, Avx512};
use super::coefficients::Block;
use crate::simd::{Isa, Simd};

/// The instruction sets that this is written for, best first. On other machines libjpeg does it.
pub const ISAS: &[Isa] = &[Isa::Avx512Vbmi, Isa::Avx2];

/// Blocks that are transformed at once.
const BLOCKS: usize = 4;

/// Samples that can be read before and after those of a row.
const MARGIN: usize = 192;

/// Writes the samples of blocks side by side into rows that are `stride` bytes apart.
fn transform(simd: Simd, blocks: [&Block; BLOCKS], steps: &Block, out: &mut [u8], stride: usize) {
    assert!(out.len() >= 7 * stride + 8 * BLOCKS, "eight rows of samples");
    let blocks = blocks.map(|block| block.as_ptr());
    match simd.isa() {
        // SAFETY: the machine has what `simd` names, and `out` has the rows.
        Isa::Avx512Vbmi => unsafe { transform_avx512(blocks, steps, out.as_mut_ptr(), stride) },
        // SAFETY: as above.
        Isa::Avx2 => unsafe { transform_avx2(blocks, steps, out.as_mut_ptr(), stride) },
        isa => unreachable!("no version for {isa:?}"),
    }
}

/// # Safety
/// As for [`transform::samples`].
#[target_feature(enable = "avx512bw,avx512vbmi")]
unsafe fn transform_avx512(blocks: [*const i16; 4], steps: &Block, out: *mut u8, stride: usize) {
    // SAFETY: the caller's.
    unsafe { transform::samples::<Avx512>(&blocks, steps.as_ptr(), out, stride) }
}

/// # Safety
/// As for [`transform::samples`].
#[target_feature(enable = "avx2")]
unsafe fn transform_avx2(blocks: [*const i16; 4], steps: &Block, out: *mut u8, stride: usize) {
    // SAFETY: the caller's.
    unsafe {
        transform::samples::<Avx2>(&blocks[..2], steps.as_ptr(), out, stride);
        transform::samples::<Avx2>(&blocks[2..], steps.as_ptr(), out.add(16), stride);
    }
}

/// Writes a row of RGB pixels.
///
/// # Safety
/// As for [`colour::row`].
unsafe fn row(simd: Simd, chroma: Chroma, sources: &Sources, width: usize, to: *mut u8) {
    // SAFETY: the caller's, and the machine has what `simd` names.
    unsafe {
        match simd.isa() {
            Isa::Avx512Vbmi => row_avx512(chroma, sources, width, to),
            Isa::Avx2 => row_avx2(chroma, sources, width, to),
            isa => unreachable!("no version for {isa:?}"),
        }
    }
}

/// # Safety
/// As for [`colour::row`].
#[target_feature(enable = "avx512bw,avx512vbmi")]
unsafe fn row_avx512(chroma: Chroma, sources: &Sources, width: usize, to: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        match chroma {
            Chroma::None => colour::grey::<Avx512>(sources, width, to),
            Chroma::Full => colour::row::<Avx512, Full>(sources, width, to),
            Chroma::Half => colour::row::<Avx512, Half>(sources, width, to),
            Chroma::Quarter => colour::row::<Avx512, Quarter>(sources, width, to),
        }
    }
}

/// # Safety
/// As for [`colour::row`].
#[target_feature(enable = "avx2")]
unsafe fn row_avx2(chroma: Chroma, sources: &Sources, width: usize, to: *mut u8) {
    // SAFETY: the caller's.
    unsafe {
        match chroma {
            Chroma::None => colour::grey::<Avx2>(sources, width, to),
            Chroma::Full => colour::row::<Avx2, Full>(sources, width, to),
            Chroma::Half => colour::row::<Avx2, Half>(sources, width, to),
            Chroma::Quarter => colour::row::<Avx2, Quarter>(sources, width, to),
        }
    }
}
