//! 16 x 16 bytes, rows to columns: what lets the horizontal pass work on 16 rows at once.

/// Sixteen bytes: a piece of a row, or a column of sixteen rows.
pub type Lane = [u8; 16];

/// Rows become columns.
#[inline]
#[must_use]
pub fn transpose(rows: [Lane; 16]) -> [Lane; 16] {
    // Interleaving row i with row i + 8, four times over, is a transposition (a perfect shuffle of
    // the 256 bytes by 4 of their 8 address bits).
    let mut lanes = rows.map(imp::load);
    for _ in 0..4 {
        lanes =
            std::array::from_fn(|i| imp::interleave(lanes[i / 2], lanes[i / 2 + 8], i % 2 == 1));
    }
    lanes.map(imp::store)
}

#[cfg(target_arch = "x86_64")]
mod imp {
    use super::Lane;
    use std::arch::x86_64::{__m128i, _mm_unpackhi_epi8, _mm_unpacklo_epi8};
    use std::mem::transmute;

    #[inline]
    pub fn load(lane: Lane) -> __m128i {
        // SAFETY: sixteen bytes either way, any of them valid.
        unsafe { transmute(lane) }
    }

    #[inline]
    pub fn store(vector: __m128i) -> Lane {
        // SAFETY: as in `load`.
        unsafe { transmute(vector) }
    }

    #[inline]
    pub fn interleave(a: __m128i, b: __m128i, upper: bool) -> __m128i {
        // SAFETY: every x86-64 has SSE2.
        unsafe { if upper { _mm_unpackhi_epi8(a, b) } else { _mm_unpacklo_epi8(a, b) } }
    }
}

#[cfg(target_arch = "aarch64")]
mod imp {
    use super::Lane;
    use std::arch::aarch64::{uint8x16_t, vzip1q_u8, vzip2q_u8};
    use std::mem::transmute;

    #[inline]
    pub fn load(lane: Lane) -> uint8x16_t {
        // SAFETY: sixteen bytes either way, any of them valid.
        unsafe { transmute(lane) }
    }

    #[inline]
    pub fn store(vector: uint8x16_t) -> Lane {
        // SAFETY: as in `load`.
        unsafe { transmute(vector) }
    }

    #[inline]
    pub fn interleave(a: uint8x16_t, b: uint8x16_t, upper: bool) -> uint8x16_t {
        // SAFETY: every aarch64 target of Rust's standard library has NEON.
        unsafe { if upper { vzip2q_u8(a, b) } else { vzip1q_u8(a, b) } }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod imp {
    use super::Lane;

    pub fn load(lane: Lane) -> Lane {
        lane
    }

    pub fn store(lane: Lane) -> Lane {
        lane
    }

    pub fn interleave(a: Lane, b: Lane, upper: bool) -> Lane {
        let from = if upper { 8 } else { 0 };
        std::array::from_fn(|i| if i % 2 == 0 { a[from + i / 2] } else { b[from + i / 2] })
    }
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
