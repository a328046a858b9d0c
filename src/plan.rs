//! A view declared ([`ViewSpec`]) and a view decided ([`Plan`]): all randomness is drawn here, and the
//! modules that touch pixels take a plan.

use crate::crop;
use crate::error::{Error, Result};
use crate::image::Rect;
use crate::ops::Op;
use crate::policy::Augment;
use crate::resize::Filter;
use crate::rng::{Key, Stream};

/// The longest side that is resized, or resized to: no photo's. A row of it, 64 of which are turned at
/// once, costs 200 MB.
const MAX_SIDE: u32 = 1 << 20;

/// The most pixels that a crop of a resized image may need.
const MAX_RESIZED: u64 = 1 << 28;

/// Whether `crop` may be resized, to what `frame` says or else to an output.
fn resizable(crop: Rect, frame: Option<Frame>) -> bool {
    let (h, w) = frame.map_or((1, 1), |frame| frame.resized);
    [crop.h, crop.w, h, w].iter().all(|side| (1..=MAX_SIDE).contains(side))
        && u64::from(h) * u64::from(w) <= MAX_RESIZED
}

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
    /// timm's `ResizeKeepRatio` of the whole image, then its `CenterCropOrPad` or `RandomCropOrPad`.
    KeepRatio {
        /// Bounds of the random zoom's area; below 1 zooms in.
        scale: (f64, f64),
        /// Bounds of the random change of the aspect ratio.
        ratio: (f64, f64),
        /// Whether the output is placed at random, not in the centre.
        random: bool,
    },
    /// torchvision's `Resize` of the shorter side to the output's and `CenterCrop`: the square crop
    /// of timm's `no_aug`.
    Center,
    /// The whole image, whatever its aspect ratio: timm's `no_aug` where the size is a pair.
    Squash,
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
    /// What happens after them.
    pub augment: Augment,
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

impl Plan {
    /// Says what makes it impossible to execute this for an image of (height, width) `shape`, if
    /// something does: plans may come from outside.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub fn validate(&self, (height, width): (u32, u32)) -> Result<()> {
        let refuse = |message: String| Err(Error::Argument(message));
        let Geometry { crop, interpolation, frame, .. } = self.geometry;
        for side in [self.size.0, self.size.1] {
            if side == 0 || side > 1 << 15 {
                return refuse(format!("a plan's size must be from 1 to 32768 a side, not {side}"));
            }
        }
        let near = [crop.x, crop.y].iter().all(|v| v.unsigned_abs() <= 1 << 30);
        if crop.w == 0 || crop.h == 0 || crop.w.max(crop.h) > 1 << 30 || !near {
            return refuse(format!("{crop:?} is no part of an image"));
        }
        match interpolation {
            Some(_) if !resizable(crop, frame) => {
                let (height, width) = frame.map_or(self.size, |frame| frame.resized);
                return refuse(format!("{crop:?} cannot be resized to {height} x {width} pixels"));
            }
            Some(_) if crop.clip(width, height) != Some(crop) => {
                return refuse(format!(
                    "the crop {crop:?} reaches outside the image of (height, width) {:?}; only a \
                     crop that isn't resized may",
                    (height, width)
                ));
            }
            None if (crop.h, crop.w) != self.size || frame.is_some() => {
                return refuse("a crop that isn't resized must have the output's size".into());
            }
            _ => {}
        }
        self.ops.iter().try_for_each(Op::validate)
    }
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
            Crop::Center if self.size.0 != self.size.1 => {
                let message = "crop='center' needs a square size";
                return refuse(format!("{message}, not {:?}; use crop='squash'", self.size));
            }
            _ => {}
        }
        self.augment.validate(self.size)
    }

    /// Decides where the pixels of a view of an image of (height, width) `shape` come from.
    ///
    /// # Errors
    /// [`Error::Argument`] if a padded image is smaller than the output, or an image that is resized
    /// as a whole would become huge.
    fn geometry(&self, shape: (u32, u32), stream: &mut Stream) -> Result<Geometry> {
        let whole = Rect { x: 0, y: 0, w: shape.1, h: shape.0 };
        let (crop, frame) = match self.crop {
            Crop::RandomResized { scale, ratio } => {
                (crop::random_resized(stream, shape, scale, ratio), None)
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
            Crop::KeepRatio { scale, ratio, random } => {
                let resized = crop::keep_ratio(stream, shape, self.size, scale, ratio);
                let (y, x) = if random {
                    crop::random_corner(stream, resized, self.size)
                } else {
                    crop::central_corner(resized, self.size)
                };
                (whole, Some(Frame { resized, x, y }))
            }
            Crop::Center => {
                let resized = crop::short_side(shape, self.size.0);
                let (y, x) = crop::central_corner(resized, self.size);
                (whole, Some(Frame { resized, x, y }))
            }
            Crop::Squash => (whole, None),
        };
        let interpolation = match self.crop {
            Crop::Padded { .. } => None,
            _ if resizable(crop, frame) => Some(stream.choose(&self.interpolation)),
            _ => {
                let resized = frame.map_or(self.size, |frame| frame.resized);
                return Err(Error::Argument(format!(
                    "an image of (height, width) {shape:?} is too long and thin for this crop, which \
                     would resize it to {resized:?}; use crop='rrc'"
                )));
            }
        };
        let geometry = Geometry { crop, interpolation, frame, ..Geometry::default() };
        Ok(self.flipped(geometry, stream))
    }

    /// `geometry` with flips drawn for this view.
    fn flipped(&self, geometry: Geometry, stream: &mut Stream) -> Geometry {
        let hflip = stream.chance(self.hflip);
        let vflip = stream.chance(self.vflip);
        Geometry { hflip, vflip, ..geometry }
    }
}

