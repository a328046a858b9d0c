//! Batches through the public API: what the output may and may not depend on.

use ndarray::{Array4, Array5, s};
use proptest::prelude::*;
use tied_augment::batch::{Pipeline, Sample, Workspaces};
use tied_augment::error::Error;
use tied_augment::image::ImageRef;
use tied_augment::plan::{Crop, CropMode, Shared, ViewSpec};
use tied_augment::policy::Augment;
use tied_augment::pool::Pool;
use tied_augment::resize::Filter;
use tied_augment::rng::Key;
use tied_augment::source::Source;

const SIZE: (u32, u32) = (20, 28);

fn spec() -> ViewSpec {
    ViewSpec {
        size: SIZE,
        crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (0.75, 1.33) },
        interpolation: vec![Filter::Bilinear, Filter::Bicubic],
        hflip: 0.5,
        vflip: 0.5,
        augment: Augment::default(),
    }
}

fn pipeline() -> Pipeline {
    Pipeline::new(vec![spec(), spec()], Shared::Nothing).expect("valid views")
}

fn noise(width: usize, height: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(byte).take(width * height * 3).collect()
}

fn jpeg(width: u16, height: u16, seed: u64) -> Vec<u8> {
    let pixels = noise(width.into(), height.into(), seed);
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
    encoder.encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).expect("encodes");
    bytes
}

fn key(index: u64) -> Key {
    Key { seed: 7, epoch: 3, index, view: 0 }
}

fn output(samples: usize) -> Array5<u8> {
    Array5::zeros((2, samples, 3, 20, 28))
}

