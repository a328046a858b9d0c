//! The transposition of 16 x 16 bytes.
//!
//! Interleaving row `i` with row `i + 8`, four times over, is a transposition: each time, the 8
//! bits of a byte's address rotate by one, and four rotations exchange row and column. Interleaving
//! two rows is two instructions that every x86-64 and every 64-bit ARM has, so there is nothing to
//! choose at run time.

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod portable;
#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(target_arch = "aarch64")]
use neon::interleave;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use portable::interleave;
#[cfg(target_arch = "x86_64")]
use sse2::interleave;

/// Sixteen bytes: a piece of a row, or a column of sixteen rows.
pub type Lane = [u8; 16];

/// Rows become columns.
#[inline]
pub fn transpose(mut rows: [Lane; 16]) -> [Lane; 16] {
    for _ in 0..4 {
        let pairs: [_; 8] = std::array::from_fn(|i| interleave(rows[i], rows[i + 8]));
        rows = std::array::from_fn(|i| pairs[i / 2][i % 2]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::transpose;

    #[test]
    fn rows_become_columns() {
        let rows = std::array::from_fn(|y| std::array::from_fn(|x| (16 * y + x) as u8));
        let expected = std::array::from_fn(|x| std::array::from_fn(|y| (16 * y + x) as u8));
        assert_eq!(transpose(rows), expected);
    }
}
