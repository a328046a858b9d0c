//! The zigzag order, and where a block is not zero.

/// Position in natural order of the coefficient `k` of the zigzag order, and 0 for `k` of 64 and
/// more. With 256 entries, an index of eight bits needs no check.
pub(crate) static NATURAL: [u8; 256] = natural();

/// `SPREAD[y][bits]`: the bits of row `y` of a block, moved to the zigzag order.
static SPREAD: [[u64; 256]; 8] = spread();

/// Walks the diagonals of the block, up and down by turns.
const fn natural() -> [u8; 256] {
    let mut order = [0; 256];
    let (mut x, mut y, mut k) = (0, 0, 0);
    while k < 64 {
        order[k] = y * 8 + x;
        let up = (x + y) % 2 == 0;
        if up && x == 7 {
            y += 1;
        } else if up && y == 0 {
            x += 1;
        } else if up {
            x += 1;
            y -= 1;
        } else if y == 7 {
            x += 1;
        } else if x == 0 {
            y += 1;
        } else {
            x -= 1;
            y += 1;
        }
        k += 1;
    }
    order
}

const fn spread() -> [[u64; 256]; 8] {
    let mut table = [[0; 256]; 8];
    let mut k = 0;
    while k < 64 {
        let (y, x) = (NATURAL[k] as usize / 8, NATURAL[k] as usize % 8);
        let mut bits = 0;
        while bits < 256 {
            if bits >> x & 1 == 1 {
                table[y][bits] |= 1 << k;
            }
            bits += 1;
        }
        k += 1;
    }
    table
}

/// Bit `k` says whether coefficient `k` of the zigzag order, divided by `2^shift` and rounded
/// towards zero, is not zero.
#[inline(always)]
pub(super) fn nonzero(block: &[i16; 64], shift: u8) -> u64 {
    // One byte per coefficient, which LLVM vectorises; then a multiplication per row gathers the
    // lowest bits of eight bytes in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut present = [0u8; 64];
    for (byte, &value) in present.iter_mut().zip(block) {
        *byte = u8::from(value.unsigned_abs() >> shift != 0);
    }
    let mut mask = 0;
    for (row, table) in present.chunks_exact(8).zip(&SPREAD) {
        let row = row.try_into().map_or(0, u64::from_le_bytes);
        mask |= table[(row.wrapping_mul(GATHER) >> 56) as usize];
    }
    mask
}

/// The bits `first..=last`.
pub(super) fn band(first: u8, last: u8) -> u64 {
    u64::MAX >> (63 - last) & u64::MAX << first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_begins_and_ends_as_in_the_standard() {
        assert_eq!(NATURAL[..12], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25]);
        assert_eq!(NATURAL[56..64], [53, 60, 61, 54, 47, 55, 62, 63]);
    }

    #[test]
    fn each_coefficient_has_its_bit() {
        for k in 0..64 {
            for (value, shift, there) in [(1, 0, true), (-4, 2, true), (-3, 2, false), (3, 1, true)]
            {
                let mut block = [0; 64];
                block[usize::from(NATURAL[k])] = value;
                assert_eq!(nonzero(&block, shift), u64::from(there) << k, "{k}");
            }
        }
        assert_eq!(nonzero(&[i16::MIN; 64], 13), u64::MAX);
    }
}
