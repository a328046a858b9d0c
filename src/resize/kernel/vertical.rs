//! The vertical pass, in the version for an instruction set.

use super::super::coefficients::Coefficients;
#[cfg(target_arch = "x86_64")]
use super::avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512vnni;
#[cfg(target_arch = "x86_64")]
use super::avxvnni;
use super::buffers::{BLOCK, ByteRows};
use super::portable;
#[cfg(target_arch = "aarch64")]
use super::{neon, neondot, sdot};
use crate::simd::{Isa, Simd};

/// Writes one row of `input.width` bytes per window of `coefficients` to `out`.
///
/// # Panics
/// If a window reaches outside `input`, or `out` does not have one row per window.
pub fn vertical(simd: Simd, input: ByteRows<'_>, coefficients: &Coefficients, out: &mut [u8]) {
    let height = coefficients.windows().len();
    assert_eq!(out.len(), height * input.width, "an output row per window");
    let simd = if input.width < BLOCK { Simd::PORTABLE } else { simd };
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has what `simd` names.
        Isa::Avx512Vnni => unsafe { avx512vnni::vertical(input, coefficients, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::AvxVnni => unsafe { avxvnni::vertical(input, coefficients, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::vertical(input, coefficients, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::Neon => unsafe { neon::vertical(input, coefficients, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::NeonDot => unsafe { neondot::vertical::<sdot::Sdot>(input, coefficients, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::NeonI8mm => unsafe { neondot::vertical::<sdot::Usdot>(input, coefficients, out) },
        Isa::Portable => portable::vertical(input, coefficients, out),
        isa => unreachable!("no version for {isa:?}"),
    }
}
