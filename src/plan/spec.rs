//! A view, declared: [`ViewSpec`], and the geometry that is drawn from it.

use super::decided::{Frame, Geometry, resizable};
use crate::crop;
use crate::error::{Error, Result};
use crate::image::Rect;
use crate::policy::Augment;
use crate::resize::Filter;
use crate::rng::Stream;

/// The largest side that evaluation may resize to.
const MAX_SCALED: u32 = 1 << 20;

/// How the crop of a view is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Crop {
    /// timm's and torchvision's random resized crop.
    RandomResized {
        /// Bounds of the crop's area as a fraction of the image's.
        scale: (f64, f64),
        /// Bounds of the crop's width over its height.
        ratio: (f64, f64),
    },
    /// A crop of the output's size from the image padded with black, as CIFAR recipes do.
    Padded {
        /// Pixels on each side.
        padding: u32,
    },
    /// timm's `ResizeKeepRatio` of the whole image, then its `CenterCropOrPad` or
    /// `RandomCropOrPad`.
    KeepRatio {
        /// Bounds of the random zoom's area; below 1 zooms in.
        scale: (f64, f64),
        /// Bounds of the random change of the aspect ratio.
        ratio: (f64, f64),
        /// Whether the output is placed at random, not in the centre.
        random: bool,
    },
    /// timm's evaluation, `transforms_imagenet_eval`: the image is resized, then cropped in the
    /// centre. The mode with a `crop_pct` of 1 is also timm's `no_aug`: `Center` with a square size,
    /// `Squash` with a size of two sides.
    Evaluation {
        /// How the image is resized.
        mode: CropMode,
        /// The output's size as a fraction of the size that is resized to.
        crop_pct: f64,
        /// Pixels that are cut off each side of the image before.
        border: u32,
    },
}

/// timm's `crop_mode`: how an image is resized for evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CropMode {
    /// The aspect ratio is kept, and the image is as large as the size on one axis and larger on
    /// the other. What a `crop_pct` above 1 leaves outside is black.
    Center,
    /// The image gets the size, whatever its aspect ratio. What is outside is black.
    Squash,
    /// The aspect ratio is kept, and the image fits into the size. What is outside has the colour of
    /// the mean.
    Border,
}

/// One view, declared.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewSpec {
    /// Height and width of the output.
    pub size: (u32, u32),
    /// How the crop is chosen.
    pub crop: Crop,
    /// The filters to draw from, with equal chances.
    pub interpolation: Vec<Filter>,
    /// The probability of a left-right flip.
    pub hflip: f64,
    /// The probability of a top-bottom flip.
    pub vflip: f64,
    /// What happens after the flips.
    pub augment: Augment,
}