fn run(samples: &[Sample<'_>], threads: usize) -> Array5<u8> {
    let mut out = output(samples.len());
    let pool = Pool::new(threads).expect("threads");
    let workspaces = Workspaces::default();
    pipeline().run(samples, &pool, &workspaces, out.outer_iter_mut()).expect("good samples");
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn neither_threads_nor_batches_nor_order_matter(
        sizes in proptest::collection::vec((1u16..80, 1u16..80), 1..12),
        split in 0usize..12,
        rotation in 0usize..12,
    ) {
        let files: Vec<_> = (0..).zip(&sizes).map(|(i, &(w, h))| jpeg(w, h, i)).collect();
        let mut samples: Vec<_> = (100..)
            .zip(&files)
            .map(|(index, file)| Sample { source: Source::Bytes(file), key: key(index) })
            .collect();
        let count = samples.len();
        let whole = run(&samples, 1);
        for threads in [2, 8] {
            prop_assert_eq!(&run(&samples, threads), &whole);
        }
        let (one, two) = samples.split_at(split.min(count));
        for (part, start) in [(one, 0), (two, one.len())] {
            let expected = whole.slice(s![.., start..start + part.len(), .., .., ..]);
            prop_assert_eq!(run(part, 2), expected);
        }
        samples.rotate_left(rotation % count);
        let rotated = run(&samples, 2);
        for sample in 0..count {
            let from = (sample + rotation) % count;
            let got = rotated.slice(s![.., sample, .., .., ..]);
            prop_assert_eq!(got, whole.slice(s![.., from, .., .., ..]));
        }
    }
}

#[test]
fn the_first_failure_is_reported_whatever_the_threads() {
    let good = noise(30, 30, 0);
    let good = Source::Pixels(ImageRef::new(30, 30, &good));
    let sources = [good, Source::Bytes(b"no image"), good, Source::Bytes(b""), good];
    let samples: Vec<_> =
        (10..).zip(sources).map(|(index, source)| Sample { source, key: key(index) }).collect();
    for threads in [1, 2, 8] {
        let mut out = output(samples.len());
        let pool = Pool::new(threads).expect("threads");
        let workspaces = Workspaces::default();
        let error = pipeline().run(&samples, &pool, &workspaces, out.outer_iter_mut()).unwrap_err();
        let Error::At { place, source } = error else { panic!("no place in {error}") };
        assert_eq!(place, "sample 1 of the batch (index 11)");
        assert!(matches!(*source, Error::Unidentified(_)), "{source}");
    }
}

#[test]
fn an_output_of_another_shape_or_order_is_refused() {
    let pixels = noise(30, 30, 0);
    let source = Source::Pixels(ImageRef::new(30, 30, &pixels));
    let samples = [1, 2].map(|index| Sample { source, key: key(index) });
    let (pool, workspaces) = (Pool::default(), Workspaces::default());
    let mut short = Array5::zeros((2, 1, 3, 20, 28));
    let mut samples_first = Array5::zeros((2, 2, 3, 20, 28));
    samples_first.swap_axes(0, 1);
    for out in [&mut short, &mut samples_first] {
        let error = pipeline().run(&samples, &pool, &workspaces, out.outer_iter_mut()).unwrap_err();
        assert!(matches!(error, Error::Argument(_)), "{error}");
    }
}

#[test]
fn an_empty_batch_succeeds() {
    for threads in [1, 2] {
        assert!(run(&[], threads).is_empty());
    }
}

#[test]
fn same_crop_repeats_the_first_plan() {
    let pipeline = Pipeline::new(vec![spec(), spec()], Shared::CropAndFlips).expect("valid views");
    let key = Key { seed: 0, epoch: 0, index: 5, view: 0 };
    let plans = pipeline.plan((300, 200), key).expect("a plan");
    assert_eq!(plans[0], plans[1]);
    let apart = Pipeline::new(vec![spec(), spec()], Shared::Nothing).expect("valid views");
    let plans = apart.plan((300, 200), key).expect("a plan");
    assert_ne!(plans[0], plans[1]);
}

#[test]
fn own_flips_leave_the_crop_shared() {
    let both = Pipeline::new(vec![spec(), spec()], Shared::CropAndFlips).expect("views");
    let own = Pipeline::new(vec![spec(), spec()], Shared::Crop).expect("views");
    let mut flips = [0; 4];
    for index in 0..400 {
        let key = Key { seed: 0, epoch: 0, index, view: 0 };
        let plans = own.plan((300, 200), key).expect("a plan");
        let [first, second] = [plans[0].geometry, plans[1].geometry];
        assert_eq!(plans[0], both.plan((300, 200), key).expect("a plan")[0]);
        assert_eq!((first.crop, first.interpolation), (second.crop, second.interpolation));
        flips[usize::from(first.hflip) * 2 + usize::from(second.hflip)] += 1;
    }
    // 100 expected of each, standard deviation 9.
    assert!(flips.iter().all(|n| (60..140).contains(n)), "{flips:?}");
}

#[test]
fn views_that_share_must_declare_it_equally() {
    let bicubic = ViewSpec { interpolation: vec![Filter::Bicubic], ..spec() };
    let upright = ViewSpec { vflip: 0.0, ..spec() };
    let refused = |second: &ViewSpec, shared| {
        Pipeline::new(vec![spec(), second.clone()], shared).map_err(|error| error.to_string())
    };
    for shared in [Shared::Crop, Shared::CropAndFlips] {
        assert!(refused(&bicubic, shared).unwrap_err().contains("interpolation"));
    }
    assert!(refused(&upright, Shared::CropAndFlips).unwrap_err().contains("vflip"));
    assert!(refused(&upright, Shared::Crop).is_ok());
    assert!(refused(&bicubic, Shared::Nothing).is_ok());
}

#[test]
fn views_of_several_sizes_are_those_of_each_alone() {
    let sizes = [SIZE, (8, 8), (8, 8), (31, 7)];
    let specs = sizes.map(|size| ViewSpec { size, ..spec() });
    let files: Vec<_> = (0..6).map(|i| jpeg(70, 50, i)).collect();
    let samples: Vec<_> = (100..)
        .zip(&files)
        .map(|(index, file)| Sample { source: Source::Bytes(file), key: key(index) })
        .collect();
    let outputs = |specs: &[ViewSpec]| -> Vec<_> {
        let empty = |spec: &ViewSpec| {
            Array4::zeros((samples.len(), 3, spec.size.0 as usize, spec.size.1 as usize))
        };
        specs.iter().map(empty).collect()
    };
    for threads in [1, 4] {
        let pool = Pool::new(threads).expect("threads");
        let workspaces = Workspaces::default();
        let mut together = outputs(&specs);
        let pipeline = Pipeline::new(specs.to_vec(), Shared::Nothing).expect("valid views");
        let outs = together.iter_mut().map(|out| out.view_mut());
        pipeline.run(&samples, &pool, &workspaces, outs).expect("good samples");
        for (view, spec) in (0..).zip(&specs) {
            let single = Pipeline::new(vec![spec.clone()], Shared::Nothing).expect("a valid view");
            let mut alone = outputs(std::slice::from_ref(spec));
            let keyed: Vec<_> = samples
                .iter()
                .map(|sample| Sample { key: Key { view, ..sample.key }, ..*sample })
                .collect();
            let outs = alone.iter_mut().map(|out| out.view_mut());
            single.run(&keyed, &pool, &workspaces, outs).expect("good samples");
            assert_eq!(together[usize::from(view)], alone[0]);
        }
    }
}

#[test]
fn a_wrong_number_of_outputs_is_refused() {
    let pixels = noise(30, 30, 0);
    let samples = [Sample { source: Source::Pixels(ImageRef::new(30, 30, &pixels)), key: key(1) }];
    for count in [0, 1, 3] {
        let mut out = Array5::zeros((count, 1, 3, 20, 28));
        let (pool, workspaces) = (Pool::default(), Workspaces::default());
        let outs = out.outer_iter_mut();
        let error = pipeline().run(&samples, &pool, &workspaces, outs).unwrap_err();
        assert!(error.to_string().contains("out must be 2 views, not"), "{error}");
    }
}

#[test]
fn a_shared_crop_is_resized_to_the_size_of_each_view() {
    let key = Key { seed: 0, epoch: 0, index: 5, view: 0 };
    let whole = Crop::RandomResized { scale: (0.08, 1.0), ratio: (0.75, 1.33) };
    let of = |crop, size| ViewSpec { crop, size, ..spec() };
    let evaluation = |mode| Crop::Evaluation { mode, crop_pct: 1.0, border: 0 };
    for crop in [whole, evaluation(CropMode::Squash)] {
        let views = vec![of(crop, (24, 24)), of(crop, (8, 12))];
        let pipeline = Pipeline::new(views, Shared::CropAndFlips).expect("valid views");
        let plans = pipeline.plan((300, 200), key).expect("a plan");
        assert_eq!(plans[0].geometry, plans[1].geometry);
        assert_eq!((plans[0].size, plans[1].size), ((24, 24), (8, 12)));
    }
    let keep = Crop::KeepRatio { scale: (0.8, 1.0), ratio: (0.9, 1.1), random: true };
    for crop in [Crop::Padded { padding: 4 }, keep, evaluation(CropMode::Center)] {
        let views = vec![of(crop, (24, 24)), of(crop, (12, 12))];
        let error = Pipeline::new(views.clone(), Shared::Crop).unwrap_err();
        assert!(error.to_string().contains("several sizes"), "{error}");
        assert!(Pipeline::new(views, Shared::Nothing).is_ok());
    }
}

#[test]
fn views_that_make_no_sense_are_refused() {
    let flip = ViewSpec { hflip: 2.0, ..spec() };
    for views in [vec![], vec![spec(), flip], vec![spec(); 1 << 16]] {
        assert!(matches!(Pipeline::new(views, Shared::Nothing), Err(Error::Argument(_))));
    }
    assert!(matches!(Pool::new(0), Err(Error::Argument(_))));
}
