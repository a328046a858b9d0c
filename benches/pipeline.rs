//! Decoding, resizing and whole batches on one core, with fast_image_resize for comparison.
//!
//! Run with `cargo bench --bench pipeline`, and compare lines of one run only. The resize is timed
//! with every instruction set of the machine, and so is fast_image_resize, by its name;
//! `cargo bench --bench pipeline -- avx2` times both with one. Loops that the compiler vectorises
//! use the best instruction set in all of them.

use std::collections::HashSet;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fast_image_resize as fir;
use ndarray::Array5;
use tied_augment::batch::{Pipeline, Sample, Workspaces};
use tied_augment::decode::{Decoder, Entropy, Limits};
use tied_augment::image::{Image, ImageRef, Rect};
use tied_augment::plan::{Crop, Shared, ViewSpec};
use tied_augment::policy::Augment;
use tied_augment::pool::Pool;
use tied_augment::resize::{Filter, Flips, Resizer};
use tied_augment::rng::Key;
use tied_augment::simd::Simd;
use tied_augment::source::Source;

const WIDTH: u32 = 500;
const HEIGHT: u32 = 375;
const SIDE: u32 = 224;

/// Smooth shapes with grain, so that a JPEG of it is about as large as one of a photograph.
fn photo(width: u32, height: u32) -> Vec<u8> {
    let mut state = 1u64;
    let mut pixel = |y: u32, x: u32, c: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (y, x) = (f64::from(y), f64::from(x));
        let wave = (x / (17.0 + f64::from(c))).sin() * (y / 23.0).cos() + (x * y / 9000.0).sin();
        let grain = (state >> 60) as f64 - 7.5;
        (128.0 + 50.0 * wave + grain).clamp(0.0, 255.0) as u8
    };
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            data.extend((0..3).map(|c| pixel(y, x, c)));
        }
    }
    data
}

fn jpeg(data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    let color = jpeg_encoder::ColorType::Rgb;
    encoder.encode(data, WIDTH as u16, HEIGHT as u16, color).expect("a fixed image can be encoded");
    bytes
}

fn decode(c: &mut Criterion) {
    let bytes = jpeg(&photo(WIDTH, HEIGHT));
    let mut image = Image::default();
    let mut group = c.benchmark_group("decode 500x375 JPEG");
    let parts = [
        ("whole", Rect { x: 0, y: 0, w: WIDTH, h: HEIGHT }),
        ("quarter", Rect { x: 120, y: 90, w: WIDTH / 2, h: HEIGHT / 2 }),
    ];
    for (name, part) in parts {
        for (entropy, who) in [(Entropy::Own, "ours"), (Entropy::Libjpeg, "libjpeg")] {
            let mut decoder = Decoder::with_entropy(entropy);
            group.bench_function(format!("{name}, Huffman codes by {who}"), |b| {
                b.iter(|| decoder.open(&bytes, Limits::default())?.read(&[part], &mut image));
            });
        }
    }
    group.finish();
}

/// The instruction set of fast_image_resize that is nearest to `simd`, as it has no AVX-512.
fn rival(simd: Simd) -> (fir::Resizer, &'static str) {
    let (extensions, name) = match simd.name() {
        #[cfg(target_arch = "x86_64")]
        "avx512vnni" | "avxvnni" | "avx2" => (fir::CpuExtensions::Avx2, "avx2"),
        #[cfg(target_arch = "aarch64")]
        "neoni8mm" | "neondot" | "neon" => (fir::CpuExtensions::Neon, "neon"),
        _ => (fir::CpuExtensions::None, "portable"),
    };
    let mut resizer = fir::Resizer::new();
    // SAFETY: a machine with `simd` has what it implies.
    unsafe { resizer.set_cpu_extensions(extensions) };
    (resizer, name)
}

fn resize_shape(c: &mut Criterion, (width, height): (u32, u32)) {
    let data = photo(width, height);
    let source = ImageRef::new(width, height, &data);
    let mut out = vec![0; (3 * SIDE * SIDE) as usize];
    for (filter, convolution) in [
        (Filter::Bilinear, fir::FilterType::Bilinear),
        (Filter::Bicubic, fir::FilterType::CatmullRom),
        (Filter::Lanczos, fir::FilterType::Lanczos3),
    ] {
        let name = format!("resize {width}x{height} to {SIDE}x{SIDE} {}", filter.name());
        let mut group = c.benchmark_group(name);
        group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(300));
        let pixels = fir::PixelType::U8x3;
        let image = fir::images::ImageRef::new(width, height, &data, pixels).expect("fits");
        let mut target = fir::images::Image::new(SIDE, SIDE, pixels);
        let options =
            fir::ResizeOptions::new().resize_alg(fir::ResizeAlg::Convolution(convolution));
        let mut rivals = HashSet::new();
        for simd in Resizer::available() {
            let mut resizer = Resizer::with_simd(simd);
            group.bench_function(format!("ours, exact, to planes, {}", simd.name()), |b| {
                b.iter(|| resizer.resize(source, (SIDE, SIDE), filter, Flips::default(), &mut out));
            });
            let (mut rival, name) = rival(simd);
            if rivals.insert(name) {
                group.bench_function(format!("fast_image_resize, interleaved, {name}"), |b| {
                    b.iter(|| rival.resize(&image, &mut target, &options));
                });
            }
        }
        group.finish();
    }
}

fn resize(c: &mut Criterion) {
    for shape in [(WIDTH, HEIGHT), (HEIGHT, WIDTH), (300, 200), (1000, 800), (2000, 1500)] {
        resize_shape(c, shape);
    }
}

fn views() -> Vec<ViewSpec> {
    let view = ViewSpec {
        size: (SIDE, SIDE),
        crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) },
        interpolation: vec![Filter::Bicubic],
        hflip: 0.5,
        vflip: 0.0,
        augment: Augment::default(),
    };
    vec![view.clone(), view]
}

fn batch(c: &mut Criterion) {
    let data = photo(WIDTH, HEIGHT);
    let bytes = jpeg(&data);
    let pipeline = Pipeline::new(views(), Shared::Nothing).expect("valid views");
    let (pool, workspaces) = (Pool::default(), Workspaces::default());
    let key = |index| Key { seed: 0, epoch: 0, index, view: 0 };
    let sources = [
        ("from pixels", Source::Pixels(ImageRef::new(WIDTH, HEIGHT, &data))),
        ("from JPEG", Source::Bytes(&bytes)),
    ];
    let mut group = c.benchmark_group("two views of 64 samples, 1 thread");
    group.throughput(Throughput::Elements(64)).sample_size(20);
    for (name, source) in sources {
        let samples: Vec<_> = (0..64).map(|index| Sample { source, key: key(index) }).collect();
        let mut out = Array5::zeros((2, samples.len(), 3, SIDE as usize, SIDE as usize));
        group.bench_function(name, |b| {
            b.iter(|| pipeline.run(&samples, &pool, &workspaces, out.outer_iter_mut()));
        });
    }
    group.finish();
}

criterion_group!(benches, decode, resize, batch);
criterion_main!(benches);
