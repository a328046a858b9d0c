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
        lanes = std::array::from_fn(|i| imp::interleave(lanes[i / 2], lanes[i / 2 + 8], i % 2 == 1));
    }
    lanes.map(imp::store)
}

#[cfg(target_arch = "x86_64")]
mod imp {
    use super::Lane;
    use std::arch::x86_64::{
        __m128i, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_unpackhi_epi8, _mm_unpackhi_epi64,
        _mm_unpacklo_epi8,
    };

    // SSE2 belongs to every x86-64, so these are safe calls; loads and stores through integers
    // compile to plain vector moves.
    #[inline]
    pub fn load(lane: Lane) -> __m128i {
        let value = i128::from_le_bytes(lane);
        _mm_set_epi64x((value >> 64) as i64, value as i64)
    }

    #[inline]
    pub fn store(vector: __m128i) -> Lane {
        let low = _mm_cvtsi128_si64(vector) as u64;
        let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(vector, vector)) as u64;
        (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
    }

    #[inline]
    pub fn interleave(a: __m128i, b: __m128i, upper: bool) -> __m128i {
        if upper { _mm_unpackhi_epi8(a, b) } else { _mm_unpacklo_epi8(a, b) }
    }
}

#[cfg(target_arch = "aarch64")]
mod imp {
    use super::Lane;
    use std::arch::aarch64::{
        uint8x16_t, vcombine_u8, vcreate_u8, vgetq_lane_u64, vreinterpretq_u64_u8, vzip1q_u8,
        vzip2q_u8,
    };

    // NEON belongs to every aarch64, so these are safe calls.
    #[inline]
    pub fn load(lane: Lane) -> uint8x16_t {
        let value = u128::from_le_bytes(lane);
        vcombine_u8(vcreate_u8(value as u64), vcreate_u8((value >> 64) as u64))
    }

    #[inline]
    pub fn store(vector: uint8x16_t) -> Lane {
        let halves = vreinterpretq_u64_u8(vector);
        let (low, high) = (vgetq_lane_u64::<0>(halves), vgetq_lane_u64::<1>(halves));
        (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
    }

    #[inline]
    pub fn interleave(a: uint8x16_t, b: uint8x16_t, upper: bool) -> uint8x16_t {
        if upper { vzip2q_u8(a, b) } else { vzip1q_u8(a, b) }
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
