//! Where a view's crop lies: timm's and torchvision's algorithms. Draws numbers, touches no pixels.
//!
//! Sizes are (height, width), as in timm. Numbers that decide a box come from `libm`, not from the
//! system's mathematical functions, so that a key gives the same box on every platform.

use crate::image::Rect;
use crate::rng::Stream;

/// The attempts of timm and torchvision before they fall back to a central crop.
const ATTEMPTS: usize = 10;

/// The box of `RandomResizedCropAndInterpolation.get_params` (timm 1.0 `data/transforms.py`).
///
/// Draws an area (`scale` times the image's) and an aspect ratio (width over height, log-uniform
/// over `ratio`) up to ten times. The first box that fits is placed uniformly. If none fits, the
/// box is the largest central one within `ratio`.
///
/// As in torchvision, a box without width or height does not fit. In timm it does and fails later,
/// but only images of a few pixels can have such a box.
pub fn random_resized(
    stream: &mut Stream,
    (height, width): (u32, u32),
    scale: (f64, f64),
    ratio: (f64, f64),
) -> Rect {
    let area = f64::from(width) * f64::from(height);
    let log_ratio = (libm::log(ratio.0), libm::log(ratio.1));
    for _ in 0..ATTEMPTS {
        let target = stream.uniform(scale.0, scale.1) * area;
        let aspect = libm::exp(stream.uniform(log_ratio.0, log_ratio.1));
        let w = (target * aspect).sqrt().round_ties_even();
        let h = (target / aspect).sqrt().round_ties_even();
        if w >= 1.0 && h >= 1.0 && w <= f64::from(width) && h <= f64::from(height) {
            let (w, h) = (w as u32, h as u32);
            let y = stream.below(height - h + 1) as i32;
            let x = stream.below(width - w + 1) as i32;
            return Rect { x, y, w, h };
        }
    }
    central((height, width), ratio)
}

fn central((height, width): (u32, u32), ratio: (f64, f64)) -> Rect {
    let image_ratio = f64::from(width) / f64::from(height);
    let (mut w, mut h) = (width, height);
    if image_ratio < ratio.0 {
        h = (f64::from(width) / ratio.0).round_ties_even().max(1.0) as u32;
    } else if image_ratio > ratio.1 {
        w = (f64::from(height) * ratio.1).round_ties_even().max(1.0) as u32;
    }
    Rect { x: ((width - w) / 2) as i32, y: ((height - h) / 2) as i32, w, h }
}

/// The box of torchvision's `RandomCrop(size, padding=padding)`, in coordinates of the image
/// without its padding. The box may reach outside the image by up to `padding` pixels. `None` if
/// the padded image is smaller than `size`.
pub fn padded(
    stream: &mut Stream,
    (height, width): (u32, u32),
    size: (u32, u32),
    padding: u32,
) -> Option<Rect> {
    let rows = (height + 2 * padding).checked_sub(size.0)?;
    let columns = (width + 2 * padding).checked_sub(size.1)?;
    let y = stream.below(rows + 1) as i32 - padding as i32;
    let x = stream.below(columns + 1) as i32 - padding as i32;
    Some(Rect { x, y, w: size.1, h: size.0 })
}

/// The (height, width) that timm's `ResizeKeepRatio` resizes an image to, with the arguments that
/// timm's training transform gives it (timm 1.0.31 `data/transforms.py`).
///
/// The side that is shorter relative to `size` is made to fit. Then follow, each with probability
/// one half, a zoom by an area from `scale` and a log-uniform change of the aspect ratio from
/// `ratio`.
pub fn keep_ratio(
    stream: &mut Stream,
    (height, width): (u32, u32),
    size: (u32, u32),
    scale: (f64, f64),
    ratio: (f64, f64),
) -> (u32, u32) {
    let (height, width) = (f64::from(height), f64::from(width));
    let fit = (height / f64::from(size.0)).min(width / f64::from(size.1));
    let zoom = if stream.chance(0.5) { 1.0 / stream.uniform(scale.0, scale.1).sqrt() } else { 1.0 };
    let mut factor = (zoom, zoom);
    if stream.chance(0.5) {
        let log_ratio = (libm::log(ratio.0), libm::log(ratio.1));
        let aspect = libm::exp(stream.uniform(log_ratio.0, log_ratio.1)).sqrt();
        factor = (zoom / aspect, zoom * aspect);
    }
    let side = |side: f64, factor: f64| (side * factor / fit).round_ties_even().max(1.0) as u32;
    (side(height, factor.0), side(width, factor.1))
}

