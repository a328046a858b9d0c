//! The bounds of views and plans: the last value that is taken and the first that is refused.

use tied_augment::batch::Pipeline;
use tied_augment::error::{Error, Result};
use tied_augment::image::Rect;
use tied_augment::plan::{Crop, CropMode, Frame, Geometry, Plan, Shared, ViewSpec};
use tied_augment::policy::{Augment, RandomBlur};
use tied_augment::resize::Filter;
use tied_augment::rng::Key;

fn view(size: (u32, u32), crop: Crop) -> ViewSpec {
    ViewSpec {
        size,
        crop,
        interpolation: vec![Filter::Bilinear],
        hflip: 0.5,
        vflip: 0.0,
        augment: Augment::default(),
    }
}

fn random_resized(scale: (f64, f64), ratio: (f64, f64)) -> Crop {
    Crop::RandomResized { scale, ratio }
}

fn keep_ratio(scale: (f64, f64), ratio: (f64, f64)) -> Crop {
    Crop::KeepRatio { scale, ratio, random: true }
}

fn evaluation(crop_pct: f64) -> Crop {
    Crop::Evaluation { mode: CropMode::Center, crop_pct, border: 0 }
}

/// A crop that is not resized.
fn cropped(crop: Rect, size: (u32, u32)) -> Plan {
    let geometry = Geometry { crop, ..Geometry::default() };
    Plan { size, geometry, ops: Vec::new() }
}

fn resized(crop: Rect, size: (u32, u32), frame: Option<Frame>) -> Plan {
    let mut plan = cropped(crop, size);
    plan.geometry.interpolation = Some(Filter::Nearest);
    plan.geometry.frame = frame;
    plan
}

fn rect(x: i32, y: i32, w: u32, h: u32) -> Rect {
    Rect { x, y, w, h }
}

#[track_caller]
fn check_refused(result: Result<()>, words: &str) {
    match result {
        Err(Error::Argument(message)) => assert!(message.contains(words), "{message}"),
        other => panic!("{other:?} in place of '{words}'"),
    }
}

#[test]
fn a_views_fields_have_bounds() {
    let usual = || view((8, 8), random_resized((0.08, 1.0), (0.75, 1.5)));
    for size in [(1, 1), (1 << 15, 1), (1, 1 << 15)] {
        ViewSpec { size, ..usual() }.validate().unwrap();
    }
    for size in [(0, 1), (1, 0), ((1 << 15) + 1, 1), (1, (1 << 15) + 1)] {
        check_refused(ViewSpec { size, ..usual() }.validate(), "size must be from 1 to 32768");
    }
    for p in [0.0, 1.0] {
        ViewSpec { hflip: p, vflip: p, ..usual() }.validate().unwrap();
    }
    for p in [-1e-9, 1.0 + 1e-9, f64::NAN] {
        check_refused(ViewSpec { hflip: p, ..usual() }.validate(), "hflip must be a probability");
        check_refused(ViewSpec { vflip: p, ..usual() }.validate(), "vflip must be a probability");
    }
    let none = ViewSpec { interpolation: Vec::new(), ..usual() };
    check_refused(none.validate(), "at least one filter");
}

#[test]
fn a_crops_numbers_have_bounds() {
    let one = (1.0, 1.0);
    let taken = [
        random_resized((1e-9, 1.0), (1e-9, 1e6)),
        random_resized((0.5, 0.5), one),
        keep_ratio((0.1, 1e3), (1.0, 1e6)),
        Crop::Padded { padding: 0 },
        Crop::Padded { padding: 1 << 15 },
        evaluation(8.0 / f64::from(1 << 20)),
        evaluation(8.0),
    ];
    for crop in taken {
        view((8, 8), crop).validate().unwrap();
    }
    let refused = [
        (random_resized((0.0, 1.0), one), "scale must be (low, high) with 0 < low <= high <= 1,"),
        (random_resized((0.5, 0.4), one), "scale must be"),
        (random_resized((0.5, 1.0 + 1e-9), one), "scale must be"),
        (random_resized((f64::NAN, 1.0), one), "scale must be"),
        (random_resized(one, (0.0, 1.0)), "ratio must be"),
        (random_resized(one, (2.0, 1.0)), "ratio must be"),
        (random_resized(one, (1.0, 1e6 + 1.0)), "ratio must be"),
        (keep_ratio((1.0, 1001.0), one), "scale must be (low, high) with 0 < low <= high <= 1000"),
        (keep_ratio(one, (1.0, f64::INFINITY)), "ratio must be"),
        (Crop::Padded { padding: (1 << 15) + 1 }, "padding must be from 0 to 32768"),
        (evaluation(8.0 / f64::from((1 << 20) + 2)), "crop_pct must be a fraction"),
        (evaluation(8.0 + 1e-9), "crop_pct must be a fraction"),
        (evaluation(0.0), "crop_pct must be a fraction"),
        (evaluation(f64::NAN), "crop_pct must be a fraction"),
    ];
    for (crop, words) in refused {
        check_refused(view((8, 8), crop).validate(), words);
    }
}

