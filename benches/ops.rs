//! Every operation on 224x224 planes, on one core. `benches/ops.py` compares them with Pillow's.
//!
//! Run with `cargo bench --bench ops`, and compare lines of one run only.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tied_augment::ops::{Interpolation, Op, Sampling, Scratch, apply};

const SIDE: usize = 224;

/// Smooth shapes with grain.
fn planes() -> Vec<u8> {
    let mut state = 1u64;
    let mut pixel = |i: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (y, x) = ((i / SIDE % SIDE) as f64, (i % SIDE) as f64);
        let wave = (x / 17.0).sin() * (y / 23.0).cos();
        (128.0 + 90.0 * wave + (state >> 60) as f64 - 7.5) as u8
    };
    (0..3 * SIDE * SIDE).map(&mut pixel).collect()
}

fn cases() -> Vec<(String, Op)> {
    let mut ops = vec![
        Op::AutoContrast,
        Op::Equalize,
        Op::Invert,
        Op::Posterize { bits: 3 },
        Op::Solarize { threshold: 100.0 },
        Op::SolarizeAdd { add: 40, threshold: 128 },
        Op::Color { factor: 0.6 },
        Op::Contrast { factor: 0.6 },
        Op::Brightness { factor: 0.6 },
        Op::Sharpness { factor: 1.6 },
        Op::Grayscale,
        Op::Hue { factor: 0.1 },
        Op::GaussianBlur { radius: 1.3 },
        Op::GaussianKernel { kernel_size: 23, sigma: 1.3 },
    ];
    let mut cases: Vec<_> = ops.drain(..).map(|op| (op.name().to_string(), op)).collect();
    for filter in Interpolation::ALL {
        let sampling = Sampling { filter, fill: [124, 116, 104] };
        for op in [
            Op::ShearX { factor: 0.27, sampling },
            Op::ShearY { factor: 0.27, sampling },
            Op::TranslateX { pixels: 13.37, sampling },
            Op::TranslateY { pixels: 13.37, sampling },
            Op::Rotate { degrees: 27.1, sampling },
        ] {
            cases.push((format!("{} {}", op.name(), filter.name()), op));
        }
    }
    cases
}

fn ops(c: &mut Criterion) {
    let planes = planes();
    let mut scratch = Scratch::default();
    let mut group = c.benchmark_group("224x224");
    for (name, op) in cases() {
        let ops = [op];
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || planes.clone(),
                |planes| apply(&ops, (SIDE as u32, SIDE as u32), planes, &mut scratch),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, ops);
criterion_main!(benches);
