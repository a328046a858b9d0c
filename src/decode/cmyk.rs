//! CMYK to RGB.

/// Pillow's `CMYK;I` unpacking and `cmyk2rgb` (`libImaging/Convert.c`) in one step: for inverted
/// samples `c` and `k`, `clamp(k - (255 - c) * k / 255)`, with the division rounded to nearest.
pub fn inverted_to_rgb(cmyk: &[u8], rgb: &mut [u8]) {
    for (cmyk, rgb) in cmyk.chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
        let k = u32::from(cmyk[3]);
        for (&c, out) in cmyk.iter().zip(rgb) {
            let product = (255 - u32::from(c)) * k + 128;
            *out = k.saturating_sub(((product >> 8) + product) >> 8) as u8;
        }
    }
}

/// Pillow's `cmyk2rgb`: as [`inverted_to_rgb`], for samples that are not inverted.
pub fn to_rgb(cmyk: &[u8], rgb: &mut [u8]) {
    for (cmyk, rgb) in cmyk.chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
        let inverted = [cmyk[0], cmyk[1], cmyk[2], cmyk[3]].map(|sample| 255 - sample);
        inverted_to_rgb(&inverted, rgb);
    }
}
