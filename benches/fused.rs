//! The tied loss with its gradients: dtypes, distances and threads.
//!
//! Run with `cargo bench --bench fused`; compare lines of one run only.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::{bf16, f16};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2};
use tied_augment::loss::{Gradients, Inputs, Matrix, MatrixMut, Similarity, Target, TiedLoss};
use tied_augment::pool::Pool;

const PAIRS: usize = 128;
const CLASSES: usize = 1000;
const WIDTH: usize = 2048;

/// Numbers spread over (-4, 4).
fn numbers(columns: usize) -> Array2<f32> {
    let mut state = 1u64;
    Array2::from_shape_simple_fn((2 * PAIRS, columns), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 21) as f32 - 4.0
    })
}

fn bench_of<T: Clone>(c: &mut Criterion, dtype: &str, convert: impl Fn(f32) -> T)
where
    for<'a> Matrix<'a>: From<ArrayView2<'a, T>>,
    for<'a> MatrixMut<'a>: From<ArrayViewMut2<'a, T>>,
{
    let (logits, features) = (numbers(CLASSES).mapv(&convert), numbers(WIDTH).mapv(&convert));
    let (mut grad_logits, mut grad_features) = (logits.clone(), features.clone());
    let labels = Array1::from_shape_fn(PAIRS, |i| (i * 7 % CLASSES) as i64);
    let inputs = Inputs {
        logits: logits.view().into(),
        features: features.view().into(),
        target: Target::Classes(labels.view().into()),
    };
    let name = format!("loss and gradients [256, 1000], [256, 2048] {dtype}");
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements((logits.len() + features.len()) as u64));
    for &similarity in Similarity::ALL {
        for threads in [1, 2] {
            let pool = Pool::new(threads).expect("two threads");
            let loss = TiedLoss::default().with_similarity(similarity).with_label_smoothing(0.1);
            group.bench_function(format!("{}, {threads} threads", similarity.name()), |b| {
                b.iter(|| {
                    let logits = Some(grad_logits.view_mut().into());
                    let features = Some(grad_features.view_mut().into());
                    loss.run(&inputs, Gradients { logits, features }, &pool)
                });
            });
        }
    }
    group.finish();
}

fn dtypes(c: &mut Criterion) {
    bench_of(c, "float32", |v| v);
    bench_of(c, "float64", f64::from);
    bench_of(c, "bfloat16", bf16::from_f32);
    bench_of(c, "float16", f16::from_f32);
}

criterion_group!(benches, dtypes);
criterion_main!(benches);
