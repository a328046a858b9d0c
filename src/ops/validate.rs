//! The bounds of what ops take: plans may come from outside.

use super::{Chain, Mixing, Op};
use crate::error::{Error, Result};

impl Op {
    /// Says which number makes no sense, if one does.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub fn validate(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::Argument(format!("{}: {what}", self.name())));
        // Beyond a million there is no image, and coordinates would not fit an i32.
        let finite = |name: &str, values: &[f64]| {
            let wrong = values.iter().find(|v| !v.is_finite() || v.abs() > 1e6);
            match wrong {
                Some(v) => refuse(format!("{name} must be finite and within a million, not {v}")),
                None => Ok(()),
            }
        };
        match self {
            Self::AutoContrast | Self::Equalize | Self::Invert | Self::Grayscale => Ok(()),
            Self::Posterize { bits } if *bits > 8 => {
                refuse(format!("bits must be from 0 to 8, not {bits}"))
            }
            Self::Posterize { .. } | Self::SolarizeAdd { .. } => Ok(()),
            Self::Solarize { threshold } => finite("threshold", &[*threshold]),
            Self::Color { factor }
            | Self::Contrast { factor }
            | Self::Brightness { factor }
            | Self::Sharpness { factor }
            | Self::ShearX { factor, .. }
            | Self::ShearY { factor, .. } => finite("factor", &[*factor]),
            Self::Hue { factor } if !(-0.5..=0.5).contains(factor) => {
                refuse(format!("factor must be from -0.5 to 0.5, not {factor}"))
            }
            Self::Hue { .. } => Ok(()),
            Self::TranslateX { pixels, .. } | Self::TranslateY { pixels, .. } => {
                finite("pixels", &[*pixels])
            }
            Self::Rotate { degrees, .. } => finite("degrees", &[*degrees]),
            Self::Affine { matrix, .. } => finite("matrix", matrix),
            Self::GaussianBlur { radius } if !(0.0..=1e4).contains(radius) => {
                refuse(format!("radius must be from 0 to 10000, not {radius}"))
            }
            Self::GaussianBlur { .. } => Ok(()),
            Self::GaussianKernel { kernel_size, sigma } => {
                if kernel_size % 2 == 0 || *kernel_size > 1 << 15 {
                    return refuse(format!(
                        "kernel_size must be odd and at most 32767, not {kernel_size}"
                    ));
                }
                if !(*sigma > 0.0 && sigma.is_finite()) {
                    return refuse(format!("sigma must be above 0, not {sigma}"));
                }
                Ok(())
            }
            Self::Mix { mixing, chains } => {
                let own = match *mixing {
                    Mixing::Sum { amount: own } | Mixing::Weighted { image: own } => own,
                    Mixing::Blends => 0.0,
                };
                finite("weight", &[f64::from(own)])?;
                for Chain { weight, ops } in chains {
                    finite("weight", &[f64::from(*weight)])?;
                    if ops.iter().any(|op| matches!(op, Self::Mix { .. })) {
                        return refuse("a chain holds no Mix".into());
                    }
                    ops.iter().try_for_each(Self::validate)?;
                }
                Ok(())
            }
            Self::Erase { w, h, .. } if *w.max(h) > 1 << 15 => {
                refuse(format!("w and h must be at most 32768, not {w} and {h}"))
            }
            Self::Erase { .. } => Ok(()),
        }
    }
}
