//! Every operation on 224x224 planes, and the conversion of views to normalised numbers, on one
//! core. `benches/ops.py` compares the operations with Pillow's, `benches/loader.py` the conversion
//! with torch's.
//!
//! Run with `cargo bench --bench ops`, and compare lines of one run only. `benches/limited.py` runs
//! this program with the instruction set that it is told.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use half::{bf16, f16};
use tied_augment::image::Planes;
use tied_augment::loader::{Format, Layout};
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

/// A batch of 256 views, of which each is written after it was made, and the time that the system
/// takes to fill that memory.
fn normalise(c: &mut Criterion) {
    const VIEWS: usize = 256;
    let view = planes();
    let mut out = vec![0; 4 * VIEWS * view.len()];
    let mut group = c.benchmark_group("256 views");
    group.sample_size(10);
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let value = |c: usize, v: u16| (f32::from(v) / 255.0 - mean[c]) / std[c];
    let values = || (0..3).flat_map(|c| (0..256).map(move |v| value(c, v)));
    let tables: [(&str, Vec<u8>); 3] = [
        ("float32", values().flat_map(f32::to_ne_bytes).collect()),
        ("float16", values().flat_map(|v| f16::from_f32(v).to_ne_bytes()).collect()),
        ("bfloat16", values().flat_map(|v| bf16::from_f32(v).to_ne_bytes()).collect()),
    ];
    for (name, table) in tables {
        for layout in [Layout::Planes, Layout::Interleaved] {
            let format = Format::new(Some(&table), Some([mean, std]), layout).expect("a table");
            let size = view.len() * format.element_size();
            let out = &mut out[..VIEWS * size];
            group.bench_function(format!("{name}, {layout:?}"), |b| {
                b.iter(|| out.chunks_exact_mut(size).for_each(|out| format.write(&view, true, out)))
            });
        }
    }
    group.bench_function("filled with float32", |b| b.iter(|| black_box(&mut out).fill(1)));
    group.finish();
}

criterion_group!(benches, ops, normalise);
criterion_main!(benches);
