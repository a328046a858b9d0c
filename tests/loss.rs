//! The loss through the public API: against the formula in plain f64, and what it may not depend
//! on.

use half::{bf16, f16};
use ndarray::{Array1, Array2, ArrayView1, Axis, array, s};
use proptest::prelude::*;
use tied_augment::error::Error;
use tied_augment::loss::{
    Gradients, Inputs, Matrix, MatrixMut, Parts, Similarity, Supervise, Target, TiedLoss,
};
use tied_augment::pool::Pool;

const TIED_WEIGHT: f64 = 0.7;
const SMOOTHING: f64 = 0.1;
const IGNORED: i64 = -100;

fn loss(similarity: Similarity) -> TiedLoss {
    TiedLoss::default()
        .with_similarity(similarity)
        .with_tied_weight(TIED_WEIGHT)
        .with_label_smoothing(SMOOTHING)
        .with_ignore_index(IGNORED)
}

/// A matrix of numbers in (-4, 4), multiples of 1/256: eleven bits, which every dtype but bfloat16
/// holds exactly.
fn numbers(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut state = seed;
    Array2::from_shape_simple_fn((rows, columns), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 53) as f64 / 256.0 - 4.0
    })
}

/// The loss, its cross entropy and its similarity by definition, one number after the other.
fn formula(
    similarity: Similarity,
    supervise: Supervise,
    logits: &Array2<f64>,
    features: &Array2<f64>,
    labels: &Array1<i64>,
) -> [f64; 3] {
    let pairs = logits.nrows() / 2;
    let rows = if supervise == Supervise::First { pairs } else { 2 * pairs };
    let (mut ce, mut counted) = (0.0, 0.0);
    for (row, logits) in logits.rows().into_iter().take(rows).enumerate() {
        let label = labels[row % labels.len()];
        if label == IGNORED {
            continue;
        }
        let log_sum = logits.mapv(f64::exp).sum().ln();
        let own = log_sum - logits[label as usize];
        let all = logits.mapv(|v| log_sum - v).mean().expect("a class");
        ce += (1.0 - SMOOTHING) * own + SMOOTHING * all;
        counted += 1.0;
    }
    let ce = ce / counted;
    let (first, second) = features.view().split_at(Axis(0), pairs);
    let of_pair = |a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>| match similarity {
        Similarity::Mse => (&a - &b).pow2().mean().expect("a feature"),
        Similarity::L1 => (&a - &b).abs().mean().expect("a feature"),
        Similarity::Cosine => 1.0 - a.dot(&b) / (a.dot(&a).sqrt() * b.dot(&b).sqrt()).max(1e-16),
        // The enum may grow: a new similarity has no formula here yet, and its test must fail.
        other => unimplemented!("{other:?}"),
    };
    let pairs_of_rows = first.rows().into_iter().zip(second.rows());
    let similarity = pairs_of_rows.map(|(a, b)| of_pair(a, b)).sum::<f64>() / pairs as f64;
    [ce + TIED_WEIGHT * similarity, ce, similarity]
}

