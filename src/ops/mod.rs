//! What may happen to a view after its crop, resize and flips: Pillow's, timm's and torchvision's
//! operations on three planes, bit for bit.
//!
//! An [`Op`] is fully decided. It holds plain numbers and draws none, so that a plan can be stored
//! and executed again. Which op is applied, how often and how strongly is decided by
//! [`policy`](crate::policy), of which nothing here knows. The one op with random pixels, [`Erase`]
//! with noise, has the seed of its noise among its arguments.
//!
//! # One op, one file
//!
//! An op is a struct with its arguments, and what it does is its `Kernel`. `Op` is the enum of
//! all these structs. It is written by the macro `ops!` from the list below, with everything that
//! needs to know all ops: their names, the dispatch and the form in which plans store them. A new
//! op is a new file, a `mod` line and an entry in that list.
//!
//! serde reads and writes an op as a pair of its name and its arguments, which have the names of
//! the struct's fields:
//!
//! ```
//! use tied_augment::image::Planes;
//! use tied_augment::ops::{Op, Posterize, Scratch, apply};
//!
//! let op: Op = serde_json::from_str(r#"["Posterize", {"bits": 1}]"#)?;
//! assert_eq!(op, Posterize { bits: 1 }.into());
//! op.validate()?;
//!
//! // A row of two pixels: two reds, two greens, two blues.
//! let mut data = [10, 250, 127, 128, 0, 255];
//! apply(&[op], &mut Planes::new((1, 2), &mut data), &mut Scratch::default());
//! assert_eq!(data, [0, 128, 0, 128, 0, 128]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod affine;
mod auto_contrast;
mod blend;
mod enhance;
mod equalize;
mod erase;
mod gaussian_blur;
mod gaussian_kernel;
mod grayscale;
mod hue;
mod invert;
mod list;
mod mix;
pub(crate) mod pair;
mod posterize;
mod rotate;
mod sharpness;
mod shear;
mod solarize;
mod table;
mod translate;

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::image::Planes;

pub use erase::Fill;
pub use mix::Chain;

list::ops! {
    auto_contrast::AutoContrast,
    enhance::Brightness,
    enhance::Color,
    enhance::Contrast,
    equalize::Equalize,
    erase::Erase,
    gaussian_blur::GaussianBlur,
    gaussian_kernel::GaussianKernel,
    grayscale::Grayscale,
    hue::Hue,
    invert::Invert,
    mix::Mix,
    posterize::Posterize,
    rotate::Rotate,
    sharpness::Sharpness,
    shear::ShearX,
    shear::ShearY,
    solarize::Solarize,
    solarize::SolarizeAdd,
    translate::TranslateX,
    translate::TranslateY,
}

/// What an op does.
trait Kernel: Debug {
    /// Says which argument is out of its range, if one is: plans may come from outside.
    fn validate(&self) -> std::result::Result<(), String>;

    /// Replaces the image in `planes` by the op's result.
    fn apply(&self, planes: &mut Planes<'_>, scratch: &mut Scratch);
}

impl Op {
    /// Checks the op's arguments.
    ///
    /// # Errors
    /// [`Error::Argument`], with the names of the op and of the argument.
    pub fn validate(&self) -> Result<()> {
        let named = |what| Error::Argument(format!("{}: {what}", self.name()));
        self.kernel().validate().map_err(named)
    }
}

/// The buffers that ops reuse.
#[derive(Debug, Default)]
pub struct Scratch {
    affine: affine::Transformer,
    mix: mix::Images,
    /// A copy of one plane.
    plane: Vec<u8>,
    floats: Vec<f32>,
    sums: Vec<u32>,
}

/// Applies `ops` to `planes`, in order.
///
/// # Panics
/// If a side is longer than 32,768 pixels, which no view's is.
pub fn apply(ops: &[Op], planes: &mut Planes<'_>, scratch: &mut Scratch) {
    let (height, width) = (planes.height(), planes.width());
    let longest = height.max(width);
    assert!(longest <= 1 << 15, "{height} x {width} is too large for coordinates of 32 bits");
    for op in ops {
        op.kernel().apply(planes, scratch);
    }
}

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

/// Refuses what is not finite, or beyond a million: no image is so large, and coordinates would not
/// fit an i32.
fn check_finite(argument: &str, value: f64) -> std::result::Result<(), String> {
    if value.abs() <= 1e6 {
        return Ok(());
    }
    Err(format!("{argument} must be finite and within a million, not {value}"))
}
