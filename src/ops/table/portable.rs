//! Look-ups in plain Rust.

/// As [`super::map`].
pub fn map(plane: &mut [u8], table: &[u8; 256]) {
    for v in plane {
        *v = table[usize::from(*v)];
    }
}
