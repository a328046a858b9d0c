//! Every operation on 224x224 planes, on one core. `benches/ops.py` compares them with Pillow's.
//!
//! Run with `cargo bench --bench ops`, and compare lines of one run only.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tied_augment::image::Planes;
use tied_augment::ops::{
    AutoContrast, Brightness, Color, Contrast, Equalize, GaussianBlur, GaussianKernel, Grayscale,
    Hue, Interpolation, Invert, Op, Posterize, Rotate, Scratch, Sharpness, ShearX, ShearY,
    Solarize, SolarizeAdd, TranslateX, TranslateY, apply,
};

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
    let ops: Vec<Op> = vec![
        AutoContrast {}.into(),
        Equalize {}.into(),
        Invert {}.into(),
        Posterize { bits: 3 }.into(),
        Solarize { threshold: 100.0 }.into(),
        SolarizeAdd { add: 40, threshold: 128 }.into(),
        Color { factor: 0.6 }.into(),
        Contrast { factor: 0.6 }.into(),
        Brightness { factor: 0.6 }.into(),
        Sharpness { factor: 1.6 }.into(),
        Grayscale {}.into(),
        Hue { factor: 0.1 }.into(),
        GaussianBlur { radius: 1.3 }.into(),
        GaussianKernel { kernel_size: 23, sigma: 1.3 }.into(),
    ];
    let mut cases: Vec<_> = ops.into_iter().map(|op| (op.name().to_string(), op)).collect();
    for interpolation in Interpolation::ALL {
        let fill = [124, 116, 104];
        let ops: [Op; 5] = [
            ShearX { factor: 0.27, interpolation, fill }.into(),
            ShearY { factor: 0.27, interpolation, fill }.into(),
            TranslateX { pixels: 13.37, interpolation, fill }.into(),
            TranslateY { pixels: 13.37, interpolation, fill }.into(),
            Rotate { degrees: 27.1, interpolation, fill }.into(),
        ];
        cases.extend(ops.map(|op| (format!("{} {}", op.name(), interpolation.name()), op)));
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
                |data| {
                    let size = (SIDE as u32, SIDE as u32);
                    apply(&ops, &mut Planes::new(size, data), &mut scratch);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, ops);
criterion_main!(benches);
