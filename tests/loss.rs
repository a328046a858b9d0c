//! The loss through the public API: against the formula in plain f64, and what it may not depend on.

use half::{bf16, f16};
use proptest::prelude::*;
use tied_augment::error::Error;
use tied_augment::loss::{
    Batch, Floats, FloatsMut, Gradients, Labels, Parts, Similarity, Target, TiedLoss,
};
use tied_augment::pool::Pool;

fn loss(similarity: Similarity) -> TiedLoss {
    TiedLoss {
        tied_weight: 0.7,
        similarity,
        label_smoothing: 0.1,
        first_only: false,
        ignore_index: -100,
    }
}

/// `2 * pairs` rows of numbers in (-4, 4), with one decimal place and a bit.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 53) as f64 / 256.0 - 4.0
    };
    (0..count).map(|_| next()).collect()
}

/// The definition, one number after the other.
fn formula(
    loss: &TiedLoss,
    pairs: usize,
    (logits, features): (&[f64], &[f64]),
    labels: &[i64],
) -> Parts {
    let (classes, width) = (logits.len() / 2 / pairs, features.len() / 2 / pairs);
    let rows = if loss.first_only { pairs } else { 2 * pairs };
    let (mut ce, mut counted) = (0.0, 0.0);
    for (row, logits) in logits.chunks(classes).take(rows).enumerate() {
        let label = labels[row % labels.len()];
        if label == loss.ignore_index {
            continue;
        }
        let log_sum = logits.iter().map(|v| v.exp()).sum::<f64>().ln();
        let own = log_sum - logits[label as usize];
        let all = logits.iter().map(|v| log_sum - v).sum::<f64>() / classes as f64;
        ce += (1.0 - loss.label_smoothing) * own + loss.label_smoothing * all;
        counted += 1.0;
    }
    let ce = ce / counted;
    let (first, second) = features.split_at(pairs * width);
    let distances = first.chunks(width).zip(second.chunks(width)).map(|(a, b)| {
        let sum = |term: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(&a, &b)| term(a, b)).sum();
        let product: f64 = sum(&|a, b| a * b);
        let norms: f64 = f64::sqrt(sum(&|a, _| a * a)) * f64::sqrt(sum(&|_, b| b * b));
        match loss.similarity {
            Similarity::Mse => sum(&|a, b| (a - b) * (a - b)) / width as f64,
            Similarity::L1 => sum(&|a, b| (a - b).abs()) / width as f64,
            Similarity::Cosine => 1.0 - product / norms.max(1e-16),
        }
    });
    let similarity = distances.sum::<f64>() / pairs as f64;
    Parts { loss: ce + loss.tied_weight * similarity, ce, similarity }
}

fn close(a: f64, b: f64, bound: f64) -> bool {
    (a - b).abs() <= bound * (1.0 + b.abs())
}

