//! Everything that happens to a view after its crop and flips, in timm's order. timm does not
//! solarize at random: BYOL and its successors do that after the blur.

use super::blur::RandomBlur;
use super::erase::{self, Normalization, RandomErasing};
use super::jitter::{self, ColorJitter, RandomSolarize};
use super::named::Policy;
use super::scope::Scope;
use crate::error::{Error, Result};
use crate::ops::{Interpolation, Op};
use crate::rng::Stream;

/// The rest of a training transform, declared: a policy, colour jitter, grayscale, blur, solarize,
/// Cutout and random erasing. The default does nothing.
///
/// ```
/// use tied_augment::ops::Interpolation;
/// use tied_augment::policy::{Augment, ColorJitter, EraseMode, Policy, RandomErasing};
///
/// let (policy, _) = Policy::parse("rand-m9-mstd0.5-inc1")?;
/// let mode = EraseMode::Pixel;
/// let augment = Augment {
///     policy: Some(policy),
///     filters: vec![Interpolation::Bilinear, Interpolation::Bicubic],
///     color_jitter: Some(ColorJitter::new([0.4, 0.4, 0.4, 0.1], 0.8)?),
///     erasing: Some(RandomErasing { prob: 0.25, mode, max_count: 1, skip_first: true }),
///     ..Augment::default()
/// };
/// assert_eq!(augment.grayscale, 0.0);
/// # Ok::<_, tied_augment::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Augment {
    /// The augmentation policy.
    pub policy: Option<Policy>,
    /// The filters of timm's geometric ops. Each op draws one.
    pub filters: Vec<Interpolation>,
    /// Colour jitter after the policy.
    pub color_jitter: Option<ColorJitter>,
    /// The probability of a gray image.
    pub grayscale: f64,
    /// Gaussian blur.
    pub gaussian_blur: RandomBlur,
    /// The inversion of bright values.
    pub solarize: RandomSolarize,
    /// The side of Cutout's square, in pixels, at most the view's shorter side; 0 for none.
    pub cutout: u32,
    /// timm's random erasing.
    pub erasing: Option<RandomErasing>,
    /// The model's normalisation. Its mean is the colour of what is erased or outside the image.
    pub normalization: Normalization,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            policy: None,
            filters: Vec::new(),
            color_jitter: None,
            grayscale: 0.0,
            gaussian_blur: RandomBlur::default(),
            solarize: RandomSolarize::default(),
            cutout: 0,
            erasing: None,
            normalization: Normalization {
                mean: [0.485, 0.456, 0.406],
                std: [0.229, 0.224, 0.225],
            },
        }
    }
}

impl Augment {
    /// Checks the values, for views of (height, width) `size`.
    ///
    /// # Errors
    /// [`Error::Argument`], with the value that makes no sense.
    pub(crate) fn validate(&self, size: (u32, u32)) -> Result<()> {
        let refuse = |message: String| Err(Error::Argument(message));
        let re_prob = self.erasing.as_ref().map_or(0.0, |erasing| erasing.prob);
        for (name, p) in [
            ("grayscale_prob", self.grayscale),
            ("solarize_prob", self.solarize.prob),
            ("re_prob", re_prob),
        ] {
            if !(0.0..=1.0).contains(&p) {
                return refuse(format!("{name} must be a probability from 0 to 1, not {p}"));
            }
        }
        if self.filters.is_empty() && self.policy.as_ref().is_some_and(Policy::needs_filters) {
            return refuse(
                "interpolation must be 'random', 'nearest', 'bilinear' or 'bicubic' for the \
                 rotations, shears and translations of this auto_augment: Pillow knows no others \
                 there"
                    .into(),
            );
        }
        let shorter = size.0.min(size.1);
        if self.cutout > shorter {
            let cutout = self.cutout;
            return refuse(format!(
                "cutout must be at most the view's {shorter} pixels, not {cutout}"
            ));
        }
        let threshold = self.solarize.threshold;
        if !(0.0..=256.0).contains(&threshold) {
            return refuse(format!("solarize_threshold must be from 0 to 256, not {threshold}"));
        }
        let re_count = self.erasing.as_ref().map_or(1, |erasing| erasing.max_count);
        if !(1..=1000).contains(&re_count) {
            return refuse(format!("re_count must be from 1 to 1000, not {re_count}"));
        }
        for (name, values) in [("mean", self.normalization.mean), ("std", self.normalization.std)] {
            if let Some(value) = values.iter().find(|v| !(0.0..=1.0).contains(*v)) {
                return refuse(format!(
                    "{name} must be of values from 0 to 1, not {value}; divide values of 0 to 255 \
                     by 255"
                ));
            }
        }
        self.gaussian_blur.validate(size)
    }

    /// Appends the ops of view number `view`, of (height, width) `size`.
    pub(crate) fn draw(&self, size: (u32, u32), view: u16, stream: &mut Stream, ops: &mut Vec<Op>) {
        if let Some(policy) = &self.policy {
            let fill = self.normalization.fill();
            let scope = Scope { size, fill, filters: &self.filters, translate_pct: 0.45 };
            policy.draw(&scope, stream, ops);
        }
        if let Some(color_jitter) = &self.color_jitter {
            color_jitter.draw(stream, ops);
        }
        jitter::grayscale(self.grayscale, stream, ops);
        self.gaussian_blur.draw(stream, ops);
        self.solarize.draw(stream, ops);
        erase::cutout(self.cutout, size, &self.normalization, stream, ops);
        if let Some(erasing) = &self.erasing
            && !(erasing.skip_first && view == 0)
        {
            erasing.draw(size, &self.normalization, stream, ops);
        }
    }
}
