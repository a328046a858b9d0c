//! What a JPEG file says about its pixels: the numbers that libjpeg's entropy decoder returns.

/// The quantised DCT coefficients of a JPEG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coefficients {
    /// In the order of the frame header.
    pub components: Vec<Component>,
}

/// The coefficients of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Horizontal and vertical sampling factors.
    pub sampling: (u8, u8),
    /// Height and width in blocks, padded to whole MCUs of the interleaved scan.
    pub size: (usize, usize),
    /// Rows of blocks, each in natural order (not zigzag).
    pub blocks: Vec<[i16; 64]>,
}
