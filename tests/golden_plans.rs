//! The plans of a seed against the golden plans that `golden/generate_plans.py` wrote: the same in
//! every release of a major version.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Deserialize;
use tied_augment::ops::Interpolation;
use tied_augment::plan::{Crop, CropMode, Plan, Shared, ViewSpec, plan_views};
use tied_augment::policy::{
    Augment, ColorJitter, EraseMode, Policy, RandomBlur, RandomErasing, RandomSolarize,
};
use tied_augment::resize::Filter;
use tied_augment::rng::Key;

#[derive(Deserialize)]
struct Case {
    view: View,
    same_crop: bool,
    shape: (u32, u32),
    key: KeyFields,
    plans: Vec<Steps>,
}

#[derive(Deserialize)]
struct KeyFields {
    index: u64,
    epoch: u32,
    seed: u64,
}

#[derive(Deserialize)]
struct Steps {
    ops: Plan,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Size {
    Square(u32),
    Sides(u32, u32),
}

/// The fields of the Python class `View` that the cases set, with its defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct View {
    size: Size,
    scale: Option<(f64, f64)>,
    ratio: Option<(f64, f64)>,
    interpolation: String,
    hflip: f64,
    vflip: f64,
    crop: String,
    auto_augment: Option<String>,
    color_jitter: Option<[f64; 4]>,
    color_jitter_prob: f64,
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
}

impl Default for View {
    fn default() -> Self {
        Self {
            size: Size::Square(224),
            scale: None,
            ratio: None,
            interpolation: "random".into(),
            hflip: 0.5,
            vflip: 0.0,
            crop: "rrc".into(),
            auto_augment: None,
            color_jitter: None,
            color_jitter_prob: 1.0,
            grayscale_prob: 0.0,
            gaussian_blur_prob: 0.0,
            gaussian_blur_kernel: Some(23),
            gaussian_blur_sigma: (0.1, 2.0),
            solarize_prob: 0.0,
            solarize_threshold: 128.0,
            cutout: 0,
            re_prob: 0.0,
            re_mode: "const".into(),
            re_count: 1,
            re_num_splits: 0,
        }
    }
}

impl View {
    fn crop(&self) -> Crop {
        let keep_ratio = |random| Crop::KeepRatio {
            scale: self.scale.unwrap_or((0.8, 1.0)),
            ratio: self.ratio.unwrap_or((0.9, 1.0 / 0.9)),
            random,
        };
        let whole = |mode| Crop::Evaluation { mode, crop_pct: 1.0, border: 0 };
        match self.crop.as_str() {
            "rrc" => Crop::RandomResized {
                scale: self.scale.unwrap_or((0.08, 1.0)),
                ratio: self.ratio.unwrap_or((3.0 / 4.0, 4.0 / 3.0)),
            },
            "rkrc" => keep_ratio(false),
            "rkrr" => keep_ratio(true),
            "center" => whole(CropMode::Center),
            "squash" => whole(CropMode::Squash),
            "pad" => Crop::Padded { padding: 4 },
            other => panic!("{other}"),
        }
    }

    fn augment(&self, filters: &[&str]) -> Augment {
        let policy = self.auto_augment.as_deref().map(|text| Policy::parse(text).expect(text).0);
        let jitter = |values| ColorJitter::new(values, self.color_jitter_prob).expect("a jitter");
        Augment {
            policy,
            filters: filters.iter().filter_map(|name| Interpolation::from_name(name)).collect(),
            color_jitter: self.color_jitter.map(jitter),
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
            erasing: (self.re_prob > 0.0).then(|| RandomErasing {
                prob: self.re_prob,
                mode: EraseMode::from_name(&self.re_mode).expect("a mode"),
                max_count: self.re_count,
                skip_first: self.re_num_splits > 1,
            }),
            ..Augment::default()
        }
    }

    fn spec(&self) -> ViewSpec {
        let filters = match self.interpolation.as_str() {
            "random" => vec!["bilinear", "bicubic"],
            name => vec![name],
        };
        ViewSpec {
            size: match self.size {
                Size::Square(side) => (side, side),
                Size::Sides(height, width) => (height, width),
            },
            crop: self.crop(),
            interpolation: filters.iter().filter_map(|name| Filter::from_name(name)).collect(),
            hflip: self.hflip,
            vflip: self.vflip,
            augment: self.augment(&filters),
        }
    }
}

#[test]
fn a_seed_gives_the_golden_plans() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plans.json");
    let file = BufReader::new(File::open(path).expect("the golden plans"));
    let cases: Vec<Case> = serde_json::from_reader(file).expect("a list of cases");
    assert!(cases.len() > 300);
    let mut plans = Vec::new();
    for Case { view, same_crop, shape, key, plans: golden } in cases {
        let spec = view.spec();
        spec.validate().expect("a valid view");
        let shared = if same_crop { Shared::CropAndFlips } else { Shared::Nothing };
        let KeyFields { index, epoch, seed } = key;
        let key = Key { seed, epoch, index, view: 0 };
        plan_views(&[spec.clone(), spec.clone()], shared, shape, key, &mut plans).expect("plans");
        let golden: Vec<_> = golden.into_iter().map(|steps| steps.ops).collect();
        assert_eq!(plans, golden, "{spec:?} of {shape:?}, {key:?}");
    }
}
