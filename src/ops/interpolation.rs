//! [`Interpolation`].

use serde::{Deserialize, Serialize};

/// How a geometric op interpolates: the filters of Pillow's `Image.transform`. Unlike the filters
/// of a resize, they do not antialias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// Linear in each direction.
    Bilinear,
    /// Cubic in each direction, with a = -1.
    Bicubic,
}

impl Interpolation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nearest, Self::Bilinear, Self::Bicubic];

    /// Pillow's name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        }
    }

    /// The filter called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.name() == name)
    }
}
