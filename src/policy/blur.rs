//! [`RandomBlur`]: a Gaussian blur that may be drawn, in torchvision's or Pillow's form.

use crate::error::{Error, Result};
use crate::ops::{GaussianBlur, GaussianKernel, Op};
use crate::rng::Stream;

/// The largest standard deviation, that of [`GaussianBlur`].
const MAX_SIGMA: f64 = 1e4;

/// torchvision's `RandomApply([GaussianBlur(kernel_size, sigma)], prob)` or, without a
/// `kernel_size`, Pillow's `ImageFilter.GaussianBlur` of a random radius.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomBlur {
    /// The probability of a blurred image.
    pub prob: f64,
    /// The taps of torchvision's kernel in each direction, odd; `None` for Pillow's blur.
    pub kernel_size: Option<u32>,
    /// Bounds of the standard deviation in pixels, which Pillow calls the radius.
    pub sigma: (f64, f64),
}

impl Default for RandomBlur {
    /// No blur. Otherwise as in timm's training transform (timm 1.0.31
    /// `data/transforms_factory.py`).
    fn default() -> Self {
        Self { prob: 0.0, kernel_size: Some(23), sigma: (0.1, 2.0) }
    }
}

impl RandomBlur {
    /// Checks the values, for views of (height, width) `size`.
    ///
    /// # Errors
    /// [`Error::Argument`], with the value that makes no sense.
    pub(super) fn validate(&self, size: (u32, u32)) -> Result<()> {
        let refuse = |message| Err(Error::Argument(message));
        let Self { prob, kernel_size, sigma: (low, high) } = *self;
        if !(0.0..=1.0).contains(&prob) {
            return refuse(format!(
                "gaussian_blur_prob must be a probability from 0 to 1, not {prob}"
            ));
        }
        let least = if kernel_size.is_some() { f64::MIN_POSITIVE } else { 0.0 };
        if !(least <= low && low <= high && high <= MAX_SIGMA) {
            let sign = if kernel_size.is_some() { "<" } else { "<=" };
            return refuse(format!(
                "gaussian_blur_sigma must be (low, high) with 0 {sign} low <= high <= {MAX_SIGMA}, \
                 not ({low}, {high})"
            ));
        }
        let Some(taps) = kernel_size else { return Ok(()) };
        if taps % 2 == 0 || taps > 1 << 15 {
            return refuse(format!(
                "gaussian_blur_kernel must be odd and at most 32767, or None for Pillow's blur, \
                 not {taps}"
            ));
        }
        // torchvision mirrors half a kernel at each edge.
        if prob > 0.0 && size.0.min(size.1) <= taps / 2 {
            return refuse(format!(
                "gaussian_blur_prob needs a size of at least {} a side for a kernel of {taps} \
                 pixels, not {size:?}; use a smaller gaussian_blur_kernel, or None for Pillow's \
                 blur, which has no limit",
                taps / 2 + 1
            ));
        }
        Ok(())
    }

    /// Appends the blur, if it is drawn.
    pub(super) fn draw(&self, stream: &mut Stream, ops: &mut Vec<Op>) {
        if self.prob > 0.0 && stream.chance(self.prob) {
            let sigma = stream.uniform(self.sigma.0, self.sigma.1);
            ops.push(match self.kernel_size {
                Some(kernel_size) => GaussianKernel { kernel_size, sigma }.into(),
                None => GaussianBlur { radius: sigma }.into(),
            });
        }
    }
}
