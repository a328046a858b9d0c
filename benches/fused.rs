//! The tied loss with its gradients: dtypes, distances and threads.
//!
//! Run with `cargo bench --bench fused`; compare lines of one run only.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::{bf16, f16};
use tied_augment::loss::{
    Batch, Floats, FloatsMut, Gradients, Labels, Similarity, Target, TiedLoss,
};
use tied_augment::pool::Pool;

const PAIRS: usize = 128;
const CLASSES: usize = 1000;
const WIDTH: usize = 2048;

/// Numbers spread over (-4, 4).
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 21) as f32 - 4.0
    };
    (0..count).map(|_| next()).collect()
}

fn loss(similarity: Similarity, label_smoothing: f64) -> TiedLoss {
    TiedLoss {
        tied_weight: 1.0,
        similarity,
        label_smoothing,
        first_only: false,
        ignore_index: -100,
    }
}

fn bench_of<T: Clone>(
    c: &mut Criterion,
    dtype: &str,
    convert: impl Fn(f32) -> T,
    read: for<'a> fn(&'a [T]) -> Floats<'a>,
    write: for<'a> fn(&'a mut [T]) -> FloatsMut<'a>,
) {
    let make = |count| numbers(count).into_iter().map(&convert).collect::<Vec<T>>();
    let (logits, features) = (make(2 * PAIRS * CLASSES), make(2 * PAIRS * WIDTH));
    let (mut grad_logits, mut grad_features) = (logits.clone(), features.clone());
    let labels: Vec<i64> = (0..PAIRS as i64).map(|i| i * 7 % CLASSES as i64).collect();
    let batch = Batch {
        pairs: PAIRS,
        logits: read(&logits),
        features: read(&features),
        target: Target::Classes(Labels::I64(&labels)),
    };
    let name = format!("loss and gradients [256, 1000], [256, 2048] {dtype}");
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements((logits.len() + features.len()) as u64));
    for similarity in Similarity::ALL {
        for threads in [1, 2] {
            let pool = Pool::new(threads).expect("two threads");
            let loss = loss(similarity, 0.1);
            group.bench_function(format!("{}, {threads} threads", similarity.name()), |b| {
                b.iter(|| {
                    let logits = Some(write(&mut grad_logits));
                    let features = Some(write(&mut grad_features));
                    loss.run(&batch, Gradients { logits, features }, &pool)
                });
            });
        }
    }
    group.finish();
}

fn dtypes(c: &mut Criterion) {
    bench_of(c, "float32", |v| v, |s| Floats::F32(s), |s| FloatsMut::F32(s));
    bench_of(c, "float64", f64::from, |s| Floats::F64(s), |s| FloatsMut::F64(s));
    bench_of(c, "bfloat16", bf16::from_f32, |s| Floats::Bf16(s), |s| FloatsMut::Bf16(s));
    bench_of(c, "float16", f16::from_f32, |s| Floats::F16(s), |s| FloatsMut::F16(s));
}

criterion_group!(benches, dtypes);
criterion_main!(benches);