impl ViewSpec {
    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Argument`], with the value that makes no sense.
    pub fn validate(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::Argument(message));
        // Products of such sides do not overflow, and nobody trains on larger images.
        if [self.size.0, self.size.1].iter().any(|&side| side == 0 || side > 1 << 15) {
            return refuse(format!("size must be from 1 to 32768 a side, not {:?}", self.size));
        }
        for (name, p) in [("hflip", self.hflip), ("vflip", self.vflip)] {
            if !(0.0..=1.0).contains(&p) {
                return refuse(format!("{name} must be a probability from 0 to 1, not {p}"));
            }
        }
        if self.interpolation.is_empty() {
            return refuse("interpolation must name at least one filter".into());
        }
        let pair = |(low, high): (f64, f64)| format!("({low}, {high})");
        let ordered = |(low, high): (f64, f64), most: f64| 0.0 < low && low <= high && high <= most;
        match self.crop {
            Crop::RandomResized { scale, .. } if !ordered(scale, 1.0) => {
                let message = "scale must be (low, high) with 0 < low <= high <= 1";
                return refuse(format!("{message}, not {}", pair(scale)));
            }
            Crop::KeepRatio { scale, .. } if !ordered(scale, 1e3) => {
                let message = "scale must be (low, high) with 0 < low <= high <= 1000";
                return refuse(format!("{message}, not {}", pair(scale)));
            }
            Crop::RandomResized { ratio, .. } | Crop::KeepRatio { ratio, .. }
                if !ordered(ratio, 1e6) =>
            {
                let message = "ratio must be (low, high) with 0 < low <= high";
                return refuse(format!("{message}, not {}", pair(ratio)));
            }
            Crop::Padded { padding } if padding > 1 << 15 => {
                return refuse(format!("padding must be from 0 to 32768, not {padding}"));
            }
            Crop::Evaluation { crop_pct, .. } => {
                let (h, w) = crop::scale_size(self.size, crop_pct);
                if ![h, w].iter().all(|side| (1..=MAX_SCALED).contains(side)) {
                    return refuse(format!(
                        "crop_pct must be a fraction such as 0.875, not {crop_pct}: it would \
                         resize the image to {h} x {w}"
                    ));
                }
            }
            _ => {}
        }
        self.augment.validate(self.size)
    }

    /// Decides where the pixels of a view of an image of (height, width) `shape` come from.
    ///
    /// # Errors
    /// [`Error::Argument`] if a padded image is smaller than the output, or an image that is
    /// resized as a whole would become huge.
    pub(super) fn geometry(&self, shape: (u32, u32), stream: &mut Stream) -> Result<Geometry> {
        let whole = Rect { x: 0, y: 0, w: shape.1, h: shape.0 };
        let (crop, frame) = match self.crop {
            Crop::RandomResized { scale, ratio } => {
                (crop::random_resized(stream, shape, scale, ratio), None)
            }
            Crop::Padded { padding } => {
                let crop = crop::padded(stream, shape, self.size, padding).ok_or_else(|| {
                    Error::Argument(format!(
                        "an image of (height, width) {shape:?} padded by {padding} is smaller than \
                         the crop {:?}; use crop='rrc' or a larger padding",
                        self.size
                    ))
                })?;
                (crop, None)
            }
            Crop::KeepRatio { scale, ratio, random } => {
                let resized = crop::keep_ratio(stream, shape, self.size, scale, ratio);
                let (y, x) = if random {
                    crop::random_corner(stream, resized, self.size)
                } else {
                    crop::central_corner(resized, self.size)
                };
                (whole, Some(Frame { resized, x, y, fill: None }))
            }
            Crop::Evaluation { mode, crop_pct, border } => {
                let crop = crop::trimmed(shape, border).ok_or_else(|| {
                    Error::Argument(format!(
                        "nothing is left of an image of (height, width) {shape:?} without \
                         crop_border_pixels={border} on each side; use fewer"
                    ))
                })?;
                (crop, self.evaluated((crop.h, crop.w), mode, crop_pct))
            }
        };
        let interpolation = match self.crop {
            Crop::Padded { .. } => None,
            _ if resizable(crop, frame, self.size) => Some(stream.choose(&self.interpolation)),
            _ => {
                let resized = frame.map_or(self.size, |frame| frame.resized);
                return Err(Error::Argument(format!(
                    "an image of (height, width) {shape:?} is too long and thin for this crop, \
                     which would resize it to {resized:?}; use crop='rrc'"
                )));
            }
        };
        let geometry = Geometry { crop, interpolation, frame, ..Geometry::default() };
        Ok(self.flipped(geometry, stream))
    }

    /// The frame of timm's evaluation in an image of (height, width) `shape`; `None` if it is
    /// resized to the output's size.
    fn evaluated(&self, shape: (u32, u32), mode: CropMode, crop_pct: f64) -> Option<Frame> {
        let scale = crop::scale_size(self.size, crop_pct);
        let resized = match mode {
            CropMode::Center if scale.0 == scale.1 => crop::short_side(shape, scale.0),
            CropMode::Center => crop::fitted(shape, scale, false),
            CropMode::Border => crop::fitted(shape, scale, true),
            CropMode::Squash if scale == self.size => return None,
            CropMode::Squash => scale,
        };
        let (y, x) = crop::central_corner(resized, self.size);
        let colour = match mode {
            CropMode::Border => self.augment.normalization.fill(),
            CropMode::Center | CropMode::Squash => [0; 3],
        };
        let outside = resized.0 < self.size.0 || resized.1 < self.size.1;
        Some(Frame { resized, x, y, fill: outside.then_some(colour) })
    }

    /// `geometry` with flips drawn for this view.
    pub(super) fn flipped(&self, geometry: Geometry, stream: &mut Stream) -> Geometry {
        let hflip = stream.chance(self.hflip);
        let vflip = stream.chance(self.vflip);
        Geometry { hflip, vflip, ..geometry }
    }
}
