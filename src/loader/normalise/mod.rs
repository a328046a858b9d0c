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
//! # Elements of 16 bits
//!
//! Most of the f32 is rounded off there, so a cheaper one will do: `fma(v, slope, offset)`. It is
//! tried first, and compared with the table in the same way.
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
#[cfg(target_arch = "x86_64")]
mod avx512;
mod constants;
#[cfg(target_arch = "aarch64")]
mod neon;

pub use constants::STEP;

use std::array::from_fn;

use super::table::{Entries, Table};
use crate::simd::{Isa, Simd};
use constants::{Arithmetic, Constants, Element, line, reciprocal};

/// The instruction sets that the arithmetic is written for, best first.
pub const ISAS: &[Isa] = &[Isa::Avx512, Isa::Avx2, Isa::Neon];

/// The alignment of the output, in bytes.
pub const ALIGN: usize = 64;

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
    arithmetic: Arithmetic,
    planes: Box<[Constants; 3]>,
    pixels: Box<Constants>,
}

impl Normalise {
    /// The arithmetic with these means and standard deviations, if it gives every entry of `table`,
    /// and if it is written for this machine.
    pub fn try_new(table: &Table, mean: [f32; 3], std: [f32; 3]) -> Option<Self> {
        Self::with_simd(Simd::best(ISAS), table, mean, std)
    }

    fn with_simd(simd: Simd, table: &Table, mean: [f32; 3], std: [f32; 3]) -> Option<Self> {
        if simd == Simd::PORTABLE {
            return None;
        }
        let scale = std.map(reciprocal);
        let lines: [[f32; 2]; 3] = from_fn(|channel| line(mean[channel], std[channel]));
        let constants = |channels: [usize; 3]| Constants {
            mean: from_fn(|i| mean[channels[i % 3]]),
            scale: from_fn(|part| from_fn(|i| scale[channels[i % 3]][part])),
            line: from_fn(|part| from_fn(|i| lines[channels[i % 3]][part])),
        };
        let planes = Box::new([0, 1, 2].map(|channel| constants([channel; 3])));
        let pixels = Box::new(constants([0, 1, 2]));
        let new = |(element, arithmetic)| {
            let (planes, pixels) = (planes.clone(), pixels.clone());
            Self { simd, element, arithmetic, planes, pixels }
        };
        match table {
            Table::Two(table) => {
                let ways = [Arithmetic::Line, Arithmetic::Quotients].into_iter();
                let all = ways.flat_map(|way| [(Element::F16, way), (Element::Bf16, way)]);
                all.map(new).find(|new| new.matches(table))
            }
            Table::Four(table) => {
                Some(new((Element::F32, Arithmetic::Quotients))).filter(|new| new.matches(table))
            }
        }
    }

    /// Whether all bytes give their entries of `table`.
    fn matches<const N: usize>(&self, table: &Entries<N>) -> bool {
        // Two steps, which are whole registers of every width.
        let bytes: [u8; 256usize.next_multiple_of(2 * STEP)] = from_fn(|i| i as u8);
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
        let kind = (self.element, self.arithmetic);
        match self.simd.isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the machine has what `simd` names.
            Isa::Avx512 => unsafe { avx512::write(kind, constants, bytes, streaming, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx2 => unsafe { avx2::write(kind, constants, bytes, streaming, out) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Isa::Neon => unsafe { neon::write(kind, constants, bytes, out) },
            isa => unreachable!("no version for {isa:?}"),
        }
    }

    /// Orders streaming stores before all later stores of this thread.
    pub fn fence(&self) {
        match self.simd.isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx2 => avx2::fence(),
            // Without streaming stores, there is nothing to order.
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => {}
            isa => unreachable!("no version for {isa:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use proptest::prelude::*;

    use super::*;

    fn tables(mean: [f32; 3], std: [f32; 3]) -> [Table; 3] {
        let values =
            || (0..3).flat_map(|c| (0..256).map(move |v| (v as f32 / 255.0 - mean[c]) / std[c]));
        [
            values().flat_map(f32::to_ne_bytes).collect::<Vec<_>>(),
            values().flat_map(|v| f16::from_f32(v).to_ne_bytes()).collect(),
            values().flat_map(|v| bf16::from_f32(v).to_ne_bytes()).collect(),
        ]
        .map(|bytes| Table::from_bytes(&bytes).unwrap())
    }

    /// The entries of these bytes, of which number `i` belongs to channel `channel(i)`.
    fn entries<const N: usize>(
        table: &Entries<N>,
        bytes: &[u8],
        channel: impl Fn(usize) -> usize,
    ) -> Vec<u8> {
        let entry = |(i, &byte): (usize, &u8)| table[channel(i)][usize::from(byte)];
        bytes.iter().enumerate().flat_map(entry).collect()
    }

    fn expected(table: &Table, channels: Channels, bytes: &[u8]) -> Vec<u8> {
        let channel = |i| match channels {
            Channels::One(channel) => channel,
            Channels::All => i % 3,
        };
        match table {
            Table::Two(table) => entries(table, bytes, channel),
            Table::Four(table) => entries(table, bytes, channel),
        }
    }

    /// Compares every instruction set that can compute `table` with it. Returns how many can.
    fn check(table: &Table, mean: [f32; 3], std: [f32; 3], bytes: &[u8]) -> usize {
        let all = Simd::available(ISAS);
        let all: Vec<_> = all.filter_map(|s| Normalise::with_simd(s, table, mean, std)).collect();
        for normalise in &all {
            for channels in [0, 1, 2].map(Channels::One).into_iter().chain([Channels::All]) {
                let expected = expected(table, channels, bytes);
                for streaming in [false, true] {
                    let mut memory = vec![0; expected.len() + ALIGN];
                    let start = memory.as_ptr().align_offset(ALIGN);
                    let out = &mut memory[start..][..expected.len()];
                    normalise.write(channels, bytes, streaming, out);
                    normalise.fence();
                    assert!(*out == expected, "{}, {channels:?}", normalise.simd.name());
                }
            }
        }
        all.len()
    }

    #[test]
    fn every_instruction_set_computes_the_usual_tables() {
        let bytes: Vec<u8> = (0..STEP * 33).map(|i| (i * i / 3) as u8).collect();
        let simds = Simd::available(ISAS).count() - 1;
        for (mean, std) in [
            ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ([0.5; 3], [0.5; 3]),
            ([0.0; 3], [1.0; 3]),
        ] {
            for table in tables(mean, std) {
                assert_eq!(check(&table, mean, std, &bytes), simds);
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_computed_is_the_table(
            mean in prop::array::uniform3(-1f32..2.0),
            std in prop::array::uniform3(0.001f32..2.0),
            steps in prop::collection::vec(prop::array::uniform24(any::<u8>()), 0..9),
        ) {
            for table in tables(mean, std) {
                check(&table, mean, std, steps.as_flattened());
            }
        }
    }
}
