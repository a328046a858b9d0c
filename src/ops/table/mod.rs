//! Look-up tables of 256 values, and the histograms that some of them are made from.

#[cfg(target_arch = "x86_64")]
mod avx512vbmi;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use crate::simd::{Isa, Simd};

/// The instruction sets that [`map`] is written for, best first.
const ISAS: &[Isa] = &[Isa::Avx512Vbmi, Isa::Neon];

/// Replaces each value by its entry in `table`.
pub fn map(plane: &mut [u8], table: &[u8; 256]) {
    map_with(Simd::best(ISAS), plane, table);
}

fn map_with(simd: Simd, plane: &mut [u8], table: &[u8; 256]) {
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has what `simd` names.
        Isa::Avx512Vbmi => unsafe { avx512vbmi::map(plane, table) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::Neon => unsafe { neon::map(plane, table) },
        Isa::Portable => portable::map(plane, table),
        isa => unreachable!("no version for {isa:?}"),
    }
}

/// The number of times that each value occurs.
///
/// Four neighbours are counted in four tables. Counted in one table, equal neighbours would make
/// each increment wait for the one before it.
pub fn histogram(plane: &[u8]) -> [u32; 256] {
    let mut counts = [[0u32; 256]; 4];
    let (fours, rest) = plane.as_chunks::<4>();
    for four in fours {
        for (table, &v) in counts.iter_mut().zip(four) {
            table[usize::from(v)] += 1;
        }
    }
    for &v in rest {
        counts[0][usize::from(v)] += 1;
    }
    std::array::from_fn(|v| counts.iter().map(|table| table[v]).sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ISAS, Simd, map_with};

    proptest! {
        #[test]
        fn every_value_is_mapped(
            plane in prop::collection::vec(any::<u8>(), 0..400),
            table in prop::array::uniform32(any::<u8>()),
        ) {
            let table: [u8; 256] =
                std::array::from_fn(|i| table[i % 32].wrapping_add((i / 32) as u8));
            let expected: Vec<u8> = plane.iter().map(|&v| table[usize::from(v)]).collect();
            for simd in Simd::available(ISAS) {
                let mut mapped = plane.clone();
                map_with(simd, &mut mapped, &table);
                prop_assert_eq!(&mapped, &expected, "{}", simd.name());
            }
        }
    }
}