/// The (height, width) that timm's `ResizeKeepRatio` resizes an image to in evaluation: within
/// `target`, with one side equal, if `longest`; else around it.
///
/// timm fails where a side would become 0. Here it becomes 1.
pub fn fitted((height, width): (u32, u32), target: (u32, u32), longest: bool) -> (u32, u32) {
    let (height, width) = (f64::from(height), f64::from(width));
    let (down, across) = (height / f64::from(target.0), width / f64::from(target.1));
    let ratio = if longest { down.max(across) } else { down.min(across) };
    let side = |side: f64| (side / ratio).round_ties_even().max(1.0) as u32;
    (side(height), side(width))
}

/// The (height, width) to which timm's evaluation resizes, of which `size` is the fraction
/// `crop_pct`: `scale_size` of `transforms_imagenet_eval`.
pub fn scale_size(size: (u32, u32), crop_pct: f64) -> (u32, u32) {
    let side = |side: u32| (f64::from(side) / crop_pct).floor() as u32;
    (side(size.0), side(size.1))
}

/// The image without `border` pixels on each side, as timm's `TrimBorder` crops it; `None` if
/// nothing is left.
pub fn trimmed((height, width): (u32, u32), border: u32) -> Option<Rect> {
    let both = border.checked_mul(2)?;
    let (h, w) = (height.checked_sub(both)?, width.checked_sub(both)?);
    (h > 0 && w > 0).then_some(Rect { x: border as i32, y: border as i32, w, h })
}

/// The (height, width) of torchvision's `Resize(side)`: the shorter side becomes `side`.
pub fn short_side((height, width): (u32, u32), side: u32) -> (u32, u32) {
    let long = |long, short| (f64::from(side) * f64::from(long) / f64::from(short)) as u32;
    if width <= height { (long(height, width), side) } else { (side, long(width, height)) }
}

/// The (y, x) at which timm's `RandomCropOrPad` places an output of `size` in an image of size
/// `resized`. A larger output contains the image at a random place.
pub fn random_corner(stream: &mut Stream, resized: (u32, u32), size: (u32, u32)) -> (i32, i32) {
    let mut place = |image: u32, output: u32| {
        let offset = stream.below(image.abs_diff(output) + 1) as i32;
        if image < output { -offset } else { offset }
    };
    (place(resized.0, size.0), place(resized.1, size.1))
}

/// The (y, x) at which timm's `CenterCropOrPad` and torchvision's `CenterCrop` place an output of
/// `size` in an image of size `resized`.
pub fn central_corner(resized: (u32, u32), size: (u32, u32)) -> (i32, i32) {
    let place = |image: u32, output: u32| {
        if image < output {
            -(((output - image) / 2) as i32)
        } else {
            (f64::from(image - output) / 2.0).round_ties_even() as i32
        }
    };
    (place(resized.0, size.0), place(resized.1, size.1))
}

#[cfg(test)]
mod tests {
    use super::{central, padded, random_resized, trimmed};
    use crate::image::Rect;
    use crate::rng::{Key, Stream};
    use proptest::prelude::*;

    fn stream(index: u64) -> Stream {
        Stream::new(Key { seed: 0, epoch: 0, index, view: 0 })
    }

    proptest! {
        #[test]
        fn a_crop_lies_inside(height in 1u32..700, width in 1u32..700, index in 0u64..1000) {
            let ratio = (3.0 / 4.0, 4.0 / 3.0);
            let crop = random_resized(&mut stream(index), (height, width), (0.08, 1.0), ratio);
            prop_assert_eq!(crop.clip(width, height), Some(crop));
        }

        #[test]
        fn a_padded_crop_lies_in_the_padding(
            height in 24u32..60,
            width in 24u32..60,
            index in 0u64..1000,
        ) {
            let crop = padded(&mut stream(index), (height, width), (32, 32), 4).unwrap();
            prop_assert!(crop.x >= -4 && crop.x + 32 <= width as i32 + 4);
            prop_assert!(crop.y >= -4 && crop.y + 32 <= height as i32 + 4);
        }
    }

    #[test]
    fn the_fallback_is_central() {
        let ratio = (3.0 / 4.0, 4.0 / 3.0);
        assert_eq!(central((10, 100), ratio), Rect { x: 43, y: 0, w: 13, h: 10 });
        assert_eq!(central((100, 10), ratio), Rect { x: 0, y: 43, w: 10, h: 13 });
        assert_eq!(central((1, 1), ratio), Rect { x: 0, y: 0, w: 1, h: 1 });
    }

    #[test]
    fn a_border_as_wide_as_the_image_leaves_nothing() {
        assert_eq!(trimmed((9, 20), 4), Some(Rect { x: 4, y: 4, w: 12, h: 1 }));
        for shape in [(8, 20), (20, 8)] {
            assert_eq!([4, 5, 1 << 31, u32::MAX].map(|border| trimmed(shape, border)), [None; 4]);
        }
    }

    #[test]
    fn an_image_too_small_for_its_padding_has_no_crop() {
        assert_eq!(padded(&mut stream(0), (20, 40), (32, 32), 4), None);
    }
}
