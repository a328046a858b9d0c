//! The Python class `View`, read as the core's [`ViewSpec`].

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::errors::to_python;
use crate::ops::Interpolation;
use crate::plan::{Crop, CropMode, ViewSpec};
use crate::policy::{
    Augment, ColorJitter, EraseMode, Normalization, Policy, RandomBlur, RandomErasing,
    RandomSolarize,
};
use crate::resize::Filter;

/// The fields of the Python class `View`. What each means is documented there.
#[derive(FromPyObject)]
pub struct View {
    size: (u32, u32),
    scale: (f64, f64),
    ratio: (f64, f64),
    filters: Vec<String>,
    hflip: f64,
    vflip: f64,
    crop: String,
    padding: u32,
    crop_pct: f64,
    crop_border_pixels: u32,
    auto_augment: Option<String>,
    color_jitter: Option<[f64; 4]>,
    color_jitter_prob: Option<f64>,
    #[pyo3(attribute("_jitters"))]
    jitters: bool,
    grayscale_prob: f64,
    gaussian_blur_prob: f64,
    gaussian_blur_kernel: Option<u32>,
    gaussian_blur_sigma: (f64, f64),
    solarize_prob: f64,
    solarize_threshold: f64,
    cutout: u32,
    re_prob: f64,
    re_mode: String,
    re_count: u32,
    re_num_splits: u32,
    mean: [f64; 3],
    std: [f64; 3],
}

impl View {
    pub fn spec(self) -> PyResult<ViewSpec> {
        let (scale, ratio) = (self.scale, self.ratio);
        let evaluation = |mode| {
            let (crop_pct, border) = (self.crop_pct, self.crop_border_pixels);
            Crop::Evaluation { mode, crop_pct, border }
        };
        let crop = match self.crop.as_str() {
            "rrc" => Crop::RandomResized { scale, ratio },
            "rkrc" => Crop::KeepRatio { scale, ratio, random: false },
            "rkrr" => Crop::KeepRatio { scale, ratio, random: true },
            "center" => evaluation(CropMode::Center),
            "squash" => evaluation(CropMode::Squash),
            "border" => evaluation(CropMode::Border),
            "pad" => Crop::Padded { padding: self.padding },
            other => {
                return Err(PyValueError::new_err(format!(
                    "crop must be 'rrc', 'rkrc', 'rkrr', 'center', 'squash', 'border' or 'pad', \
                     not '{other}'"
                )));
            }
        };
        let filter = |name: &String| {
            Filter::from_name(name).ok_or_else(|| {
                let known = Filter::ALL.map(Filter::name).join("', '");
                let message =
                    format!("interpolation must be one of 'random', '{known}', not '{name}'");
                PyValueError::new_err(message)
            })
        };
        let interpolation = self.filters.iter().map(filter).collect::<PyResult<_>>()?;
        let Self { size, hflip, vflip, .. } = self;
        let augment = self.augment()?;
        Ok(ViewSpec { size, crop, interpolation, hflip, vflip, augment })
    }

    fn augment(self) -> PyResult<Augment> {
        let policy = match &self.auto_augment {
            Some(text) => Some(Policy::parse(text).map_err(to_python)?.0),
            None => None,
        };
        let color_jitter = match self.color_jitter.filter(|_| self.jitters) {
            Some(values) => {
                let prob = self.color_jitter_prob.unwrap_or(1.0);
                Some(ColorJitter::new(values, prob).map_err(to_python)?)
            }
            None => None,
        };
        let Some(mode) = EraseMode::from_name(&self.re_mode) else {
            return Err(PyValueError::new_err(format!(
                "re_mode must be 'const', 'rand' or 'pixel', not '{}'",
                self.re_mode
            )));
        };
        let erasing = (self.re_prob != 0.0).then_some(RandomErasing {
            prob: self.re_prob,
            mode,
            max_count: self.re_count,
            skip_first: self.re_num_splits > 1,
        });
        Ok(Augment {
            policy,
            filters: self
                .filters
                .iter()
                .filter_map(|name| Interpolation::from_name(name))
                .collect(),
            color_jitter,
            grayscale: self.grayscale_prob,
            gaussian_blur: RandomBlur {
                prob: self.gaussian_blur_prob,
                kernel_size: self.gaussian_blur_kernel,
                sigma: self.gaussian_blur_sigma,
            },
            solarize: RandomSolarize {
                prob: self.solarize_prob,
                threshold: self.solarize_threshold,
            },
            cutout: self.cutout,
            erasing,
            normalization: Normalization { mean: self.mean, std: self.std },
        })
    }
}

/// Sentences about the parts of a config string that timm accepts and ignores.
#[pyfunction]
pub fn policy_remarks(auto_augment: &str) -> PyResult<Vec<String>> {
    Policy::parse(auto_augment).map(|(_, remarks)| remarks).map_err(to_python)
}
