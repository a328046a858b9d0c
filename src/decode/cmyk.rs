//! Adobe's inverted CMYK to RGB.

/// Pillow's `CMYK;I` unpacking and `cmyk2rgb` (`libImaging/Convert.c`), in one: for inverted samples
/// `c` and `k`, `clamp(k - (255 - c) * k / 255)` with the division rounded to nearest.
pub fn inverted_to_rgb(cmyk: &[u8], rgb: &mut [u8]) {
    for (cmyk, rgb) in cmyk.chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
        let k = u32::from(cmyk[3]);
        for (&c, out) in cmyk.iter().zip(rgb) {
            let product = (255 - u32::from(c)) * k + 128;
            *out = k.saturating_sub(((product >> 8) + product) >> 8) as u8;
        }
    }
}