/// What the views of a sample share of the first view's geometry. The ops always differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shared {
    /// Nothing: each view draws its own.
    #[default]
    Nothing,
    /// The crop and the filter; each view draws its flips.
    Crop,
    /// The crop, the filter and the flips, as timm's `AugMixDataset` does.
    CropAndFlips,
}

impl Shared {
    /// Names what differs between `first` and `other` although it is shared, if something does.
    pub(crate) fn conflict(self, first: &ViewSpec, other: &ViewSpec) -> Option<&'static str> {
        if self == Self::Nothing {
            return None;
        }
        let flips = self == Self::CropAndFlips;
        [
            (first.crop != other.crop, "crop (or its scale, ratio or padding)"),
            (first.interpolation != other.interpolation, "interpolation"),
            (flips && first.hflip != other.hflip, "hflip"),
            (flips && first.vflip != other.vflip, "vflip"),
        ]
        .into_iter()
        .find_map(|(differs, name)| differs.then_some(name))
    }
}

/// The plans of all views of a sample, numbered from `key.view` on, written into `plans`, whose
/// buffers are reused.
///
/// # Errors
/// [`Error::Argument`] if a padded image is smaller than the output, or an image that is resized as a
/// whole would become huge.
pub fn plan_views(
    specs: &[ViewSpec],
    shared: Shared,
    shape: (u32, u32),
    key: Key,
    plans: &mut Vec<Plan>,
) -> Result<()> {
    plans.resize_with(specs.len(), Plan::default);
    let mut first = None;
    for (view, (spec, plan)) in specs.iter().zip(plans).enumerate() {
        let number = key.view.wrapping_add(view as u16);
        let mut stream = Stream::new(Key { view: number, ..key });
        let geometry = match (first, shared) {
            (None, _) | (_, Shared::Nothing) => spec.geometry(shape, &mut stream)?,
            (Some(geometry), Shared::Crop) => spec.flipped(geometry, &mut stream),
            (Some(geometry), Shared::CropAndFlips) => geometry,
        };
        first = first.or(Some(geometry));
        plan.size = spec.size;
        plan.geometry = geometry;
        plan.ops.clear();
        spec.augment.draw(spec.size, number, &mut stream, &mut plan.ops);
    }
    Ok(())
}