/// The loss without gradients. One lifetime for all views, since ndarray's are invariant.
fn run<'a>(
    loss: &TiedLoss,
    logits: Matrix<'a>,
    features: Matrix<'a>,
    labels: &'a Array1<i64>,
    pool: &Pool,
) -> Parts {
    let inputs = Inputs { logits, features, target: Target::Classes(labels.view().into()) };
    loss.run(&inputs, Gradients::default(), pool).expect("a valid batch")
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
        supervise in prop_oneof![Just(Supervise::Both), Just(Supervise::First)],
    ) {
        let logits = numbers(2 * pairs, classes, seed);
        let features = numbers(2 * pairs, width, !seed);
        let labels = Array1::from_shape_fn(2 * pairs, |i| (i * 7 % classes) as i64);
        let loss = loss(similarity).with_supervise(supervise);
        let pool = Pool::new(1).expect("one thread");
        let run = |logits, features| run(&loss, logits, features, &labels, &pool);
        let expected = formula(similarity, supervise, &logits, &features, &labels);
        let check = |parts: Parts, bound: f64| {
            let actual = [parts.loss, parts.ce, parts.similarity];
            actual.iter().zip(expected).all(|(&actual, expected)| close(actual, expected, bound))
        };
        prop_assert!(check(run(logits.view().into(), features.view().into()), 1e-13));
        let (x, y) = (logits.mapv(|v| v as f32), features.mapv(|v| v as f32));
        let single = run(x.view().into(), y.view().into());
        prop_assert!(check(single, 2e-6));
        let (x, y) = (logits.mapv(f16::from_f64), features.mapv(f16::from_f64));
        prop_assert_eq!(run(x.view().into(), y.view().into()), single);
        let (x, y) = (logits.mapv(bf16::from_f64), features.mapv(bf16::from_f64));
        let (wide_x, wide_y) = (x.mapv(f32::from), y.mapv(f32::from));
        let rounded = run(wide_x.view().into(), wide_y.view().into());
        prop_assert_eq!(run(x.view().into(), y.view().into()), rounded);
    }

    #[test]
    fn gradients_are_the_slope(
        pairs in 1..4usize,
        classes in 1..9usize,
        width in 2..9usize,
        similarity in any_similarity(),
        seed: u64,
    ) {
        let mut logits = numbers(2 * pairs, classes, seed);
        let mut features = numbers(2 * pairs, width, !seed);
        let labels = Array1::from_shape_fn(pairs, |i| (i % classes) as i64);
        let (mut for_logits, mut for_features) = (logits.clone(), features.clone());
        let inputs = Inputs {
            logits: logits.view().into(),
            features: features.view().into(),
            target: Target::Classes(labels.view().into()),
        };
        let gradients = Gradients {
            logits: Some(for_logits.view_mut().into()),
            features: Some(for_features.view_mut().into()),
        };
        let pool = Pool::new(2).expect("two threads");
        loss(similarity).run(&inputs, gradients, &pool).expect("a valid batch");

        const STEP: f64 = 1e-6;
        let value = |logits: &Array2<f64>, features: &Array2<f64>| {
            formula(similarity, Supervise::Both, logits, features, &labels)[0]
        };
        for ((row, column), gradient) in for_logits.indexed_iter() {
            let mut at = |step| {
                let was = logits[[row, column]];
                logits[[row, column]] += step;
                let value = value(&logits, &features);
                logits[[row, column]] = was;
                value
            };
            let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            prop_assert!(close(*gradient, slope, 1e-7));
        }
        for ((row, column), gradient) in for_features.indexed_iter() {
            // No slope where the magnitude of a difference has its corner, or the cosine's norm.
            if features[[row, column]] == features[[(row + pairs) % (2 * pairs), column]] {
                continue;
            }
            let of_row = features.row(row);
            if similarity == Similarity::Cosine && of_row.dot(&of_row) < 0.1 {
                continue;
            }
            let mut at = |step| {
                let was = features[[row, column]];
                features[[row, column]] += step;
                let value = value(&logits, &features);
                features[[row, column]] = was;
                value
            };
            let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            prop_assert!(close(*gradient, slope, 1e-7));
        }
    }
}

#[test]
fn the_result_does_not_depend_on_the_threads() {
    let (pairs, classes, width) = (70, 601, 501);
    let logits = numbers(2 * pairs, classes, 1).mapv(|v| v as f32);
    let features = numbers(2 * pairs, width, 2).mapv(|v| v as f32);
    let labels = Array1::from_shape_fn(pairs, |i| i as u8);
    let inputs = Inputs {
        logits: logits.view().into(),
        features: features.view().into(),
        target: Target::Classes(labels.view().into()),
    };
    for &similarity in Similarity::ALL {
        let run = |threads| {
            let (mut x, mut y) = (logits.clone(), features.clone());
            let gradients = Gradients {
                logits: Some(x.view_mut().into()),
                features: Some(y.view_mut().into()),
            };
            let pool = Pool::new(threads).expect("a few threads");
            let parts = loss(similarity).run(&inputs, gradients, &pool).expect("a valid batch");
            (parts, x, y)
        };
        let alone = run(1);
        assert!([2, 3, 5].into_iter().all(|threads| run(threads) == alone));
    }
}

