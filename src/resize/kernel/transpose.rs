//! The transposition of 16 x 16 bytes.

/// Sixteen bytes: a piece of a row, or a column of sixteen rows.
pub type Lane = [u8; 16];

/// Rows become columns.
///
/// Interleaving row `i` with row `i + 8`, four times over, is a transposition: each time, the 8 bits of a
/// byte's address rotate by one, and four rotations exchange the row with the column. Compilers make one
/// instruction of each interleaving (`punpcklbw` and `punpckhbw`, `zip1` and `zip2`).
#[inline(always)]
pub fn transpose(rows: [Lane; 16]) -> [Lane; 16] {
    interleave_all(interleave_all(interleave_all(interleave_all(rows))))
}

#[inline(always)]
fn interleave_all(rows: [Lane; 16]) -> [Lane; 16] {
    let mut lanes = [[0; 16]; 16];
    for (i, pair) in lanes.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        *pair = interleave(rows[i], rows[i + 8]);
    }
    lanes
}

/// `a[0], b[0], a[1], b[1], ...`: the lower half, and the upper.
#[inline(always)]
#[rustfmt::skip]
fn interleave(a: Lane, b: Lane) -> [Lane; 2] {
    [
        [a[0], b[0], a[1], b[1], a[2], b[2], a[3], b[3],
         a[4], b[4], a[5], b[5], a[6], b[6], a[7], b[7]],
        [a[8], b[8], a[9], b[9], a[10], b[10], a[11], b[11],
         a[12], b[12], a[13], b[13], a[14], b[14], a[15], b[15]],
    ]
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
