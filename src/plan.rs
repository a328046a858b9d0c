//! A view declared ([`ViewSpec`]) and a view decided ([`Plan`]): all randomness is drawn here, and the
//! modules that touch pixels take a plan.

use crate::crop;
use crate::error::{Error, Result};
use crate::image::Rect;
use crate::resize::Filter;
use crate::rng::{Key, Stream};

/// How the crop of a view is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
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
}

/// One view of one image, decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The part of the image that is seen.
    pub crop: Rect,
    /// Height and width of the output.
    pub size: (u32, u32),
    /// The resize filter; `None` if the crop has the output's size by construction.
    pub interpolation: Option<Filter>,
    /// Whether left and right are exchanged.
    pub hflip: bool,
    /// Whether top and bottom are exchanged.
    pub vflip: bool,
}

impl ViewSpec {
    /// Says which value makes no sense, if one does.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub fn validate(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::Argument(message));
        // Below 2^15 a side no product of sides overflows, and no one trains on larger ones.
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
        match self.crop {
            Crop::RandomResized { scale: (low, high), .. }
                if !(0.0 < low && low <= high && high <= 1.0) =>
            {
                refuse(format!(
                    "scale must be (low, high) with 0 < low <= high <= 1, not ({low}, {high})"
                ))
            }
            Crop::RandomResized { ratio: (low, high), .. }
                if !(0.0 < low && low <= high && high < 1e6) =>
            {
                refuse(format!(
                    "ratio must be (low, high) with 0 < low <= high, not ({low}, {high})"
                ))
            }
            Crop::Padded { padding } if padding > 1 << 15 => {
                refuse(format!("padding must be from 0 to 32768, not {padding}"))
            }
            _ => Ok(()),
        }
    }

    /// Decides everything random about the view `key` of an image of (height, width) `shape`.
    ///
    /// # Errors
    /// [`Error::Argument`] if a padded image is smaller than the output.
    pub fn plan(&self, shape: (u32, u32), key: Key) -> Result<Plan> {
        let mut stream = Stream::new(key);
        let (crop, interpolation) = match self.crop {
            Crop::RandomResized { scale, ratio } => {
                let crop = crop::random_resized(&mut stream, shape, scale, ratio);
                let choice = stream.below(self.interpolation.len() as u32);
                (crop, Some(self.interpolation[choice as usize]))
            }
            Crop::Padded { padding } => {
                let crop = crop::padded(&mut stream, shape, self.size, padding).ok_or_else(|| {
                    Error::Argument(format!(
                        "an image of (height, width) {shape:?} padded by {padding} is smaller than the \
                         crop {:?}; use crop='rrc' or a larger padding",
                        self.size
                    ))
                })?;
                (crop, None)
            }
        };
        let hflip = stream.chance(self.hflip);
        let vflip = stream.chance(self.vflip);
        Ok(Plan { crop, size: self.size, interpolation, hflip, vflip })
    }
}

/// The plans of all views of a sample, numbered from `key.view` on, written into `plans`.
///
/// With `same_crop` every view takes the crop, filter and flips of the first, as timm's
/// `AugMixDataset` does: what is drawn after them still differs.
///
/// # Errors
/// As [`ViewSpec::plan`].
pub fn plan_views(
    specs: &[ViewSpec],
    same_crop: bool,
    shape: (u32, u32),
    key: Key,
    plans: &mut Vec<Plan>,
) -> Result<()> {
    plans.clear();
    for (view, spec) in specs.iter().enumerate() {
        let plan = match plans.first() {
            Some(&first) if same_crop => first,
            _ => spec.plan(shape, Key { view: key.view.wrapping_add(view as u16), ..key })?,
        };
        plans.push(plan);
    }
    Ok(())
}
