//! Any plan, drawn or as text: it is refused with a reason, or it gives the same view each time, from
//! the whole image as from the part that it needs, with every instruction set.

use arbitrary::{Result, Unstructured};
use tied_augment::decode::Limits;
use tied_augment::error::Error;
use tied_augment::image::{ImageRef, Rect};
use tied_augment::plan::{Frame, Geometry, Plan};
use tied_augment::resize::Filter;
use tied_augment::source::Source;
use tied_augment::view::{self, Renderer};

use super::policy::are_many;
use super::{draw, without_best_instructions};

/// Of the image that the plans are for.
const SHAPE: (u32, u32) = (23, 37);

pub fn check(bytes: &[u8]) {
    if bytes.starts_with(b"[") {
        let Ok(plan) = serde_json::from_slice::<Plan>(bytes) else { return };
        let text = serde_json::to_string(&plan).expect("a plan is plain data");
        assert!(serde_json::from_str::<Plan>(&text).expect("a stored plan") == plan, "{text}");
        execute(&plan, SHAPE);
    } else if let Ok(plan) = drawn(&mut Unstructured::new(bytes)) {
        execute(&plan, SHAPE);
    }
}

fn drawn(u: &mut Unstructured<'_>) -> Result<Plan> {
    let side = |u: &mut Unstructured<'_>| match u.int_in_range(0..=31)? {
        0 => u.arbitrary::<u32>(),
        _ => u.int_in_range(1..=60),
    };
    let mut crop = draw::rect(u)?;
    let mut size = (side(u)?, side(u)?);
    let (mut interpolation, mut frame) = (None, None);
    if u.arbitrary()? {
        size = (crop.h, crop.w);
    } else {
        interpolation = Some(*u.choose(&Filter::ALL)?);
        crop = crop.clip(SHAPE.1, SHAPE.0).unwrap_or(crop);
        let place = |u: &mut Unstructured<'_>| match u.int_in_range(0..=31)? {
            0 => u.arbitrary::<i32>(),
            _ => u.arbitrary::<i8>().map(i32::from),
        };
        if u.arbitrary()? {
            let fill = if u.arbitrary()? { Some(u.arbitrary()?) } else { None };
            frame = Some(Frame { resized: (side(u)?, side(u)?), x: place(u)?, y: place(u)?, fill });
        }
    }
    let (hflip, vflip) = (u.arbitrary()?, u.arbitrary()?);
    let geometry = Geometry { crop, interpolation, frame, hflip, vflip };
    Ok(Plan { size, geometry, ops: draw::ops(u, 4)? })
}

/// Executes `plan` on an image of (height, width) `shape`.
pub fn execute(plan: &Plan, shape: (u32, u32)) {
    let pixels: Vec<u8> =
        (0..3 * shape.0 * shape.1).map(|i| (i * i / 7 + i % 3 * 50) as u8).collect();
    let image = ImageRef::new(shape.1, shape.0, &pixels);
    let render = || view::render(Source::Pixels(image), plan, Limits::default());
    if let Err(error) = plan.validate(shape) {
        assert!(matches!(error, Error::Argument(_)), "{error:?}");
        assert_eq!(render().expect_err("an invalid plan").to_string(), error.to_string());
        return;
    }
    let made = plan.geometry.frame.map(|frame| frame.made(plan.size)).unwrap_or_default();
    let pixels = |(height, width): (u32, u32)| u64::from(height) * u64::from(width);
    if pixels(plan.size).max(pixels((made.h, made.w))) > 1 << 13 || are_many(&plan.ops) {
        return;
    }
    let expected = render().expect("a valid plan");
    let mut parts = Vec::new();
    view::needed(std::slice::from_ref(plan), shape, &mut parts);
    let whole = Rect { x: 0, y: 0, w: shape.1, h: shape.0 };
    for (skipped, region) in [(0, parts[0]), (1, whole), (2, parts[0]), (8, whole)] {
        without_best_instructions(skipped);
        let mut out = vec![0; expected.len()];
        Renderer::default().render(image.crop(region), region, plan, &mut out);
        without_best_instructions(0);
        assert!(out == expected, "without {skipped}, from {region:?}: {plan:?}");
    }
}