#[test]
fn rows_that_do_not_count_have_no_gradient() {
    let (logits, features) = (numbers(6, 4, 1), numbers(6, 2, 2));
    let labels = array![0, IGNORED, 2];
    let inputs = Inputs {
        logits: logits.view().into(),
        features: features.view().into(),
        target: Target::Classes(labels.view().into()),
    };
    let mut gradient = Array2::from_elem((6, 4), 9.0);
    let gradients = Gradients { logits: Some(gradient.view_mut().into()), features: None };
    let loss = loss(Similarity::Mse).with_supervise(Supervise::First);
    let pool = Pool::new(1).expect("one thread");
    let parts = loss.run(&inputs, gradients, &pool).expect("a valid batch");
    let expected = formula(Similarity::Mse, Supervise::First, &logits, &features, &labels);
    assert!(close(parts.loss, expected[0], 1e-13));
    let zero: Vec<bool> = gradient.rows().into_iter().map(|row| row == Array1::zeros(4)).collect();
    assert_eq!(zero, [false, true, false, true, true, true]);
}

#[test]
fn a_soft_target_is_the_mean_of_its_classes() {
    let (logits, features) = (numbers(4, 5, 1), numbers(4, 2, 2));
    let pool = Pool::new(1).expect("one thread");
    let run = |target| {
        let inputs =
            Inputs { logits: logits.view().into(), features: features.view().into(), target };
        let mut gradient = Array2::zeros((4, 5));
        let gradients = Gradients { logits: Some(gradient.view_mut().into()), features: None };
        let parts = loss(Similarity::Mse).run(&inputs, gradients, &pool).expect("a valid batch");
        (parts.ce, gradient)
    };
    let [first, second] = [array![0, 1], array![2, 1]];
    let first = run(Target::Classes(first.view().into()));
    let second = run(Target::Classes(second.view().into()));
    let weights = array![[0.25, 0.0, 0.75, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]];
    let soft = run(Target::Soft(weights.view().into()));
    assert!(close(soft.0, 0.25 * first.0 + 0.75 * second.0, 1e-14));
    let mean = 0.25 * first.1 + 0.75 * second.1;
    assert!(soft.1.iter().zip(&mean).all(|(&a, &b)| close(a, b, 1e-14)));
    // Every dtype holds these weights.
    let single = weights.mapv(|weight| weight as f32);
    let half = (weights.mapv(f16::from_f64), weights.mapv(bf16::from_f64));
    for weights in [single.view().into(), half.0.view().into(), half.1.view().into()] {
        assert_eq!(run(Target::Soft(weights)), soft);
    }
}

#[test]
fn without_labels_the_cross_entropy_is_zero() {
    let (logits, features) = (numbers(4, 3, 1), numbers(4, 2, 2));
    let labels = array![IGNORED, IGNORED];
    let inputs = Inputs {
        logits: logits.view().into(),
        features: features.view().into(),
        target: Target::Classes(labels.view().into()),
    };
    let mut gradient = Array2::from_elem((4, 3), 9.0);
    let gradients = Gradients { logits: Some(gradient.view_mut().into()), features: None };
    let pool = Pool::new(1).expect("one thread");
    let loss = TiedLoss::default();
    let parts = loss.run(&inputs, gradients, &pool).expect("a valid batch");
    assert_eq!((parts.ce, parts.loss), (0.0, parts.similarity));
    assert_eq!(gradient, Array2::zeros((4, 3)));
}

