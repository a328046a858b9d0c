//! The two passes of a resize, which are most of its time.
//!
//! # One sum for both passes
//!
//! Both passes compute weighted sums, byte by byte:
//!
//! ```text
//! out = clamp((2^21 + sum of byte * weight) >> 22)
//! ```
//!
//! The sums are exact in i32. This is how Pillow uses its bits:
//!
//! ```text
//!  8   a byte
//! 22   a weight after the point; the weights of a window sum to 1
//!  1   before the point: if some weights are negative, the others sum to more than 1
//!  1   the sign
//! ```
//!
//! A sum of integers does not depend on its order, so every version below computes the same bytes.
//!
//! # The vertical pass
//!
//! An output row is a weighted sum of input rows. All its bytes have the same weights, and adjacent
//! bytes are independent, so vector instructions apply directly: `BLOCK` adjacent sums stay in
//! registers while the rows of the window are added. Whether a row has pixels or one channel makes
//! no difference.
//!
//! # The horizontal pass
//!
//! Here adjacent bytes belong to different channels, and adjacent sums need different weights. So
//! the bytes are rearranged first. In plain Rust, `BLOCK` rows are transposed: then the bytes of a
//! column are adjacent, and the vertical pass can weigh columns as if they were rows
//! ([`transposed`]). Plain NEON does the same:
//!
//! ```text
//! rows of the image         columns, BLOCK bytes each        after weighing          planes
//!
//! R0 G0 B0 R1 G1 B1 ...     R0 R0 R0 ...  } input            R R R ...  } output     R R R ...
//! R0 G0 B0 R1 G1 B1 ...     G0 G0 G0 ...  } column 0         G G G ...  } column 0   G G G ...
//! R0 G0 B0 R1 G1 B1 ...     B0 B0 B0 ...  }                  B B B ...  }            B B B ...
//! ...                       R1 R1 R1 ...                     ...
//! ```
//!
//! The result is transposed back, each channel into its own plane.
//!
//! # Dot products of bytes
//!
//! VNNI multiplies four unsigned bytes by four signed bytes and adds the products to an i32, in one
//! instruction. A weight has 23 bits and its sign, so it is split into three signed bytes:
//!
//! ```text
//! weight = low + (middle << 8) + (high << 16)
//! sum    = (sum of byte * low) + (sum of byte * middle << 8) + (sum of byte * high << 16)
//! ```
//!
//! The three parts may overflow, but all of it is modulo 2^32 and the result fits an i32, so it is
//! the same sum. Four adjacent bytes must be the samples of one window. For the vertical pass, the
//! bytes of four rows are interleaved. For the horizontal pass, four adjacent pixels of a channel
//! are brought together, which takes half the shuffles of a transposition of bytes. `quads` has this
//! pass once for all instruction sets, whose files only say what each vector instruction is.
//!
//! # Multiplications of 16 bits
//!
//! AVX2 has no such dot products, but two instructions that multiply and add adjacent products:
//!
//! ```text
//! pmaddwd      a 16-bit number by a 16-bit number, pairs added to an i32
//! pmaddubsw    an unsigned byte by a signed byte, pairs added to an i16, with saturation
//! ```
//!
//! A weight is split into 16 bits and a byte, one part for each instruction:
//!
//! ```text
//! weight = low + (high << 16)
//! sum    = (sum of byte * low) + (sum of byte * high << 16)
//! ```
//!
//! For the high part, sums of 16 bits are enough: the shift drops all bits above them. Saturation
//! does not happen, since two high parts sum to at most 128. So the high parts of 32 bytes cost one
//! multiplication, the low parts two.
//!
//! The vertical pass interleaves the bytes of two rows. The horizontal pass uses quads. It reads
//! their even bytes as 16-bit numbers through a mask, and their odd bytes through a shift, which
//! needs no shuffle.
//!
//! # ARM
//!
//! `neondot` is to ARM what VNNI is to x86-64: the same digits, and the same pass over quads, of
//! eight rows. It comes in two forms, since the older of the two instructions takes signed bytes
//! only (`sdot`). Then 128 is subtracted from the bytes, and the sums start from what makes up for it.
//!
//! Plain NEON has neither dot products nor an addition of adjacent products that keeps up with the
//! multiplications. Its instructions multiply one tap, widen the product and add it. `neon` uses
//! the same halves as AVX2, four products of 16 bits and eight of bytes at a time.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(target_arch = "x86_64")]
mod avxvnni;
mod buffers;
#[cfg(target_arch = "x86_64")]
mod dots;
#[cfg(target_arch = "x86_64")]
mod dots256;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neondot;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod plan;
mod portable;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod quads;
#[cfg(target_arch = "aarch64")]
mod sdot;
mod transpose;
mod transposed;
mod vertical;

pub use buffers::{ByteRows, HorizontalBuffers};
pub use vertical::vertical;

use super::coefficients::Coefficients;
use crate::image::ImageRef;
use crate::simd::{Isa, Simd};

/// The instruction sets that the passes are written for, best first.
///
/// There is no version for AVX-512 without VNNI. It was half as fast as VNNI, since its 32-bit
/// multiplication takes Intel's machines two steps.
pub const ISAS: &[Isa] =
    &[Isa::Avx512Vnni, Isa::AvxVnni, Isa::Avx2, Isa::NeonI8mm, Isa::NeonDot, Isa::Neon];

/// Splits the weights of both passes into the parts that the passes use.
pub fn split_weights(simd: Simd, across: &mut Coefficients, down: &mut Coefficients) {
    match simd.isa() {
        Isa::Avx512Vnni | Isa::AvxVnni | Isa::NeonDot | Isa::NeonI8mm => {
            across.compute_digits();
            down.compute_digits();
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            across.compute_halves(avx2::ORDER);
            down.compute_halves([0, 1, 2, 3]);
        }
        _ => {}
    }
}

/// Resizes the rows of `source` to one column per window of `coefficients`, and separates the
/// channels.
///
/// Row `y` of channel `c` goes to `out[(c * source.height + y) * windows..]`.
///
/// # Panics
/// If a window reaches outside `source`, or `out` does not have three planes.
pub fn horizontal(
    simd: Simd,
    source: ImageRef<'_>,
    coefficients: &Coefficients,
    buffers: &mut HorizontalBuffers,
    out: &mut [u8],
) {
    let size = source.height as usize * coefficients.windows().len();
    assert_eq!(out.len(), 3 * size, "three output planes");
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has what `simd` names.
        Isa::Avx512Vnni => unsafe {
            avx512vnni::horizontal(source, coefficients, buffers, out);
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::AvxVnni => unsafe { avxvnni::horizontal(source, coefficients, buffers, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::horizontal(source, coefficients, buffers, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::NeonDot => unsafe {
            neondot::horizontal::<sdot::Sdot>(source, coefficients, buffers, out);
        },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::NeonI8mm => unsafe {
            neondot::horizontal::<sdot::Usdot>(source, coefficients, buffers, out);
        },
        _ => transposed::horizontal(simd, source, coefficients, buffers, out),
    }
}
