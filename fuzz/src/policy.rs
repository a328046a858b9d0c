//! Any text as the name of a policy: it is refused with a reason, or it draws ops that are valid, can
//! be stored and change pixels, the same each time.

use tied_augment::error::Error;
use tied_augment::ops::{Interpolation, Op};
use tied_augment::plan::{Crop, CropMode, Plan, Shared, ViewSpec, plan_views};
use tied_augment::policy::{Augment, EraseMode, Policy};
use tied_augment::resize::Filter;
use tied_augment::rng::Key;

use super::plans;

const SIZE: (u32, u32) = (9, 14);

pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = EraseMode::from_name(text);
    assert!(Filter::from_name(text).is_none_or(|filter| filter.name() == text));
    assert!(Interpolation::from_name(text).is_none_or(|filter| filter.name() == text));
    let (policy, remarks) = match Policy::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            assert!(matches!(error, Error::Argument(_)), "{error:?}");
            assert!(error.to_string().starts_with(&format!("auto_augment '{text}': ")), "{error}");
            return;
        }
    };
    assert!(remarks.iter().all(|remark| remark.contains(text)));
    assert_eq!(Policy::parse(text).expect("parsed before"), (policy.clone(), remarks));

    let view = ViewSpec {
        size: SIZE,
        crop: Crop::Evaluation { mode: CropMode::Squash, crop_pct: 1.0, border: 0 },
        interpolation: vec![Filter::Bilinear],
        hflip: 0.0,
        vflip: 0.0,
        augment: Augment {
            policy: Some(policy),
            filters: Interpolation::ALL.to_vec(),
            ..Augment::default()
        },
    };
    view.validate().expect("a policy alone is valid");
    for index in 0..2 {
        let draw = || {
            let mut plans = Vec::new();
            let key = Key { seed: 0, epoch: 0, index, view: 0 };
            plan_views(std::slice::from_ref(&view), Shared::Nothing, SIZE, key, &mut plans)
                .expect("any image will do");
            plans.remove(0)
        };
        let plan = draw();
        assert!(plan == draw(), "another draw");
        plan.validate(SIZE).expect("what is drawn is valid");
        stored(&plan);
        plans::execute(&plan, SIZE);
    }
}

/// A drawn plan is the same after it was stored.
fn stored(plan: &Plan) {
    let text = serde_json::to_string(plan).expect("a plan is plain data");
    let again: Plan = serde_json::from_str(&text).expect("a stored plan");
    assert!(again == *plan, "{text}");
}

/// Whether there are too many ops to apply them all in a moment.
pub fn are_many(ops: &[Op]) -> bool {
    let count = |op: &Op| match op {
        Op::Mix(mix) => mix.chains().iter().map(|chain| 1 + chain.ops.len()).sum(),
        _ => 1,
    };
    ops.iter().map(count).sum::<usize>() > 40
}
