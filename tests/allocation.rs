//! In the steady state a sample costs no allocation: not its plan, its resize or any of its ops.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ndarray::Array5;
use tied_augment::batch::{Pipeline, Sample, Workspaces};
use tied_augment::image::{ImageRef, Rect};
use tied_augment::ops::{
    AutoContrast, Brightness, Chain, Color, Contrast, Equalize, Erase, Fill, GaussianBlur,
    GaussianKernel, Grayscale, Hue, Interpolation, Invert, Mix, Op, Posterize, Rotate, Sharpness,
    ShearX, ShearY, Solarize, SolarizeAdd, TranslateX, TranslateY,
};
use tied_augment::plan::{Crop, Geometry, Plan, Shared, ViewSpec};
use tied_augment::policy::{Augment, Policy};
use tied_augment::pool::Pool;
use tied_augment::resize::Filter;
use tied_augment::rng::Key;
use tied_augment::source::Source;
use tied_augment::view::Renderer;

/// The system's allocator, counting what each thread asks for.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: passes every call on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's duty.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn ops() -> Vec<Op> {
    let mix = Mix::Sum {
        amount: 0.4,
        chains: vec![
            Chain { weight: 0.7, ops: vec![Invert {}.into(), Equalize {}.into()] },
            Chain { weight: 0.3, ops: vec![Sharpness { factor: 1.6 }.into()] },
        ],
    };
    let area = Rect { x: 5, y: 5, w: 9, h: 9 };
    let mut ops: Vec<Op> = vec![
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
        Hue { factor: 0.1 }.into(),
        GaussianBlur { radius: 1.3 }.into(),
        GaussianKernel { kernel_size: 23, sigma: 1.3 }.into(),
        Grayscale {}.into(),
        Erase { area, fill: Fill::Colour([1, 2, 3]) }.into(),
        mix.into(),
    ];
    for interpolation in Interpolation::ALL {
        let fill = [124, 116, 104];
        ops.extend([
            ShearX { factor: 0.27, interpolation, fill }.into(),
            ShearY { factor: 0.27, interpolation, fill }.into(),
            TranslateX { pixels: 13.37, interpolation, fill }.into(),
            TranslateY { pixels: 13.37, interpolation, fill }.into(),
            Rotate { degrees: 27.1, interpolation, fill }.into(),
            Rotate { degrees: 90.0, interpolation, fill }.into(),
        ]);
    }
    ops
}

#[test]
fn a_renderer_stops_allocating() {
    let pixels: Vec<u8> = (0..200 * 150 * 3).map(|i| (i * 7 % 251) as u8).collect();
    let image = ImageRef::new(200, 150, &pixels);
    let whole = Rect { x: 0, y: 0, w: 200, h: 150 };
    let mut renderer = Renderer::default();
    let mut out = vec![0; 3 * 64 * 64];
    for op in ops() {
        let geometry =
            Geometry { crop: whole, interpolation: Some(Filter::Bicubic), ..Geometry::default() };
        let plan = Plan { size: (64, 64), geometry, ops: vec![op.clone(), op] };
        renderer.render(image, whole, &plan, &mut out);
        let before = COUNT.get();
        renderer.render(image, whole, &plan, &mut out);
        assert_eq!(COUNT.get() - before, 0, "{:?}", plan.ops);
    }
}

/// How often this thread allocates in a batch of `count` samples from `source`, after one like it.
fn allocations(pipeline: &Pipeline, buffers: &Workspaces, source: Source<'_>, count: u64) -> u64 {
    let key = |index| Key { seed: 0, epoch: 0, index, view: 0 };
    let samples: Vec<_> = (0..count).map(|index| Sample { source, key: key(index) }).collect();
    let mut out = Array5::zeros((2, samples.len(), 3, 64, 64));
    // One thread is the calling one, which is counted. libjpeg's memory is C's, and is not.
    let pool = Pool::default();
    let mut run =
        || pipeline.run(&samples, &pool, buffers, out.outer_iter_mut()).expect("good samples");
    run();
    let before = COUNT.get();
    run();
    COUNT.get() - before
}

#[test]
fn a_batch_allocates_no_more_for_more_samples() {
    let pixels: Vec<u8> = (0..200 * 150 * 3).map(|i| (i * 7 % 251) as u8).collect();
    let mut file = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut file, 90);
    encoder.encode(&pixels, 200, 150, jpeg_encoder::ColorType::Rgb).expect("encodes");
    let (policy, _) = Policy::parse("rand-m9-mstd0.5-inc1").expect("timm's own");
    let view = ViewSpec {
        size: (64, 64),
        crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (0.75, 4.0 / 3.0) },
        interpolation: vec![Filter::Bilinear, Filter::Bicubic],
        hflip: 0.5,
        vflip: 0.5,
        augment: Augment {
            policy: Some(policy),
            filters: vec![Interpolation::Bilinear, Interpolation::Bicubic],
            ..Augment::default()
        },
    };
    let pipeline = Pipeline::new(vec![view.clone(), view], Shared::Nothing).expect("valid views");
    let buffers = Workspaces::default();
    for source in [Source::Pixels(ImageRef::new(200, 150, &pixels)), Source::Bytes(&file)] {
        let few = allocations(&pipeline, &buffers, source, 4);
        assert_eq!(allocations(&pipeline, &buffers, source, 64), few, "{source:?}");
    }
}
