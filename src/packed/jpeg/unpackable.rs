//! Why a file is stored unchanged, and why side information is refused.

/// The most scans that a file may have, as in `decode`. No encoder writes as many.
pub(super) const MAX_SCANS: usize = 1000;

/// Why a JPEG file can't be taken apart. The message completes "stored unchanged: ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unpackable {
    #[error("not a JPEG file")]
    NotJpeg,
    #[error("arithmetic coding")]
    Arithmetic,
    #[error("lossless JPEG")]
    Lossless,
    #[error("hierarchical JPEG")]
    Hierarchical,
    #[error("{0} bits per sample")]
    Precision(u8),
    #[error("height given by a DNL marker")]
    NoHeight,
    #[error("{0} components")]
    Components(u8),
    #[error("more than {0} pixels")]
    TooLarge(u64),
    #[error("more than {MAX_SCANS} scans")]
    TooManyScans,
    #[error("scans too many for its length")]
    TooMuchWork,
    #[error("truncated")]
    Truncated,
    #[error("scans that leave coefficients incomplete")]
    Incomplete,
    #[error("a coefficient out of range")]
    OutOfRange,
    #[error("broken: {0}")]
    Broken(&'static str),
    #[error("written in a way that can't be repeated")]
    NotRepeatable,
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
