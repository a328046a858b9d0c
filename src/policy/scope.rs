//! [`Scope`].

use crate::ops::Interpolation;
use crate::rng::Stream;

/// What a policy needs to know of its view.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Height and width of the image that the ops work on.
    pub size: (u32, u32),
    /// timm's `img_mean`: the colour outside the image.
    pub fill: [u8; 3],
    /// The filters of timm's geometric ops, one drawn per op.
    pub filters: &'a [Interpolation],
    /// timm's `translate_pct`: the longest relative translation, as a fraction of the side.
    pub translate_pct: f64,
}

impl Scope<'_> {
    /// The filter of one geometric op.
    pub fn filter(&self, stream: &mut Stream) -> Interpolation {
        stream.choose(self.filters)
    }
}
