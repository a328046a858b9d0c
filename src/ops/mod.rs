//! What may happen to a view after its crop, resize and flips: Pillow's, timm's and torchvision's
//! operations on three planes, bit for bit.
//!
//! An [`Op`] is fully decided: plain numbers, no generator. Imports [`crate::rng`] for the one op that
//! is noise by nature, and draws nothing else. Knows no policy: which op is applied how often and how
//! strongly is decided by whoever makes the plan.

mod affine;
mod blur;
mod colour;
mod erase;
mod float;
mod hue;
mod kernel;
mod mix;
mod sharpness;
mod table;
mod tone;
mod validate;

use crate::image::Rect;

/// How a geometric op looks up what lies between pixels, and what it puts where there is no image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The interpolation.
    pub filter: Interpolation,
    /// The colour outside the image: timm's `img_mean`; black in torchvision.
    pub fill: [u8; 3],
}

/// The filters of Pillow's `Image.transform`; unlike those of a resize they don't antialias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// What an erased box is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// One colour.
    Colour([u8; 3]),
    /// Normal noise, each pixel and channel for itself, rounded and clamped to 0..=255.
    Noise {
        /// The noise's mean per channel, in the image's 0 to 255.
        mean: [f32; 3],
        /// Its standard deviation per channel.
        std: [f32; 3],
        /// What the noise is generated from: drawn by the plan, so that the plan stays data.
        seed: u64,
    },
}

/// A chain of ops whose result is mixed with others.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The chain's weight; what it means is up to the [`Mixing`].
    pub weight: f32,
    /// What is done to the image, in order.
    pub ops: Vec<Op>,
}

/// How the results of chains become one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mixing {
    /// `_apply_basic` of timm's `AugMixAugment`: the weighted sum in f32, clipped and truncated, then
    /// Pillow's blend of image and sum by `amount`.
    Sum {
        /// The sum's share, timm's `m`.
        amount: f32,
    },
    /// `_apply_blended` of timm's `AugMixAugment`: one Pillow blend after another, each chain's share
    /// being its weight.
    Blends,
    /// torchvision's `AugMix`: image and results weighted and summed in f32, then truncated.
    Weighted {
        /// The image's own weight.
        image: f32,
    },
}

/// One operation, decided.
///
/// The names are timm's where timm has one; the doc of each says which function it equals.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// `ImageOps.autocontrast(image)`.
    AutoContrast,
    /// `ImageOps.equalize(image)`.
    Equalize,
    /// `ImageOps.invert(image)`.
    Invert,
    /// `ImageOps.posterize(image, bits)`, 0 to 8 bits. 8 changes nothing; 0 gives black, as Pillow
    /// did before it began to refuse it.
    Posterize {
        /// The bits to keep.
        bits: u32,
    },
    /// `ImageOps.solarize(image, threshold)`.
    Solarize {
        /// Values from here on are inverted.
        threshold: f64,
    },
    /// timm's `solarize_add(image, add, threshold)`.
    SolarizeAdd {
        /// What is added to values below the threshold, up to white.
        add: u8,
        /// Values from here on are kept.
        threshold: u32,
    },
    /// `ImageEnhance.Color(image).enhance(factor)`; torchvision's `adjust_saturation`; timm's
    /// `desaturate(image, f)` is a factor of `clamp(1 - f, 0, 1)`.
    Color {
        /// 0 is gray, 1 the image.
        factor: f64,
    },
    /// `ImageEnhance.Contrast(image).enhance(factor)`.
    Contrast {
        /// 0 is the mean gray, 1 the image.
        factor: f64,
    },
    /// `ImageEnhance.Brightness(image).enhance(factor)`.
    Brightness {
        /// 0 is black, 1 the image.
        factor: f64,
    },
    /// `ImageEnhance.Sharpness(image).enhance(factor)`.
    Sharpness {
        /// 0 is a smoothed image, 1 the image.
        factor: f64,
    },
    /// torchvision's `to_grayscale(image, 3)`.
    Grayscale,
    /// torchvision's `adjust_hue(image, factor)`.
    Hue {
        /// The shift, in turns, -0.5 to 0.5.
        factor: f64,
    },
    /// timm's `shear_x(image, factor)`.
    ShearX {
        /// Columns per row.
        factor: f64,
        /// How pixels are looked up.
        sampling: Sampling,
    },
    /// timm's `shear_y(image, factor)`.
    ShearY {
        /// Rows per column.
        factor: f64,
        /// How pixels are looked up.
        sampling: Sampling,
    },
    /// timm's `translate_x_abs(image, pixels)`: the content moves left.
    TranslateX {
        /// Columns.
        pixels: f64,
        /// How pixels are looked up.
        sampling: Sampling,
    },
    /// timm's `translate_y_abs(image, pixels)`: the content moves up.
    TranslateY {
        /// Rows.
        pixels: f64,
        /// How pixels are looked up.
        sampling: Sampling,
    },
    /// `image.rotate(degrees, resample, fillcolor=...)`, counter-clockwise about the centre.
    Rotate {
        /// The angle.
        degrees: f64,
        /// How pixels are looked up.
        sampling: Sampling,
    },
    /// `image.transform(image.size, AFFINE, matrix, resample, fillcolor=...)`; torchvision's
    /// `affine` with its inverse matrix.
    Affine {
        /// From output to input: `x = m[0] x' + m[1] y' + m[2]`, `y = m[3] x' + m[4] y' + m[5]`.
        matrix: [f64; 6],
        /// How pixels are looked up.
        sampling: Sampling,
    },
    /// `image.filter(ImageFilter.GaussianBlur(radius))`: Pillow's approximation by box blurs.
    GaussianBlur {
        /// The standard deviation, in pixels.
        radius: f64,
    },
    /// torchvision's `gaussian_blur(image, kernel_size, sigma)`, up to the order in which floats are
    /// summed: at most 1 apart.
    GaussianKernel {
        /// Taps a side: odd.
        kernel_size: u32,
        /// The standard deviation, in pixels.
        sigma: f64,
    },
    /// AugMix: chains of ops on the image, mixed with it.
    Mix {
        /// How.
        mixing: Mixing,
        /// The chains, in the order of their summation.
        chains: Vec<Chain>,
    },
    /// A box filled: random erasing, cutout. What reaches outside the image is ignored.
    Erase {
        /// Leftmost column.
        x: i32,
        /// Topmost row.
        y: i32,
        /// Columns.
        w: u32,
        /// Rows.
        h: u32,
        /// With what.
        fill: Fill,
    },
}

