//! Values that are drawn from a fuzzer's bytes. When the bytes are used up, all values are the first
//! of their kind.

use arbitrary::{Result, Unstructured};
use tied_augment::image::Rect;
use tied_augment::ops::{
    AutoContrast, Brightness, Chain, Color, Contrast, Equalize, Erase, Fill, GaussianBlur,
    GaussianKernel, Grayscale, Hue, Interpolation, Invert, Mix, Op, Posterize, Rotate, Sharpness,
    ShearX, ShearY, Solarize, SolarizeAdd, TranslateX, TranslateY,
};
use tied_augment::plan::{Crop, CropMode, ViewSpec};
use tied_augment::policy::{
    Augment, ColorJitter, EraseMode, Normalization, Policy, RandomBlur, RandomErasing,
    RandomSolarize,
};
use tied_augment::resize::Filter;

/// A number of moderate size, or one at which arithmetic goes wrong, or any.
pub fn float(u: &mut Unstructured<'_>) -> Result<f64> {
    Ok(match u.int_in_range(0..=7)? {
        0..=2 => f64::from(u.arbitrary::<u8>()?) / 64.0,
        3..=5 => f64::from(u.arbitrary::<i16>()?) / 256.0,
        6 => *u.choose(&[0.0, -0.0, 0.5, 1.0, 90.0, 255.0, 1e6, -1e6, f64::MIN_POSITIVE])?,
        _ => u.arbitrary()?,
    })
}

/// `len` bytes: the next of the input, repeated as often as needed.
pub fn pixels(u: &mut Unstructured<'_>, len: usize) -> Result<Vec<u8>> {
    let given = u.len().min(len);
    let start = u.bytes(given)?;
    let start = if start.is_empty() { &[0] } else { start };
    Ok(start.iter().copied().cycle().take(len).collect())
}

/// A box that is in or near a small image.
pub fn rect(u: &mut Unstructured<'_>) -> Result<Rect> {
    let corner = |u: &mut Unstructured<'_>| match u.int_in_range(0..=15)? {
        0 => u.arbitrary(),
        _ => u.arbitrary::<i8>().map(|x| i32::from(x) / 2),
    };
    let side = |u: &mut Unstructured<'_>| match u.int_in_range(0..=15)? {
        0 => u.arbitrary(),
        _ => u.int_in_range(1..=40),
    };
    Ok(Rect { x: corner(u)?, y: corner(u)?, w: side(u)?, h: side(u)? })
}

/// Any op. Its arguments may be out of range.
pub fn op(u: &mut Unstructured<'_>) -> Result<Op> {
    let chains = |u: &mut Unstructured<'_>| {
        let chain = |u: &mut Unstructured<'_>| {
            let ops = (0..u.int_in_range(0..=2)?).map(|_| simple_op(u)).collect::<Result<_>>()?;
            Ok(Chain { weight: float(u)? as f32, ops })
        };
        (0..u.int_in_range(0..=3)?).map(|_| chain(u)).collect::<Result<_>>()
    };
    Ok(match u.int_in_range(0..=24)? {
        22 => Mix::Sum { amount: float(u)? as f32, chains: chains(u)? }.into(),
        23 => Mix::Blends { chains: chains(u)? }.into(),
        24 => Mix::Weighted { image: float(u)? as f32, chains: chains(u)? }.into(),
        _ => simple_op(u)?,
    })
}

/// Any op that contains no others.
fn simple_op(u: &mut Unstructured<'_>) -> Result<Op> {
    let fill = |u: &mut Unstructured<'_>| u.arbitrary::<[u8; 3]>();
    let filter = |u: &mut Unstructured<'_>| u.choose(&Interpolation::ALL).copied();
    let floats = |u: &mut Unstructured<'_>| {
        Ok::<_, arbitrary::Error>([float(u)? as f32, float(u)? as f32, float(u)? as f32])
    };
    Ok(match u.int_in_range(0..=20)? {
        0 => AutoContrast {}.into(),
        1 => Equalize {}.into(),
        2 => Invert {}.into(),
        3 => Grayscale {}.into(),
        4 => Brightness { factor: float(u)? }.into(),
        5 => Color { factor: float(u)? }.into(),
        6 => Contrast { factor: float(u)? }.into(),
        7 => Sharpness { factor: float(u)? }.into(),
        8 => Hue { factor: float(u)? / 8.0 }.into(),
        9 => Posterize { bits: u.int_in_range(0..=9)? }.into(),
        10 => Solarize { threshold: float(u)? }.into(),
        11 => SolarizeAdd { add: u.arbitrary()?, threshold: u.int_in_range(0..=300)? }.into(),
        12 => Rotate { degrees: float(u)?, interpolation: filter(u)?, fill: fill(u)? }.into(),
        13 => ShearX { factor: float(u)?, interpolation: filter(u)?, fill: fill(u)? }.into(),
        14 => ShearY { factor: float(u)?, interpolation: filter(u)?, fill: fill(u)? }.into(),
        15 => TranslateX { pixels: float(u)?, interpolation: filter(u)?, fill: fill(u)? }.into(),
        16 => TranslateY { pixels: float(u)?, interpolation: filter(u)?, fill: fill(u)? }.into(),
        17 => GaussianBlur { radius: float(u)? }.into(),
        18 => GaussianKernel { kernel_size: u.int_in_range(0..=90)?, sigma: float(u)? }.into(),
        19 => Erase { area: rect(u)?, fill: Fill::Colour(fill(u)?) }.into(),
        _ => {
            let noise = Fill::Noise { mean: floats(u)?, std: floats(u)?, seed: u.arbitrary()? };
            Erase { area: rect(u)?, fill: noise }.into()
        }
    })
}

