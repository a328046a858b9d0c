//! Policies through the crate's public API: what they draw makes sense for any size and key, and no
//! string brings the parser down. That they mean what timm's do is shown from Python, beside timm.

use proptest::prelude::*;
use tied_augment::ops::{Chain, Interpolation, Mixing, Op};
use tied_augment::policy::{Choice, Level, Name, Policy, RandAugment, Scope};
use tied_augment::rng::{Key, Stream};

const POLICIES: [&str; 16] = [
    "rand-m9-mstd0.5-inc1",
    "rand-m30-n5-p1-mmax40-mstd9-inc1",
    "rand-m30-n5-p1-mmax40-mstd9",
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

fn draw(policy: &Policy, size: (u32, u32), index: u64) -> Vec<Op> {
    let filters = [Interpolation::Bilinear, Interpolation::Bicubic];
    let scope = Scope { size, fill: [124, 116, 104], filters: &filters, translate_pct: 0.45 };
    let mut ops = Vec::new();
    let key = Key { seed: 0, epoch: 0, index, view: 0 };
    policy.draw(&scope, &mut Stream::new(key), &mut ops);
    ops
}

/// How much of the mixed image each chain makes up, and of blends also the image itself.
///
/// A blend's own weight may lie above 1 by rounding, as timm's: it is a quotient of what hardly
/// anything is left of.
fn shares(mixing: Mixing, chains: &[Chain]) -> Vec<f32> {
    if mixing != Mixing::Blends {
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
    fn ops_make_sense(which in 0..POLICIES.len(), height in 1u32..500, width in 1u32..500, index: u64) {
        let (policy, remarks) = Policy::parse(POLICIES[which]).unwrap();
        prop_assert!(remarks.is_empty());
        let ops = draw(&policy, (height, width), index);
        for op in &ops {
            prop_assert!(op.validate().is_ok(), "{op:?}");
            if let Op::Mix { mixing, chains } = op {
                for share in shares(*mixing, chains) {
                    prop_assert!((-1e-6..=1.0 + 1e-6).contains(&share), "{op:?}");
                }
            }
        }
        prop_assert_eq!(&ops, &draw(&policy, (height, width), index));
    }

    #[test]
    fn no_string_panics(head in "(rand|augmix|v0|original|3a|tv|trivial|tv-rand|tv-augmix|\\PC*)", rest in "(-[a-z]{0,4}\\PC{0,6}){0,4}") {
        if let Ok((policy, _)) = Policy::parse(&format!("{head}{rest}")) {
            draw(&policy, (32, 32), 0);
        }
    }
}

#[test]
fn a_policy_may_be_declared_without_a_string() {
    // timm's absolute translations, which no config string of timm's names: 45% of the shorter side.
    let policy = Policy::RandAugment(RandAugment {
        num_ops: 1,
        prob: 1.0,
        level: Level { magnitude: 10.0, std: 0.0, max: Level::DENOMINATOR },
        choice: Choice::Even(&[Name::TranslateX, Name::TranslateY]),
    });
    let mut seen = [0; 2];
    for index in 0..100 {
        match draw(&policy, (49, 300), index)[..] {
            [Op::TranslateX { pixels, .. }] if pixels.abs() == 22.0 => seen[0] += 1,
            [Op::TranslateY { pixels, .. }] if pixels.abs() == 22.0 => seen[1] += 1,
            ref ops => panic!("{ops:?}"),
        }
    }
    assert!(seen[0] > 20 && seen[1] > 20, "{seen:?}");
}

#[test]
fn blended_chains_leave_the_image_its_share() {
    let (policy, _) = Policy::parse("augmix-b1-w4").unwrap();
    for index in 0..100 {
        let [Op::Mix { ref chains, .. }] = draw(&policy, (32, 32), index)[..] else {
            panic!("one mix");
        };
        // The image keeps 1 - m: what every blend leaves of it. m has the distribution of a uniform.
        let rest: f32 = chains.iter().map(|chain| 1.0 - chain.weight).product();
        assert!((0.0..=1.0).contains(&rest), "{chains:?}");
    }
}