fn any_similarity() -> impl Strategy<Value = Similarity> {
    prop_oneof![Just(Similarity::Mse), Just(Similarity::L1), Just(Similarity::Cosine)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn equals_the_formula_in_every_dtype(
        pairs in 1..7usize,
        classes in 1..150usize,
        width in 1..150usize,
        similarity in any_similarity(),
        seed: u64,
        first_only: bool,
    ) {
        let loss = TiedLoss { first_only, ..loss(similarity) };
        let (logits, features) = (numbers(2 * pairs * classes, seed), numbers(2 * pairs * width, !seed));
        let labels: Vec<i64> = (0..2 * pairs as i64).map(|i| i * 7 % classes as i64).collect();
        let target = Target::Classes(Labels::I64(&labels));
        let pool = Pool::new(1).expect("one thread");
        let run = |logits, features| {
            let batch = Batch { pairs, logits, features, target };
            loss.run(&batch, Gradients::default(), &pool).expect("a valid batch")
        };
        let expected = formula(&loss, pairs, (&logits, &features), &labels);
        let check = |parts: Parts, bound: f64| {
            close(parts.loss, expected.loss, bound)
                && close(parts.ce, expected.ce, bound)
                && close(parts.similarity, expected.similarity, bound)
        };
        prop_assert!(check(run(Floats::F64(&logits), Floats::F64(&features)), 1e-13));
        // The numbers have eleven bits: float32 and float16 hold them exactly.
        let to_f32 = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
        let (x, y) = (to_f32(&logits), to_f32(&features));
        let single = run(Floats::F32(&x), Floats::F32(&y));
        prop_assert!(check(single, 2e-6));
        let to_f16 = |v: &[f64]| v.iter().map(|&v| f16::from_f64(v)).collect::<Vec<_>>();
        let (x, y) = (to_f16(&logits), to_f16(&features));
        prop_assert_eq!(run(Floats::F16(&x), Floats::F16(&y)), single);
        let to_bf16 = |v: &[f64]| v.iter().map(|&v| bf16::from_f64(v)).collect::<Vec<_>>();
        let (x, y) = (to_bf16(&logits), to_bf16(&features));
        let wide = |v: &[bf16]| v.iter().map(|v| v.to_f32()).collect::<Vec<_>>();
        let (wide_x, wide_y) = (wide(&x), wide(&y));
        let rounded = run(Floats::F32(&wide_x), Floats::F32(&wide_y));
        prop_assert_eq!(run(Floats::Bf16(&x), Floats::Bf16(&y)), rounded);
    }

    #[test]
    fn gradients_are_the_slope(
        pairs in 1..4usize,
        classes in 1..9usize,
        width in 2..9usize,
        similarity in any_similarity(),
        seed: u64,
    ) {
        let loss = loss(similarity);
        let mut logits = numbers(2 * pairs * classes, seed);
        let mut features = numbers(2 * pairs * width, !seed);
        let labels: Vec<i64> = (0..pairs as i64).map(|i| i % classes as i64).collect();
        let (mut for_logits, mut for_features) = (logits.clone(), features.clone());
        let batch = Batch {
            pairs,
            logits: Floats::F64(&logits),
            features: Floats::F64(&features),
            target: Target::Classes(Labels::I64(&labels)),
        };
        let gradients = Gradients {
            logits: Some(FloatsMut::F64(&mut for_logits)),
            features: Some(FloatsMut::F64(&mut for_features)),
        };
        let pool = Pool::new(2).expect("two threads");
        loss.run(&batch, gradients, &pool).expect("a valid batch");

        const STEP: f64 = 1e-6;
        for i in 0..logits.len() {
            let was = logits[i];
            let mut at = |v| {
                logits[i] = v;
                formula(&loss, pairs, (&logits, &features), &labels).loss
            };
            let slope = (at(was + STEP) - at(was - STEP)) / (2.0 * STEP);
            at(was);
            prop_assert!(close(for_logits[i], slope, 1e-7));
        }
        for i in 0..features.len() {
            // No slope where the magnitude of a difference has its corner, or the cosine's norm.
            let half = features.len() / 2;
            if features[i] == features[(i + half) % (2 * half)] {
                continue;
            }
            let row = &features[i / width * width..][..width];
            if similarity == Similarity::Cosine && row.iter().map(|v| v * v).sum::<f64>() < 0.1 {
                continue;
            }
            let was = features[i];
            let mut at = |v| {
                features[i] = v;
                formula(&loss, pairs, (&logits, &features), &labels).loss
            };
            let slope = (at(was + STEP) - at(was - STEP)) / (2.0 * STEP);
            at(was);
            prop_assert!(close(for_features[i], slope, 1e-7));
        }
    }
}

#[test]
fn the_result_does_not_depend_on_the_threads() {
    let (pairs, classes, width) = (70, 601, 501);
    let single = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect::<Vec<_>>();
    let logits = single(numbers(2 * pairs * classes, 1));
    let features = single(numbers(2 * pairs * width, 2));
    let labels: Vec<u8> = (0..pairs as u8).collect();
    let batch = Batch {
        pairs,
        logits: Floats::F32(&logits),
        features: Floats::F32(&features),
        target: Target::Classes(Labels::U8(&labels)),
    };
    for similarity in Similarity::ALL {
        let run = |threads| {
            let (mut x, mut y) = (logits.clone(), features.clone());
            let gradients = Gradients {
                logits: Some(FloatsMut::F32(&mut x)),
                features: Some(FloatsMut::F32(&mut y)),
            };
            let pool = Pool::new(threads).expect("a few threads");
            let parts = loss(similarity).run(&batch, gradients, &pool).expect("a valid batch");
            (parts, x, y)
        };
        let alone = run(1);
        assert!([2, 3, 5].into_iter().all(|threads| run(threads) == alone));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (logits, features, labels) = ([0f32; 12], [0f32; 8], [0i32, 1]);
    let good = Batch {
        pairs: 2,
        logits: Floats::F32(&logits),
        features: Floats::F32(&features),
        target: Target::Classes(Labels::I32(&labels)),
    };
    let pool = Pool::new(1).expect("one thread");
    let refused = |loss: TiedLoss, batch: Batch<'_>, gradients: Gradients<'_>| {
        let result = loss.run(&batch, gradients, &pool);
        assert!(matches!(result, Err(Error::Argument(_))), "{result:?}");
    };
    let mse = loss(Similarity::Mse);
    let none = Gradients::default;
    assert!(mse.run(&good, none(), &pool).is_ok());
    refused(TiedLoss { tied_weight: f64::NAN, ..mse }, good, none());
    refused(TiedLoss { label_smoothing: 1.5, ..mse }, good, none());
    refused(mse, Batch { pairs: 0, ..good }, none());
    refused(mse, Batch { logits: Floats::F32(&logits[..11]), ..good }, none());
    refused(mse, Batch { features: Floats::F32(&[]), ..good }, none());
    refused(mse, Batch { target: Target::Classes(Labels::I32(&[0, 1, 0])), ..good }, none());
    refused(mse, Batch { target: Target::Classes(Labels::I32(&[0, 3])), ..good }, none());
    refused(mse, Batch { target: Target::Soft(Floats::F32(&[0.0; 7])), ..good }, none());
    let mut small = [0f32; 11];
    let gradients = Gradients { logits: Some(FloatsMut::F32(&mut small)), features: None };
    refused(mse, good, gradients);
    let mut other = [0f64; 12];
    let gradients = Gradients { logits: Some(FloatsMut::F64(&mut other)), features: None };
    refused(mse, good, gradients);
}