/// Any number of `most` ops.
pub fn ops(u: &mut Unstructured<'_>, most: usize) -> Result<Vec<Op>> {
    (0..u.int_in_range(0..=most)?).map(|_| op(u)).collect()
}

const POLICIES: [&str; 10] = [
    "rand-m9-mstd0.5-inc1",
    "rand-n4-m30-mmax40-p1-tweights",
    "rand-n3-p1-t3a",
    "original-mstd2",
    "v0r",
    "augmix-m10-w4-a0.01",
    "augmix-b1",
    "tv-rand-n5-m30",
    "tv-trivial-ibicubic",
    "tv-augmix-m10",
];

/// A probability, seldom another number.
fn chance(u: &mut Unstructured<'_>) -> Result<f64> {
    if u.ratio(1, 60)? { float(u) } else { u.choose(&[0.0, 0.5, 1.0]).copied() }
}

/// Bounds, seldom in the wrong order.
fn bounds(u: &mut Unstructured<'_>, most: f64) -> Result<(f64, f64)> {
    let mut one = || Ok(most * (f64::from(u.arbitrary::<u8>()?) + 1.0) / 256.0);
    let (a, b): (f64, f64) = (one()?, one()?);
    Ok(if u.ratio(1, 60)? { (float(u)?.min(4.0), b) } else { (a.min(b), a.max(b)) })
}

/// A view. Most are valid.
pub fn view(u: &mut Unstructured<'_>) -> Result<ViewSpec> {
    let crop = match u.int_in_range(0..=3)? {
        0 => Crop::RandomResized { scale: bounds(u, 1.0)?, ratio: bounds(u, 4.0)? },
        1 => Crop::Padded { padding: u.int_in_range(0..=40)? },
        2 => Crop::KeepRatio {
            scale: bounds(u, 4.0)?,
            ratio: bounds(u, 4.0)?,
            random: u.arbitrary()?,
        },
        _ => Crop::Evaluation {
            mode: *u.choose(&[CropMode::Center, CropMode::Squash, CropMode::Border])?,
            crop_pct: *u.choose(&[1.0, 0.875, 0.3, 1.7])?,
            border: u.int_in_range(0..=9)?,
        },
    };
    let interpolation = (0..u.int_in_range(0..=2)?).map(|_| u.choose(&Filter::ALL).copied());
    let mut interpolation = interpolation.collect::<Result<Vec<_>>>()?;
    interpolation.push(Filter::Bicubic);
    Ok(ViewSpec {
        size: (u.int_in_range(1..=28)?, u.int_in_range(1..=28)?),
        crop,
        interpolation,
        hflip: chance(u)?,
        vflip: chance(u)?,
        augment: augment(u)?,
    })
}

fn augment(u: &mut Unstructured<'_>) -> Result<Augment> {
    if u.arbitrary()? {
        return Ok(Augment::default());
    }
    let policy = if u.arbitrary()? { Policy::parse(u.choose(&POLICIES)?).ok() } else { None };
    let jitter = [chance(u)?, chance(u)?, chance(u)?, chance(u)? / 2.0];
    let erasing = RandomErasing {
        prob: chance(u)?,
        mode: *u.choose(&[EraseMode::Const, EraseMode::Rand, EraseMode::Pixel])?,
        max_count: u.int_in_range(1..=3)?,
        skip_first: u.arbitrary()?,
    };
    Ok(Augment {
        policy: policy.map(|(policy, _)| policy),
        filters: vec![Interpolation::Bilinear, Interpolation::Bicubic],
        color_jitter: ColorJitter::new(jitter, chance(u)?).ok(),
        grayscale: chance(u)?,
        gaussian_blur: RandomBlur {
            prob: chance(u)?,
            kernel_size: *u.choose(&[None, Some(3), Some(23)])?,
            sigma: bounds(u, 4.0)?,
        },
        solarize: RandomSolarize { prob: chance(u)?, threshold: 128.0 },
        cutout: u.int_in_range(0..=20)?,
        erasing: u.arbitrary::<bool>()?.then_some(erasing),
        normalization: Normalization { mean: [chance(u)?; 3], std: [chance(u)?; 3] },
    })
}
