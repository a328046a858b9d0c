//! Interleaving in plain Rust.

/// Sixteen bytes of a row.
type Lane = [u8; 16];

/// `a[0], b[0], a[1], b[1], ...`: the lower half, and the upper half.
pub fn interleave(a: Lane, b: Lane) -> [Lane; 2] {
    [0, 8].map(|from| {
        std::array::from_fn(|i| if i % 2 == 0 { a[from + i / 2] } else { b[from + i / 2] })
    })
}