#[test]
fn a_blurs_numbers_have_bounds() {
    let validate = |prob, kernel_size, sigma, size| {
        let gaussian_blur = RandomBlur { prob, kernel_size, sigma };
        let augment = Augment { gaussian_blur, ..Augment::default() };
        ViewSpec { augment, ..view(size, evaluation(1.0)) }.validate()
    };
    let (sigma, size) = ((0.1, 2.0), (12, 12));
    for (prob, kernel, sigma, size) in [
        (1.0, Some(23), sigma, size),
        (0.0, Some((1 << 15) - 1), sigma, (1, 1)),
        (1.0, None, (0.0, 0.0), (1, 1)),
        (1.0, Some(1), (1e-9, 1e4), (1, 1)),
    ] {
        validate(prob, kernel, sigma, size).unwrap();
    }
    for (prob, kernel, sigma, size, words) in [
        (1.0 + 1e-9, None, sigma, size, "gaussian_blur_prob must be a probability"),
        (1e-9, Some(23), sigma, (11, 12), "needs a size of at least 12 a side"),
        (1e-9, Some(23), sigma, (12, 11), "needs a size of at least 12 a side"),
        (0.0, Some((1 << 15) + 1), sigma, size, "gaussian_blur_kernel must be odd and at most"),
        (0.0, Some(22), sigma, size, "gaussian_blur_kernel must be odd"),
        (0.0, Some(23), (0.0, 1.0), size, "with 0 < low <= high"),
        (0.0, None, (-1e-9, 1.0), size, "with 0 <= low <= high"),
        (0.0, None, (2.0, 1.0), size, "gaussian_blur_sigma must be"),
        (0.0, None, (1.0, 1e4 + 1.0), size, "gaussian_blur_sigma must be"),
    ] {
        check_refused(validate(prob, kernel, sigma, size), words);
    }
}

#[test]
fn evaluation_resizes_to_more_than_the_view() {
    for (mode, resized, (y, x)) in [
        (CropMode::Center, (32, 16), (12, 4)),
        (CropMode::Squash, (16, 16), (4, 4)),
        (CropMode::Border, (16, 8), (4, 0)),
    ] {
        let views = vec![view((8, 8), Crop::Evaluation { mode, crop_pct: 0.5, border: 0 })];
        let pipeline = Pipeline::new(views, Shared::Nothing).unwrap();
        let key = Key { seed: 0, epoch: 0, index: 0, view: 0 };
        let plan = pipeline.plan((100, 50), key).unwrap().remove(0);
        assert_eq!(plan.geometry.frame, Some(Frame { resized, x, y, fill: None }), "{mode:?}");
    }
}

#[test]
fn an_image_that_is_planned_for_has_bounds() {
    let pipeline = Pipeline::new(vec![view((1, 1), Crop::Padded { padding: 0 })], Shared::Nothing);
    let pipeline = pipeline.unwrap();
    let plan = |shape| pipeline.plan(shape, Key { seed: 0, epoch: 0, index: 0, view: 0 });
    let longest = (1 << 30) - 1;
    for shape in [(1, 1), (1, longest), (longest, 1)] {
        plan(shape).unwrap();
    }
    for shape in [(0, 1), (1, 0), (1, longest + 1), (longest + 1, 1)] {
        check_refused(plan(shape).map(drop), "cannot be cropped");
    }
}

