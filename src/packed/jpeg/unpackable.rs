//! Why a file can't be packed, and why side information is refused.

/// The most scans that a file may have, as in `decode`. No encoder writes as many.
pub(super) const MAX_SCANS: usize = 1000;

/// Why a file can't be packed. The message completes "cannot be packed: ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unpackable {
    /// It does not begin as a JPEG file.
    #[error("not a JPEG file")]
    NotJpeg,
    /// Its codes are arithmetic ones, not Huffman's.
    #[error("arithmetic coding")]
    Arithmetic,
    /// It is lossless: it has no DCT coefficients.
    #[error("lossless JPEG")]
    Lossless,
    /// It has several frames, of several sizes.
    #[error("hierarchical JPEG")]
    Hierarchical,
    /// Its samples do not have 8 bits, but so many.
    #[error("{0} bits per sample")]
    Precision(u8),
    /// Its frame header leaves the height to a later marker.
    #[error("height given by a DNL marker")]
    NoHeight,
    /// It has so many components, not 1, 3 or 4.
    #[error("{0} components")]
    Components(u8),
    /// It has more pixels than the limit.
    #[error("more than {0} pixels; shrink the image or raise max_pixels")]
    TooLarge(u64),
    /// It has more scans than any encoder writes.
    #[error("more than {MAX_SCANS} scans")]
    TooManyScans,
    /// Its scans code many times what its bytes could hold.
    #[error("scans too many for its length")]
    TooMuchWork,
    /// Its end is missing.
    #[error("truncated")]
    Truncated,
    /// Its scans leave bits of coefficients to the decoder.
    #[error("scans that leave coefficients incomplete")]
    Incomplete,
    /// A coefficient is larger than it may be.
    #[error("a coefficient out of range")]
    OutOfRange,
    /// It is broken, or libjpeg would decode it with a warning.
    #[error("broken: {0}")]
    Broken(&'static str),
    /// What would be written again is not the same file.
    #[error("written in a way that can't be repeated")]
    NotRepeatable,
    /// Its sampling factors are such that all components do not fit into one scan.
    #[error("more than 10 blocks in an MCU")]
    LargeMcus,
    /// Packed, it would have 4 GiB or more.
    #[error("too long")]
    TooLong,
}

/// Why a file can't be written from its parts. Those of [`super::take_apart`] always can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwritable {
    #[error("the side information is broken: {0}")]
    Side(&'static str),
    #[error("the headers in the side information: {0}")]
    Headers(#[from] Unpackable),
    #[error("the coefficients do not have the shape that the headers say")]
    Shape,
    #[error("the Huffman tables have no code for a coefficient")]
    NoCode,
}
