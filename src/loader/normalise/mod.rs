//! Normalised elements that are computed rather than looked up in a table of 256 entries per
//! channel.
//!
//! # Divisions by multiplications
//!
//! `(v / 255 - mean) / std` in f32 has two divisions, each rounded, and divisions are slow. A
//! rounded quotient `a / b` is almost always equal to
//!
//! ```text
//! fma(a, r, a * s)        where r + s is 1 / b in twice the precision
//! ```
//!
//! "Almost" would not do. But bytes have only 256 values: [`Normalise::try_new`] computes all of
//! them, for each channel, and compares them with the table. If one differs, the table is used.
//!
//! # Streaming stores
//!
//! A normal store first reads the cache line that it writes to. A large batch does not stay in the
//! caches until it is used, so it is written with non-temporal stores, which do not read and
//! do not displace what is in the caches. They are not ordered with other stores, hence
//! [`Normalise::fence`]. On ARM, stores are as usual: its cores detect long runs of them.
//!
//! There is no portable version: machines without one of [`ISAS`] use the table.

#![cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(dead_code, unused_variables, reason = "only x86-64 and 64-bit ARM have a version")
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
mod constants;
#[cfg(target_arch = "aarch64")]
mod neon;

pub use constants::STEP;

use std::array::from_fn;

use super::table::{Entries, Table};
use crate::simd::{Isa, Simd};
use constants::{Constants, Element, reciprocal};

/// The instruction sets that the arithmetic is written for, best first.
pub const ISAS: &[Isa] = &[Isa::Avx2, Isa::Neon];

/// The alignment of the output, in bytes.
pub const ALIGN: usize = 32;

/// The channels of adjacent bytes.
#[derive(Clone, Copy, Debug)]
pub enum Channels {
    /// A plane: all bytes are of this channel.
    One(usize),
    /// Interleaved pixels: the three channels in turn.
    All,
}

/// The arithmetic for one mean and standard deviation per channel.
#[derive(Clone, Debug)]
pub struct Normalise {
    simd: Simd,
    element: Element,
    planes: Box<[Constants; 3]>,
    pixels: Box<Constants>,
}

impl Normalise {
    /// The arithmetic with these means and standard deviations, if it gives every entry of `table`,
    /// and if it is written for this machine.
    pub fn try_new(table: &Table, mean: [f32; 3], std: [f32; 3]) -> Option<Self> {
        let simd = Simd::best(ISAS);
        if simd == Simd::PORTABLE {
            return None;
        }
        let scale = std.map(reciprocal);
        let constants = |channels: [usize; 3]| Constants {
            mean: from_fn(|i| mean[channels[i % 3]]),
            scale: from_fn(|part| from_fn(|i| scale[channels[i % 3]][part])),
        };
        let planes = Box::new([0, 1, 2].map(|channel| constants([channel; 3])));
        let pixels = Box::new(constants([0, 1, 2]));
        let new = |element| Self { simd, element, planes: planes.clone(), pixels: pixels.clone() };
        match table {
            Table::Two(table) => {
                [Element::F16, Element::Bf16].map(new).into_iter().find(|new| new.matches(table))
            }
            Table::Four(table) => Some(new(Element::F32)).filter(|new| new.matches(table)),
        }
    }

    /// Whether all bytes give their entries of `table`.
    fn matches<const N: usize>(&self, table: &Entries<N>) -> bool {
        let bytes: [u8; 256usize.next_multiple_of(STEP)] = from_fn(|i| i as u8);
        let mut memory = vec![0; bytes.len() * N + ALIGN];
        let start = memory.as_ptr().align_offset(ALIGN);
        let out = &mut memory[start..][..bytes.len() * N];
        table.iter().enumerate().all(|(channel, entries)| {
            self.write(Channels::One(channel), &bytes, false, out);
            out.starts_with(entries.as_flattened())
        })
    }

    /// Writes one element for each of `bytes`.
    ///
    /// `streaming` uses non-temporal stores. [`Self::fence`] must follow them before another thread
    /// is told that the output is there.
    ///
    /// # Panics
    /// If the number of bytes is not a multiple of [`STEP`], or `out` does not have that many
    /// elements or is not aligned to [`ALIGN`].
    #[cfg_attr(
        target_arch = "aarch64",
        expect(unused_variables, reason = "NEON has no use for `streaming`")
    )]
    pub fn write(&self, channels: Channels, bytes: &[u8], streaming: bool, out: &mut [u8]) {
        let constants = match channels {
            Channels::One(channel) => &self.planes[channel],
            Channels::All => &self.pixels,
        };
        match self.simd.isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the machine has what `simd` names.
            Isa::Avx2 => unsafe { avx2::write(self.element, constants, bytes, streaming, out) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Isa::Neon => unsafe { neon::write(self.element, constants, bytes, out) },
            isa => unreachable!("no version for {isa:?}"),
        }
    }

    /// Orders streaming stores before all later stores of this thread.
    pub fn fence(&self) {
        match self.simd.isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::fence(),
            // Without streaming stores, there is nothing to order.
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => {}
            isa => unreachable!("no version for {isa:?}"),
        }
    }
}
