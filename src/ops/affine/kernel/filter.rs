//! [`Smooth`].

/// The filters that mix several pixels.
#[derive(Clone, Copy, Debug)]
pub enum Smooth {
    /// Pillow's `bilinear_filter32RGB`.
    Bilinear,
    /// Pillow's `bicubic_filter32RGB`.
    Bicubic,
}
