//! What a file may cost.

/// Limits on what a file may cost. A file that exceeds a limit is refused before its pixels are
/// decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most pixels of an image. By default 178,956,970, beyond which Pillow refuses an image as
    /// a decompression bomb.
    pub max_pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_pixels: 178_956_970 }
    }
}

impl Limits {
    /// These limits with another number of pixels.
    #[must_use]
    pub fn with_max_pixels(self, max_pixels: u64) -> Self {
        Self { max_pixels }
    }
}
