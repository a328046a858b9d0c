//! What a JPEG file says about its pixels: the numbers that libjpeg's entropy decoder returns.

/// The quantised DCT coefficients of a JPEG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Coefficients {
    /// In the order of the frame header.
    pub(crate) components: Vec<Component>,
}

/// The coefficients of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Component {
    /// Horizontal and vertical sampling factors.
    pub(crate) sampling: (u8, u8),
    /// Height and width in blocks, padded to whole MCUs of the interleaved scan.
    pub(crate) size: (usize, usize),
    /// Rows of blocks, each in natural order (not zigzag).
    pub(crate) blocks: Vec<[i16; 64]>,
}
