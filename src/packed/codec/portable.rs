//! Planes to coefficients in plain Rust.

use super::codebook::BLOCK;
use super::planes::{Instructions, Planes};

/// The target's own instructions.
pub(super) struct Portable;

/// `DEPOSITS[mask][bits]` for eight bits.
static DEPOSITS: [[u8; 256]; 256] = deposits();

const fn deposits() -> [[u8; 256]; 256] {
    let mut table = [[0; 256]; 256];
    let mut mask = 1usize;
    while mask < 256 {
        // The lowest bit of the mask takes the lowest of the bits, the rest of it the others.
        let (lowest, rest) = (mask & mask.wrapping_neg(), mask & (mask - 1));
        let mut bits = 0;
        while bits < 256 {
            let first = if bits & 1 == 1 { lowest as u8 } else { 0 };
            table[mask][bits] = table[rest][bits >> 1] | first;
            bits += 1;
        }
        mask += 1;
    }
    table
}

impl Instructions for Portable {
    #[inline(always)]
    unsafe fn deposit(mut bits: u64, mask: u64) -> u64 {
        let bytes = mask.to_le_bytes().map(|mask| {
            let byte = DEPOSITS[usize::from(mask)][bits as usize & 255];
            bits >>= mask.count_ones();
            byte
        });
        u64::from_le_bytes(bytes)
    }

    #[inline(always)]
    unsafe fn coefficients(planes: &Planes, weights: &[u8; BLOCK], out: &mut [i16; BLOCK]) {
        let eights = out.as_chunks_mut::<8>().0.iter_mut().zip(weights.as_chunks::<8>().0);
        for (group, (out, weights)) in eights.enumerate() {
            let bits = |plane: u64| -> [u8; 8] {
                let byte = (plane >> (8 * group)) as u8;
                std::array::from_fn(|i| (byte >> i) & 1)
            };
            let mut sums = [0u8; 8];
            for plane in planes.unary {
                for ((sum, bit), weight) in sums.iter_mut().zip(bits(plane)).zip(weights) {
                    *sum = sum.wrapping_add(bit * weight);
                }
            }
            for (i, plane) in planes.raw.into_iter().enumerate() {
                for (sum, bit) in sums.iter_mut().zip(bits(plane)) {
                    *sum = sum.wrapping_add(bit << i);
                }
            }
            for ((out, sum), bit) in out.iter_mut().zip(sums).zip(bits(planes.negative)) {
                let value = if bit == 1 { sum.wrapping_neg() } else { sum };
                *out = (value as i8).into();
            }
        }
    }
}
