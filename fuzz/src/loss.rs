//! The loss and its gradients for matrices of any shape, with NaN, infinities and labels that don't
//! exist: refused with a reason, or the same for all threads and for all dtypes that hold the same
//! numbers. What is wrong with a row shows in its own gradient only.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use half::{bf16, f16};
use ndarray::{Array1, Array2, ArrayView2, s};
use tied_augment::error::Error;
use tied_augment::loss::{
    Gradients, Inputs, Matrix, Parts, Similarity, Supervise, Target, TiedLoss,
};
use tied_augment::pool::Pool;

use super::draw;

static POOLS: LazyLock<[Pool; 2]> =
    LazyLock::new(|| [1, 2].map(|n| Pool::new(n).expect("threads")));

pub fn check(bytes: &[u8]) {
    // An error only means that the bytes are used up.
    let _ = drawn(&mut Unstructured::new(bytes));
}

/// The loss with both gradients in float32.
type Answer = (Parts, [Array2<f32>; 2]);

/// The loss of these matrices. The gradients are NaN before.
fn answer<T>(
    loss: &TiedLoss,
    [logits, features]: [ArrayView2<'_, T>; 2],
    labels: &Array1<i64>,
    pool: &Pool,
) -> std::result::Result<Answer, Error>
where
    for<'a> Matrix<'a>: From<ArrayView2<'a, T>>,
{
    let [mut x, mut y] = [logits, features].map(|input| Array2::from_elem(input.dim(), f32::NAN));
    let target = Target::Classes(labels.view().into());
    let inputs = Inputs { logits: logits.into(), features: features.into(), target };
    let gradients =
        Gradients { logits: Some(x.view_mut().into()), features: Some(y.view_mut().into()) };
    let parts = loss.run(&inputs, gradients, pool)?;
    Ok((parts, [x, y]))
}

/// As bits, with one NaN for all.
fn bits((parts, gradients): &Answer) -> (Vec<u64>, Vec<u32>) {
    let parts = [parts.loss, parts.ce, parts.similarity];
    let nan_or = |v: f32| if v.is_nan() { f32::NAN } else { v }.to_bits();
    let parts = parts.map(|v| if v.is_nan() { f64::NAN } else { v }.to_bits());
    (parts.to_vec(), gradients.iter().flatten().map(|&v| nan_or(v)).collect())
}

fn drawn(u: &mut Unstructured<'_>) -> Result<()> {
    // Small batches are the work of one thread.
    let large = u.ratio(1, 250)?;
    let most = if large { 1000 } else { 24 };
    let (pairs, classes) = (u.int_in_range(1..=most.min(40))?, u.int_in_range(1..=most)?);
    let width = u.int_in_range(1..=most)?;
    let loss = TiedLoss::default()
        .with_similarity(*u.choose(Similarity::ALL)?)
        .with_supervise(*u.choose(&[Supervise::Both, Supervise::First])?)
        .with_label_smoothing(draw::float(u)?.abs())
        .with_tied_weight(draw::float(u)?);
    let count = *u.choose(&[pairs, 2 * pairs, 2 * pairs, 1])?;
    let wrong = u.ratio(1, 30)?;
    let labels = (0..count).map(|_| match u.int_in_range(0..=9)? {
        0 => Ok(-100),
        1 if wrong => u.arbitrary::<i64>(),
        _ => u.int_in_range(0..=classes - 1).map(|class| class as i64),
    });
    let labels = labels.collect::<Result<Vec<_>>>()?.into();
    let mut numbers = |columns| -> Result<Array2<f32>> {
        let few: Vec<f32> = (0..u.int_in_range(1..=40)?)
            .map(|_| Ok(draw::float(u)? as f32))
            .collect::<Result<_>>()?;
        let at = |(row, column)| few[(row * 31 + column * 7 + row * column) % few.len()];
        Ok(Array2::from_shape_fn((2 * pairs, columns), at))
    };
    let inputs = [numbers(classes)?, numbers(width)?];

    let run = |inputs: &[Array2<f32>; 2], pool| {
        answer(&loss, inputs.each_ref().map(|input| input.view()), &labels, pool)
    };
    let first = match run(&inputs, &POOLS[0]) {
        Ok(first) => first,
        Err(error) => {
            assert!(matches!(error, Error::Argument(_)), "{error:?}");
            return Ok(());
        }
    };
    let second = run(&inputs, &POOLS[1]).expect("as before");
    assert_eq!(bits(&first), bits(&second), "two threads");
    if large {
        return Ok(());
    }
    dtypes(&loss, &inputs, &labels);
    own_rows(&inputs, u.int_in_range(0..=2 * pairs - 1)?, &first, |inputs| {
        run(inputs, &POOLS[0]).expect("as before")
    });
    let [logits, features] = &inputs;
    let narrower = [logits.slice(s![.., ..-1]), features.view()];
    if classes > 1 {
        answer(&loss, narrower, &labels, &POOLS[0]).expect_err("rows with gaps");
    }
    Ok(())
}

/// Halves give what the same numbers give in float32.
fn dtypes(loss: &TiedLoss, inputs: &[Array2<f32>; 2], labels: &Array1<i64>) {
    let pool = &POOLS[0];
    let halves = inputs.each_ref().map(|input| input.mapv(f16::from_f32));
    let wide = halves.each_ref().map(|input| input.mapv(f32::from));
    let [half, wide] = [
        answer(loss, halves.each_ref().map(|input| input.view()), labels, pool),
        answer(loss, wide.each_ref().map(|input| input.view()), labels, pool),
    ];
    assert_eq!(bits(&half.expect("float16")), bits(&wide.expect("float32")), "float16");
    let halves = inputs.each_ref().map(|input| input.mapv(bf16::from_f32));
    let wide = halves.each_ref().map(|input| input.mapv(f32::from));
    let [half, wide] = [
        answer(loss, halves.each_ref().map(|input| input.view()), labels, pool),
        answer(loss, wide.each_ref().map(|input| input.view()), labels, pool),
    ];
    assert_eq!(bits(&half.expect("bfloat16")), bits(&wide.expect("float32")), "bfloat16");
}

/// A NaN in `row` changes the gradients of this row, and those of the features' other view.
fn own_rows(
    inputs: &[Array2<f32>; 2],
    row: usize,
    expected: &Answer,
    run: impl Fn(&[Array2<f32>; 2]) -> Answer,
) {
    let mut broken = inputs.clone();
    broken.iter_mut().for_each(|input| input[[row, 0]] = f32::NAN);
    let pairs = inputs[0].nrows() / 2;
    let (_, gradients) = run(&broken);
    for (gradient, expected) in gradients.iter().zip(&expected.1) {
        for (other, (a, b)) in gradient.outer_iter().zip(expected.outer_iter()).enumerate() {
            let same = a
                .iter()
                .zip(b)
                .all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan());
            assert!(same || other % pairs == row % pairs, "row {row} changes row {other}");
        }
    }
}
