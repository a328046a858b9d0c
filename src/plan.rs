//! A view declared ([`ViewSpec`]) and a view decided ([`Plan`]): all randomness is drawn here, and the
//! modules that touch pixels take a plan.

use crate::crop;
use crate::error::{Error, Result};
use crate::image::Rect;
use crate::ops::Op;
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

/// Where the output lies in an image that was resized to a size of its own: what timm's
/// `ResizeKeepRatio` and `CenterCropOrPad` or `RandomCropOrPad` decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Height and width that the crop is resized to.
    pub resized: (u32, u32),
    /// The output's leftmost column there; what reaches outside is mirrored (numpy's `reflect`).
    pub x: i32,
    /// The output's topmost row there.
    pub y: i32,
}

/// Where a view's pixels come from: all of it but the ops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Geometry {
    /// The part of the image that is seen.
    pub crop: Rect,
    /// The resize filter; `None` if the crop has the output's size by construction.
    pub interpolation: Option<Filter>,
    /// Where the output lies in the resized crop; `None` if it is all of it.
    pub frame: Option<Frame>,
    /// Whether left and right are exchanged.
    pub hflip: bool,
    /// Whether top and bottom are exchanged.
    pub vflip: bool,
}

/// One view of one image, decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Height and width of the output.
    pub size: (u32, u32),
    /// Where the pixels come from.
    pub geometry: Geometry,
    /// What is then done to them, in order.
    pub ops: Vec<Op>,
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

    /// Decides where the pixels of a view of an image of (height, width) `shape` come from.
    ///
    /// # Errors
    /// [`Error::Argument`] if a padded image is smaller than the output.
    fn geometry(&self, shape: (u32, u32), stream: &mut Stream) -> Result<Geometry> {
        let (crop, interpolation) = match self.crop {
            Crop::RandomResized { scale, ratio } => {
                let crop = crop::random_resized(stream, shape, scale, ratio);
                let choice = stream.below(self.interpolation.len() as u32);
                (crop, Some(self.interpolation[choice as usize]))
            }
            Crop::Padded { padding } => {
                let crop = crop::padded(stream, shape, self.size, padding).ok_or_else(|| {
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
        Ok(Geometry { crop, interpolation, frame: None, hflip, vflip })
    }
}

/// The plans of all views of a sample, numbered from `key.view` on, written into `plans`.
///
/// With `same_crop` every view takes the crop, filter and flips of the first, as timm's
/// `AugMixDataset` does: what is drawn after them still differs. The buffers in `plans` are reused.
///
/// # Errors
/// [`Error::Argument`] if a padded image is smaller than the output.
pub fn plan_views(
    specs: &[ViewSpec],
    same_crop: bool,
    shape: (u32, u32),
    key: Key,
    plans: &mut Vec<Plan>,
) -> Result<()> {
    plans.resize_with(specs.len(), Plan::default);
    let mut first = None;
    for (view, (spec, plan)) in specs.iter().zip(plans).enumerate() {
        let mut stream = Stream::new(Key { view: key.view.wrapping_add(view as u16), ..key });
        let geometry = match first {
            Some(geometry) if same_crop => geometry,
            _ => spec.geometry(shape, &mut stream)?,
        };
        first = first.or(Some(geometry));
        plan.size = spec.size;
        plan.geometry = geometry;
        plan.ops.clear();
    }
    Ok(())
}