#[test]
fn a_plans_crop_has_bounds() {
    let image = (10, 20);
    for side in [1, 1 << 15] {
        cropped(rect(0, 0, side, 1), (1, side)).validate(image).unwrap();
        cropped(rect(0, 0, 1, side), (side, 1)).validate(image).unwrap();
    }
    for (size, crop) in [
        ((0, 1), rect(0, 0, 1, 0)),
        ((1, 0), rect(0, 0, 0, 1)),
        (((1 << 15) + 1, 1), rect(0, 0, 1, (1 << 15) + 1)),
        ((1, (1 << 15) + 1), rect(0, 0, (1 << 15) + 1, 1)),
    ] {
        check_refused(cropped(crop, size).validate(image), "size must be from 1 to 32768");
    }
    let far = 1 << 30;
    for (x, y) in [(far, far), (-far, -far)] {
        cropped(rect(x, y, 2, 1), (1, 2)).validate(image).unwrap();
    }
    let long = far as u32 + 1;
    for crop in [
        rect(far + 1, 0, 2, 1),
        rect(0, far + 1, 2, 1),
        rect(-far - 1, 0, 2, 1),
        rect(0, -far - 1, 2, 1),
        rect(0, 0, 0, 1),
        rect(0, 0, 2, 0),
        rect(0, 0, long, 1),
        rect(0, 0, 2, long),
    ] {
        check_refused(cropped(crop, (1, 2)).validate(image), "is not a part of an image");
    }
    for crop in [rect(0, 0, 3, 1), rect(0, 0, 2, 2)] {
        check_refused(cropped(crop, (1, 2)).validate(image), "must have the output's size");
    }
}

#[test]
fn a_resize_has_bounds() {
    let longest = 1 << 20;
    let shape = (longest + 1, longest + 1);
    for crop in [rect(0, 0, longest, 1), rect(1, 0, longest, 1), rect(0, 1, 1, longest)] {
        resized(crop, (4, 4), None).validate(shape).unwrap();
    }
    for crop in [rect(0, 0, longest + 1, 1), rect(0, 0, 1, longest + 1)] {
        check_refused(resized(crop, (4, 4), None).validate(shape), "cannot be resized to 4 x 4");
    }
    for crop in [rect(-1, 0, 4, 4), rect(0, -1, 4, 4), rect(17, 0, 4, 4), rect(0, 7, 4, 4)] {
        check_refused(resized(crop, (4, 4), None).validate((10, 20)), "reaches outside the image");
    }
    resized(rect(16, 6, 4, 4), (4, 4), None).validate((10, 20)).unwrap();
}

#[test]
fn a_frame_has_bounds() {
    let whole = rect(0, 0, 20, 10);
    let plan = |resized_to, (x, y), fill| {
        let frame = Frame { resized: resized_to, x, y, fill };
        resized(whole, (4, 4), Some(frame)).validate((10, 20))
    };
    let longest = 1 << 24;
    for to in [(longest, 8), (8, longest), (1, 1)] {
        plan(to, (0, 0), Some([0; 3])).unwrap();
    }
    for to in [(longest + 1, 8), (8, longest + 1), (0, 8), (8, 0)] {
        check_refused(plan(to, (0, 0), Some([0; 3])), "cannot be resized");
    }
    // Mirrored pixels may come from anywhere, so that all of the resized image is made.
    let side = 1 << 14;
    let end = side as i32;
    for corner in [(-1, -1), (end - 3, end - 3)] {
        plan((side, side), corner, None).unwrap();
    }
    for corner in [(-1, -1), (end + 1, end - 3)] {
        check_refused(plan((side, side + 4), corner, None), "cannot be resized to 16384 x 16388");
    }
    for corner in [(-1, -1), (end - 3, end + 1)] {
        check_refused(plan((side + 4, side), corner, None), "cannot be resized to 16388 x 16384");
    }
    // Here the output mirrors nothing, and only its part is made.
    for corner in [(0, 0), (end, end - 4)] {
        plan((side, side + 4), corner, None).unwrap();
    }
    let frame = Frame { resized: (4, 4), x: 0, y: 0, fill: None };
    let mut unresized = cropped(rect(0, 0, 4, 4), (4, 4));
    unresized.geometry.frame = Some(frame);
    check_refused(unresized.validate((10, 20)), "must have the output's size");
}
