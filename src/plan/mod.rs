//! All randomness: a view declared ([`ViewSpec`]) becomes a view decided ([`Plan`]).
//!
//! # Draw, then apply
//!
//! A view is made in two steps that know nothing of each other:
//!
//! ```text
//! ViewSpec + shape of the image + Key  --plan_views-->  Plan       (draws, touches no pixels)
//! Plan + pixels                        --Renderer---->  the view   (touches pixels, draws nothing)
//! ```
//!
//! A plan is data. It says which box to crop, with which filter to resize it, whether to flip, and
//! which ops follow with which numbers. So the decoder can be told which part of the image is
//! needed before any pixel exists, two views can share a decode, a plan can be stored and executed
//! again, and a test can execute the same plan with Pillow.
//!
//! All numbers come from a [`Stream`] that is keyed by seed, epoch, index and view ([`Key`]). A
//! plan therefore depends neither on threads nor on batches nor on what was planned before.
//!
//! ```
//! use tied_augment::plan::{Crop, Plan, Shared, ViewSpec, plan_views};
//! use tied_augment::policy::{Augment, Policy};
//! use tied_augment::resize::Filter;
//! use tied_augment::rng::Key;
//!
//! let (policy, _) = Policy::parse("tv-trivial")?;
//! let view = ViewSpec {
//!     size: (224, 224),
//!     crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (0.75, 4.0 / 3.0) },
//!     interpolation: vec![Filter::Bicubic],
//!     hflip: 0.5,
//!     vflip: 0.0,
//!     augment: Augment { policy: Some(policy), ..Augment::default() },
//! };
//! view.validate()?;
//!
//! // Two views of sample 17 in epoch 3, whose image has 480 rows and 640 columns.
//! let key = Key { seed: 0, epoch: 3, index: 17, view: 0 };
//! let mut plans = Vec::new();
//! plan_views(&[view.clone(), view], Shared::Nothing, (480, 640), key, &mut plans)?;
//! assert_ne!(plans[0], plans[1]);
//!
//! // A plan survives being stored.
//! let stored = serde_json::to_string(&plans[0])?;
//! assert_eq!(serde_json::from_str::<Plan>(&stored)?, plans[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decided;
mod spec;
mod stored;

pub use decided::{Frame, Geometry, Plan};
pub use spec::{Crop, CropMode, ViewSpec};

use crate::error::Result;
use crate::rng::{Key, Stream};

/// What the views of a sample share of the first view's geometry. Each view always draws its own
/// ops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
            (first.crop != other.crop, "crop (or its scale, ratio, padding or crop_pct)"),
            (first.interpolation != other.interpolation, "interpolation"),
            (flips && first.hflip != other.hflip, "hflip"),
            (flips && first.vflip != other.vflip, "vflip"),
        ]
        .into_iter()
        .find_map(|(differs, name)| differs.then_some(name))
    }

    /// Whether a view like `first` of any other size can take its part in what is shared: a part of
    /// the image that is resized to the view's own size. Other crops depend on the size.
    pub(crate) fn fits_any_size(self, first: &ViewSpec) -> bool {
        let of_the_image = match first.crop {
            Crop::RandomResized { .. } => true,
            Crop::Evaluation { mode, crop_pct, .. } => mode == CropMode::Squash && crop_pct == 1.0,
            Crop::Padded { .. } | Crop::KeepRatio { .. } => false,
        };
        self == Self::Nothing || of_the_image
    }
}

/// Plans all views of a sample. They are numbered from `key.view` on.
///
/// The plans replace the content of `plans`, whose buffers are reused.
///
/// # Errors
/// [`Error::Argument`](crate::error::Error::Argument) if a padded image is smaller than the output,
/// or an image that is resized as a whole would become huge.
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
