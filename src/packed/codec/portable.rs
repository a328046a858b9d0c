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
        if mask == 0 {
            return 0;
        }
        let bytes = mask.to_le_bytes().map(|mask| {
            let byte = DEPOSITS[usize::from(mask)][bits as usize & 255];
            bits >>= mask.count_ones();
            byte
        });
        u64::from_le_bytes(bytes)
    }

    #[inline(always)]
    unsafe fn extract(bits: u64, mut mask: u64) -> u64 {
        let (mut extracted, mut count) = (0, 0);
        while mask != 0 {
            extracted |= (bits >> mask.trailing_zeros() & 1) << count;
            mask &= mask - 1;
            count += 1;
        }
        extracted
    }

    #[inline(always)]
    unsafe fn coefficients(planes: &Planes, weights: &[u8; BLOCK], out: &mut [i16; BLOCK]) {
        // The unary digits of each coefficient, counted in three planes: no plane has a
        // coefficient that the plane before it does not have.
        let [a, b, c, d] = planes.unary;
        let [r, s, t, u, v] = planes.raw;
        let nonzero = planes.nonzero();
        let binary = [r, s, t, u, v, a ^ b ^ c ^ d, b & !d, d];
        let eights = out.as_chunks_mut::<8>().0.iter_mut().zip(weights.as_chunks::<8>().0);
        for (group, (out, weights)) in eights.enumerate() {
            let byte = |plane: u64| (plane >> (8 * group)) as u8;
            if byte(nonzero) == 0 {
                *out = [0; 8];
                continue;
            }
            let values = transpose(u64::from_le_bytes(binary.map(byte))).to_le_bytes();
            let signs = ones(byte(planes.negative)).to_le_bytes();
            for i in 0..8 {
                let magnitude = (values[i] & 31).wrapping_add((values[i] >> 5) * weights[i]);
                let negative = signs[i].wrapping_neg();
                out[i] = ((magnitude ^ negative).wrapping_sub(negative) as i8).into();
            }
        }
    }
}

/// Bit `j` of byte `i` becomes bit `i` of byte `j`.
#[inline(always)]
pub(super) fn transpose(mut bits: u64) -> u64 {
    // Swaps the two other quarters of squares of 2, 4 and 8 bits.
    for (shift, mask) in
        [(7, 0x00AA_00AA_00AA_00AA), (14, 0x0000_CCCC_0000_CCCC), (28, 0x0000_0000_F0F0_F0F0)]
    {
        let swapped = (bits ^ bits >> shift) & mask;
        bits ^= swapped ^ swapped << shift;
    }
    bits
}

/// A byte for each bit: zero or one.
#[inline(always)]
fn ones(bits: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let apart = (u64::from(bits) * ONES) & 0x8040_2010_0804_0201;
    (apart + 0x7F * ONES) >> 7 & ONES
}
