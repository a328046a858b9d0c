//! Policies through the public API: their ops are valid for any size and key, and no string makes
//! the parser panic. The Python tests compare them with timm's.

use proptest::prelude::*;
use tied_augment::image::Rect;
use tied_augment::ops::{Erase, Interpolation, Mix, Op};
use tied_augment::plan::{Crop, CropMode, Shared, ViewSpec, plan_views};
use tied_augment::policy::{Augment, EraseMode, Policy, RandomErasing};
use tied_augment::resize::Filter;
use tied_augment::rng::Key;

const POLICIES: [&str; 17] = [
    "rand-m9-mstd0.5-inc1",
    "rand-m30-n5-p1-mmax40-mstd9-inc1",
    "rand-m30-n5-p1-mmax40-mstd9",
    "rand-m600-n5-p1-mmax600",
    "rand-n15-p1-tweights",
    "rand-n14-p1-t3aw-mstd101",
    "rand-n3-p1-t3a",
    "original-mstd2",
    "originalr-mstd9",
    "v0-mstd2",
    "v0r-mstd9",
    "3a-mstd9",
    "augmix-m10-w4-a0.01",
    "augmix-m10-b1-a0.01",
    "tv-rand-n5-m30",
    "tv-trivial",
    "tv-augmix-m10-a0.01",
];

fn view(size: (u32, u32), augment: Augment) -> ViewSpec {
    ViewSpec {
        size,
        crop: Crop::Evaluation { mode: CropMode::Squash, crop_pct: 1.0, border: 0 },
        interpolation: vec![Filter::Bilinear],
        hflip: 0.0,
        vflip: 0.0,
        augment,
    }
}

fn ops_of(view: &ViewSpec, index: u64) -> Vec<Op> {
    let key = Key { seed: 0, epoch: 0, index, view: 0 };
    let mut plans = Vec::new();
    plan_views(std::slice::from_ref(view), Shared::Nothing, view.size, key, &mut plans)
        .expect("any image will do");
    plans.remove(0).ops
}

/// The ops of a view with this policy.
fn draw(policy: &Policy, size: (u32, u32), index: u64) -> Vec<Op> {
    let augment = Augment {
        policy: Some(policy.clone()),
        filters: vec![Interpolation::Bilinear, Interpolation::Bicubic],
        ..Augment::default()
    };
    ops_of(&view(size, augment), index)
}

/// The share of each chain in the mixed image, and with blends the share of the image itself.
///
/// Rounding may make a blend's weight exceed 1, as in timm: it is a quotient of two small numbers.
fn shares(mix: &Mix) -> Vec<f32> {
    let chains = mix.chains();
    if !matches!(mix, Mix::Blends { .. }) {
        return chains.iter().map(|chain| chain.weight).collect();
    }
    let mut rest = 1.0;
    let mut shares = Vec::new();
    for chain in chains.iter().rev() {
        shares.push(chain.weight * rest);
        rest *= 1.0 - chain.weight;
    }
    shares.push(rest);
    shares
}

proptest! {
    #[test]
    fn ops_are_valid_and_repeatable(
        which in 0..POLICIES.len(),
        height in 1u32..500,
        width in 1u32..500,
        index: u64,
    ) {
        let (policy, remarks) = Policy::parse(POLICIES[which]).unwrap();
        prop_assert!(remarks.is_empty());
        let ops = draw(&policy, (height, width), index);
        for op in &ops {
            prop_assert!(op.validate().is_ok(), "{op:?}");
            if let Op::Mix(mix) = op {
                for share in shares(mix) {
                    prop_assert!((-1e-6..=1.0 + 1e-6).contains(&share), "{op:?}");
                }
            }
        }
        prop_assert_eq!(&ops, &draw(&policy, (height, width), index));
    }

    #[test]
    fn no_string_panics(
        head in "(rand|augmix|v0|original|3a|tv|trivial|tv-rand|tv-augmix|\\PC*)",
        rest in "(-[a-z]{0,4}\\PC{0,6}){0,4}",
    ) {
        if let Ok((policy, _)) = Policy::parse(&format!("{head}{rest}")) {
            draw(&policy, (32, 32), 0);
        }
    }
}

#[test]
fn blended_chains_leave_the_image_its_share() {
    let (policy, _) = Policy::parse("augmix-b1-w4").unwrap();
    for index in 0..100 {
        let [Op::Mix(ref mix)] = draw(&policy, (32, 32), index)[..] else {
            panic!("one mix");
        };
        // The image keeps 1 - m, the part that all blends leave of it. m is from 0 to 1.
        let rest: f32 = mix.chains().iter().map(|chain| 1.0 - chain.weight).product();
        assert!((0.0..=1.0).contains(&rest), "{mix:?}");
    }
}

#[test]
fn the_ops_of_all_chains_are_bounded_together() {
    for (good, bad) in [
        ("augmix-w100-d10", "augmix-w1000-d2"),
        ("augmix-w1000", "augmix-w2-d501"),
        ("tv-augmix-w1-d1000", "tv-augmix-w1000-d1000"),
    ] {
        assert!(Policy::parse(good).is_ok(), "{good}");
        let error = Policy::parse(bad).expect_err(bad).to_string();
        assert!(error.contains("are more than 1000 ops"), "{error}");
    }
}

#[test]
fn an_erased_box_lies_within_the_view() {
    let erasing =
        RandomErasing { prob: 1.0, mode: EraseMode::Const, max_count: 1, skip_first: false };
    // In such a view, most boxes that are drawn have no room.
    let view = view((6, 200), Augment { erasing: Some(erasing), ..Augment::default() });
    let mut boxes = 0;
    for index in 0..200 {
        for op in ops_of(&view, index) {
            let Op::Erase(Erase { area: Rect { x, y, w, h }, .. }) = op else { panic!("{op:?}") };
            assert!(h < 6 && y >= 0 && y as u32 + h <= 6, "{y} {h}");
            assert!(w < 200 && x >= 0 && x as u32 + w <= 200, "{x} {w}");
            boxes += 1;
        }
    }
    assert!((20..200).contains(&boxes), "{boxes}");
}