impl Op {
    /// The op's name: timm's where timm has one.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::AutoContrast => "AutoContrast",
            Self::Equalize => "Equalize",
            Self::Invert => "Invert",
            Self::Posterize { .. } => "Posterize",
            Self::Solarize { .. } => "Solarize",
            Self::SolarizeAdd { .. } => "SolarizeAdd",
            Self::Color { .. } => "Color",
            Self::Contrast { .. } => "Contrast",
            Self::Brightness { .. } => "Brightness",
            Self::Sharpness { .. } => "Sharpness",
            Self::Grayscale => "Grayscale",
            Self::Hue { .. } => "Hue",
            Self::ShearX { .. } => "ShearX",
            Self::ShearY { .. } => "ShearY",
            Self::TranslateX { .. } => "TranslateX",
            Self::TranslateY { .. } => "TranslateY",
            Self::Rotate { .. } => "Rotate",
            Self::Affine { .. } => "Affine",
            Self::GaussianBlur { .. } => "GaussianBlur",
            Self::GaussianKernel { .. } => "GaussianKernel",
            Self::Mix { .. } => "Mix",
            Self::Erase { .. } => "Erase",
        }
    }
}

/// The buffers that ops reuse.
#[derive(Debug, Default)]
pub struct Scratch {
    affine: affine::Buffers,
    blur: blur::Buffers,
    mix: mix::Buffers,
    plane: Vec<u8>,
}

/// Applies `ops` in order to the three planes of `size` (height, width) in `planes`.
///
/// # Panics
/// If `planes` does not hold `3 * height * width` bytes, or a side is longer than 32,768 pixels, as no
/// view's is.
pub fn apply(ops: &[Op], size: (u32, u32), planes: &mut [u8], scratch: &mut Scratch) {
    assert!(size.0.max(size.1) <= 1 << 15, "{size:?} is too large for coordinates of 32 bits");
    let size = (size.0 as usize, size.1 as usize);
    assert_eq!(planes.len(), 3 * size.0 * size.1, "the planes must be 3 x {} x {}", size.0, size.1);
    for op in ops {
        apply_one(op, size, planes, scratch);
    }
}

fn apply_one(op: &Op, size: (usize, usize), planes: &mut [u8], scratch: &mut Scratch) {
    let affine = &mut scratch.affine;
    match *op {
        Op::AutoContrast => tone::auto_contrast(size, planes),
        Op::Equalize => tone::equalize(size, planes),
        Op::Invert => tone::invert(planes),
        Op::Posterize { bits } => tone::posterize(planes, bits),
        Op::Solarize { threshold } => tone::solarize(planes, threshold),
        Op::SolarizeAdd { add, threshold } => tone::solarize_add(planes, add, threshold),
        Op::Color { factor } => colour::saturate(size, planes, factor as f32),
        Op::Contrast { factor } => colour::contrast(size, planes, factor as f32),
        Op::Brightness { factor } => colour::brightness(planes, factor as f32),
        Op::Sharpness { factor } => {
            sharpness::sharpen(size, planes, factor as f32, &mut scratch.plane);
        }
        Op::Grayscale => colour::grayscale(size, planes),
        Op::Hue { factor } => hue::shift(size, planes, factor),
        Op::ShearX { factor, sampling } => {
            affine.transform(&[1.0, factor, 0.0, 0.0, 1.0, 0.0], sampling, size, planes);
        }
        Op::ShearY { factor, sampling } => {
            affine.transform(&[1.0, 0.0, 0.0, factor, 1.0, 0.0], sampling, size, planes);
        }
        Op::TranslateX { pixels, sampling } => {
            affine.transform(&[1.0, 0.0, pixels, 0.0, 1.0, 0.0], sampling, size, planes);
        }
        Op::TranslateY { pixels, sampling } => {
            affine.transform(&[1.0, 0.0, 0.0, 0.0, 1.0, pixels], sampling, size, planes);
        }
        Op::Rotate { degrees, sampling } => affine.rotate(degrees, sampling, size, planes),
        Op::Affine { ref matrix, sampling } => affine.transform(matrix, sampling, size, planes),
        Op::GaussianBlur { radius } => blur::pillow(size, planes, radius, &mut scratch.blur),
        Op::GaussianKernel { kernel_size, sigma } => {
            kernel::blur(size, planes, kernel_size as usize, sigma, &mut scratch.blur);
        }
        Op::Mix { mixing, ref chains } => mix::apply(mixing, chains, size, planes, scratch),
        Op::Erase { x, y, w, h, fill } => {
            erase::fill(size, planes, Rect { x, y, w, h }, fill);
        }
    }
}
