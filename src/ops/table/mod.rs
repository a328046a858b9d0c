//! Look-up tables of 256 values, and the histograms that some of them are made from.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vbmi;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use crate::simd::{Isa, Simd};

/// The instruction sets that [`map`] is written for, best first.
const ISAS: &[Isa] = &[Isa::Avx512Vbmi, Isa::Avx2, Isa::Neon];

/// Whether [`map`] looks up many values at once on this machine. Otherwise a simple computation is
/// faster than a look-up.
pub fn is_vectorised() -> bool {
    Simd::best(ISAS) != Simd::PORTABLE
}

/// Replaces each value by its entry in `table`.
pub fn map(plane: &mut [u8], table: &[u8; 256]) {
    map_with(Simd::best(ISAS), plane, table);
}

fn map_with(simd: Simd, plane: &mut [u8], table: &[u8; 256]) {
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has what `simd` names.
        Isa::Avx512Vbmi => unsafe { avx512vbmi::map(plane, table) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::map(plane, table) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::Neon => unsafe { neon::map(plane, table) },
        Isa::Portable => portable::map(plane, table),
        isa => unreachable!("no version for {isa:?}"),
    }
}

/// As [`map`], for a table of which entry `v` is about `slope * v + offset`, truncated and clamped.
pub fn map_line(plane: &mut [u8], table: &[u8; 256], slope: f64, offset: f64) {
    map_line_with(Simd::best(ISAS), plane, table, slope, offset);
}

#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(unused_variables, reason = "only AVX2 computes the line")
)]
fn map_line_with(simd: Simd, plane: &mut [u8], table: &[u8; 256], slope: f64, offset: f64) {
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has what `simd` names.
        Isa::Avx2 if unsafe { avx2::map_line(plane, table, slope, offset) } => {}
        _ => map_with(simd, plane, table),
    }
}

/// Replaces each value by its entry in `table`, and returns the [`histogram`] of another plane.
///
/// An increment in memory takes a cycle, whatever else is done in it. So with AVX2 the values are
/// looked up between the increments, at no cost.
pub fn map_and_count(plane: &mut [u8], table: &[u8; 256], counted: &[u8]) -> [u32; 256] {
    map_and_count_with(Simd::best(ISAS), plane, table, counted)
}

fn map_and_count_with(
    simd: Simd,
    plane: &mut [u8],
    table: &[u8; 256],
    counted: &[u8],
) -> [u32; 256] {
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has what `simd` names.
        Isa::Avx2 => unsafe { avx2::map_and_count(plane, table, counted) },
        _ => {
            map_with(simd, plane, table);
            histogram(counted)
        }
    }
}

/// The number of times that each value occurs.
pub fn histogram(plane: &[u8]) -> [u32; 256] {
    let mut counts = Counts::default();
    counts.add(plane);
    counts.total()
}

/// Counts of values. Four neighbours are counted in four tables: in one table, equal neighbours
/// would make each increment wait for the one before it. Eight are loaded at once: with a load for
/// each, counting beside look-ups took 18% longer.
struct Counts([[u32; 256]; 4]);

impl Default for Counts {
    fn default() -> Self {
        Self([[0; 256]; 4])
    }
}

impl Counts {
    #[inline(always)]
    fn add(&mut self, values: &[u8]) {
        let (eights, rest) = values.as_chunks::<8>();
        for eight in eights {
            let all = u64::from_le_bytes(*eight);
            for i in 0..8 {
                self.0[i % 4][(all >> (8 * i) & 0xFF) as usize] += 1;
            }
        }
        for &v in rest {
            self.0[0][usize::from(v)] += 1;
        }
    }

    fn total(&self) -> [u32; 256] {
        std::array::from_fn(|v| self.0.iter().map(|table| table[v]).sum())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ISAS, Simd, histogram, map_and_count_with, map_line_with, map_with};
    use crate::ops::blend::blend;

    proptest! {
        #[test]
        fn every_value_is_mapped(
            plane in prop::collection::vec(any::<u8>(), 0..400),
            other in prop::collection::vec(any::<u8>(), 0..400),
            table in prop::array::uniform32(any::<u8>()),
        ) {
            let table: [u8; 256] =
                std::array::from_fn(|i| table[i % 32].wrapping_add((i / 32) as u8));
            let expected: Vec<u8> = plane.iter().map(|&v| table[usize::from(v)]).collect();
            for simd in Simd::available(ISAS) {
                let mut mapped = plane.clone();
                map_with(simd, &mut mapped, &table);
                prop_assert_eq!(&mapped, &expected, "{}", simd.name());
                let mut mapped = plane.clone();
                let counts = map_and_count_with(simd, &mut mapped, &table, &other);
                prop_assert_eq!(&mapped, &expected, "{}", simd.name());
                prop_assert_eq!(counts, histogram(&other));
            }
        }

        #[test]
        fn lines_are_mapped(
            plane in prop::collection::vec(any::<u8>(), 0..400),
            from: u8,
            factor in prop_oneof![0f32..3.0, -200f32..200.0, (0..30).prop_map(|n| n as f32 / 10.0)],
            wrong: bool,
        ) {
            let table: [u8; 256] = std::array::from_fn(|v| blend(from, v as u8, factor));
            let expected: Vec<u8> = plane.iter().map(|&v| table[usize::from(v)]).collect();
            let slope = f64::from(factor) + if wrong { 0.01 } else { 0.0 };
            let offset = f64::from(from) * (1.0 - f64::from(factor));
            for simd in Simd::available(ISAS) {
                let mut mapped = plane.clone();
                map_line_with(simd, &mut mapped, &table, slope, offset);
                prop_assert_eq!(&mapped, &expected, "{}", simd.name());
            }
        }

        #[test]
        fn every_value_is_counted(plane in prop::collection::vec(any::<u8>(), 0..400)) {
            let count = |value: usize| plane.iter().filter(|&&v| usize::from(v) == value).count();
            let expected: [u32; 256] = std::array::from_fn(|value| count(value) as u32);
            prop_assert_eq!(histogram(&plane), expected);
        }
    }
}