#[test]
fn names_are_read_back() {
    for &similarity in Similarity::ALL {
        assert_eq!(similarity.name().parse::<Similarity>().expect("its own name"), similarity);
    }
    assert!(matches!("L1".parse::<Similarity>(), Err(Error::Argument(_))));
}

/// A valid batch of two samples, three classes and two features.
struct Sample {
    logits: Array2<f32>,
    features: Array2<f32>,
    labels: Array1<i32>,
}

impl Sample {
    fn new() -> Self {
        Self {
            logits: Array2::zeros((4, 3)),
            features: Array2::zeros((4, 2)),
            labels: array![0, 1],
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            logits: self.logits.view().into(),
            features: self.features.view().into(),
            target: Target::Classes(self.labels.view().into()),
        }
    }
}

/// Checks that `inputs` are refused with a message that has `words`.
fn check_refused(loss: TiedLoss, inputs: Inputs<'_>, gradients: Gradients<'_>, words: &str) {
    let pool = Pool::new(1).expect("one thread");
    match loss.run(&inputs, gradients, &pool) {
        Err(Error::Argument(message)) => assert!(message.contains(words), "{message}"),
        other => panic!("{other:?}, not {words}"),
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let sample = Sample::new();
    let refused = |loss, words| check_refused(loss, sample.inputs(), Gradients::default(), words);
    let loss = loss(Similarity::Mse);
    refused(loss.with_tied_weight(f64::NAN), "tied_weight must be finite");
    refused(loss.with_label_smoothing(1.5), "label_smoothing must be in [0, 1]");
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let sample = Sample::new();
    let refused =
        |inputs, words| check_refused(loss(Similarity::Mse), inputs, Gradients::default(), words);
    let pool = Pool::new(1).expect("one thread");
    assert!(loss(Similarity::Mse).run(&sample.inputs(), Gradients::default(), &pool).is_ok());

    let Sample { logits, features, .. } = &sample;
    for (part, words) in [
        (logits.slice(s![..0, ..]), "got 0 rows"),
        (logits.slice(s![..3, ..]), "got 3 rows"),
        (logits.slice(s![..2, ..]), "features have 4 rows, logits 2"),
        (logits.slice(s![.., ..0]), "logits must be (2B, C) with C >= 1"),
        (logits.slice(s![.., ..;2]), "logits must be in standard (C) layout"),
    ] {
        refused(Inputs { logits: part.into(), ..sample.inputs() }, words);
    }
    let features = features.slice(s![.., ..0]).into();
    refused(Inputs { features, ..sample.inputs() }, "features must be (2B, D) with D >= 1");
}

#[test]
fn targets_that_do_not_fit_are_refused() {
    let sample = Sample::new();
    let refused = |target, words| {
        let inputs = Inputs { target, ..sample.inputs() };
        check_refused(loss(Similarity::Mse), inputs, Gradients::default(), words);
    };
    let (three, wrong) = (array![0u8, 1, 0], array![0i64, 3]);
    refused(Target::Classes(three.view().into()), "(2,) or (4,), got [3]");
    refused(Target::Classes(wrong.view().into()), "target[1] is 3");
    let (few, wide) = (Array2::<f32>::zeros((3, 3)), Array2::<f64>::zeros((4, 7)));
    refused(Target::Soft(few.view().into()), "(2, 3) or (4, 3), got [3, 3]");
    refused(Target::Soft(wide.view().into()), "(2, 3) or (4, 3), got [4, 7]");
}

#[test]
fn gradients_that_do_not_fit_are_refused() {
    let sample = Sample::new();
    let refused = |gradient: MatrixMut<'_>, words| {
        let gradients = Gradients { logits: Some(gradient), features: None };
        check_refused(loss(Similarity::Mse), sample.inputs(), gradients, words);
    };
    let (mut small, mut double) = (Array2::<f32>::zeros((4, 2)), Array2::<f64>::zeros((4, 3)));
    refused(small.view_mut().into(), "grad_logits must have shape [4, 3], got [4, 2]");
    refused(double.view_mut().into(), "grad_logits must be float32, got float64");
}
