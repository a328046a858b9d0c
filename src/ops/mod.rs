//! What may happen to a view after its crop, resize and flips: Pillow's, timm's and torchvision's
//! operations on three planes, bit for bit.
//!
//! An [`Op`] is fully decided. It holds plain numbers and draws none, so that a plan can be stored
//! and executed again. [`policy`](crate::policy) decides which ops are applied and how
//! strongly. The one op with random pixels, [`Erase`] with noise, has the seed of its noise among
//! its arguments.
//!
//! # One op, one file
//!
//! An op is a struct with its arguments, and what it does is its `Kernel`. `Op` is the enum of
//! all these structs. It is written by the macro `ops!` from the list below, with everything that
//! needs to know all ops: their names, the dispatch and the form in which plans store them. A new
//! op is a new file, a `mod` line and an entry in that list. `tests/ops.rs` then asks for golden
//! pixels: a case in `tests/golden/generate_ops.py`.
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
mod interpolation;
mod invert;
mod kernel;
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

use crate::error::{Error, Result};
use crate::image::Planes;

pub use erase::Fill;
pub use interpolation::Interpolation;
pub use kernel::Scratch;
pub use mix::Chain;

use kernel::Kernel;

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
