//! The loader's core: order, failures, replacements and the end, without Python.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ndarray::{Array4, ArrayViewMut5};
use tied_augment::batch::{Pipeline, Workspaces};
use tied_augment::error::Error;
use tied_augment::loader::{Format, Job, Layout, Loader, Memory, OwnedSample, Replacement};
use tied_augment::plan::{Crop, Shared, ViewSpec};
use tied_augment::policy::Augment;
use tied_augment::pool::Pool;
use tied_augment::resize::Filter;
use tied_augment::rng::Key;
use tied_augment::source::{Archive, OwnedSource};

const SIDE: u32 = 16;
const VIEW: usize = 3 * (SIDE * SIDE) as usize;
const LONG: Duration = Duration::from_secs(30);

fn pipeline() -> Arc<Pipeline> {
    let view = ViewSpec {
        size: (SIDE, SIDE),
        crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) },
        interpolation: vec![Filter::Bicubic],
        hflip: 0.5,
        vflip: 0.0,
        augment: Augment::default(),
    };
    Arc::new(Pipeline::new(vec![view.clone(), view], Shared::Nothing).unwrap())
}

fn pixels(count: usize) -> Vec<u8> {
    (0..count * 20 * 24 * 3).map(|i| (i * i / 7 + i / 31) as u8).collect()
}

fn image(data: Bytes) -> OwnedSource {
    OwnedSource::Pixels { width: 24, height: 20, data }
}

fn images(count: usize) -> Vec<OwnedSource> {
    let pixels = Bytes::from(pixels(count));
    (0..count).map(|i| image(pixels.slice(i * 20 * 24 * 3..(i + 1) * 20 * 24 * 3))).collect()
}

fn key(index: u64) -> Key {
    Key { seed: 3, epoch: 1, index, view: 0 }
}

/// Samples of `images` by index.
fn samples(images: &[OwnedSource], indices: &[u64]) -> Vec<OwnedSample> {
    let source = |index: u64| images[index as usize].clone();
    indices.iter().map(|&index| OwnedSample { source: source(index), key: key(index) }).collect()
}

fn expected(samples: &[OwnedSample]) -> Vec<u8> {
    let samples: Vec<_> = samples.iter().map(OwnedSample::as_sample).collect();
    let mut out = vec![0; 2 * samples.len() * VIEW];
    let shape = (2, samples.len(), 3, SIDE as usize, SIDE as usize);
    let mut view = ArrayViewMut5::from_shape(shape, &mut out).unwrap();
    pipeline()
        .run(&samples, &Pool::default(), &Workspaces::default(), view.outer_iter_mut())
        .unwrap();
    out
}

fn job(samples: Vec<OwnedSample>) -> Job {
    let out = Memory::from(vec![0; 2 * samples.len() * VIEW]);
    Job { pipeline: pipeline(), samples, format: Arc::new(Format::PLAIN), out }
}

#[test]
fn batches_come_in_order_for_any_number_of_threads() {
    let images = images(40);
    for threads in [1, 2, 5] {
        let loader = Loader::new(threads).unwrap();
        let mut batches = Vec::new();
        for batch in 0..6_u64 {
            let indices: Vec<u64> = (0..5 + batch).map(|i| (i * 7 + batch) % 40).collect();
            let mut samples = samples(&images, &indices);
            samples.iter_mut().for_each(|sample| sample.key.epoch = batch as u32);
            batches.push(expected(&samples));
            loader.submit(job(samples)).unwrap();
        }
        for wanted in batches {
            let finished = loader.wait(LONG).unwrap();
            assert!(finished.failures().is_empty());
            assert_eq!(finished.bytes(), wanted);
        }
        assert!(loader.wait(Duration::ZERO).is_none());
        assert_eq!(loader.counts().images, 45);
    }
}

#[test]
fn views_of_several_sizes_follow_one_another_in_the_batch() {
    let sizes = [(SIDE, SIDE), (7, 5), (7, 5), (9, SIDE)];
    let spec = |size| ViewSpec {
        size,
        crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) },
        interpolation: vec![Filter::Bicubic],
        hflip: 0.5,
        vflip: 0.0,
        augment: Augment::default(),
    };
    let pipeline = Pipeline::new(sizes.map(spec).to_vec(), Shared::Nothing).unwrap();
    let samples = samples(&images(5), &[4, 0, 2, 2, 1]);
    let borrowed: Vec<_> = samples.iter().map(OwnedSample::as_sample).collect();
    let empty = |(height, width): (u32, u32)| {
        Array4::<u8>::zeros((samples.len(), 3, height as usize, width as usize))
    };
    let mut wanted = sizes.map(empty);
    let outs = wanted.iter_mut().map(|out| out.view_mut());
    pipeline.run(&borrowed, &Pool::default(), &Workspaces::default(), outs).unwrap();
    let values: Vec<u8> = wanted.iter().flatten().copied().collect();

    let table: Vec<u8> = (0..768_u16).flat_map(u16::to_ne_bytes).collect();
    let lookups = Format::new(Some(&table), None, Layout::Planes).unwrap();
    let bytes: Vec<Vec<u8>> = [Format::PLAIN, lookups]
        .into_iter()
        .map(|format| {
            let out = Memory::from(vec![0; values.len() * format.element_size()]);
            let (pipeline, format) = (Arc::new(pipeline.clone()), Arc::new(format));
            let loader = Loader::new(3).unwrap();
            loader.submit(Job { pipeline, samples: samples.clone(), format, out }).unwrap();
            let finished = loader.wait(LONG).unwrap();
            assert!(finished.failures().is_empty());
            finished.bytes().to_vec()
        })
        .collect();
    assert_eq!(bytes[0], values);
    let low: Vec<u8> = bytes[1]
        .as_chunks()
        .0
        .iter()
        .map(|&element| (u16::from_ne_bytes(element) % 256) as u8)
        .collect();
    assert_eq!(low, values);
}

#[test]
fn failures_are_reported_by_position_and_can_be_replaced() {
    let loader = Loader::new(2).unwrap();
    let batch = vec![
        OwnedSample { source: OwnedSource::Path(Path::new("/nowhere.jpg").into()), key: key(0) },
        OwnedSample { source: image(pixels(1).into()), key: key(0) },
        OwnedSample { source: OwnedSource::Bytes(b"nonsense"[..].into()), key: key(9) },
    ];
    loader.submit(job(batch)).unwrap();
    let finished = loader.wait(LONG).unwrap();
    let failures = finished.failures();
    let messages: Vec<_> = failures.iter().map(|f| (f.position, f.error.to_string())).collect();
    assert_eq!(messages.iter().map(|m| m.0).collect::<Vec<_>>(), [0, 2]);
    assert!(messages[0].1.starts_with("/nowhere.jpg: "), "{}", messages[0].1);
    assert!(messages[1].1.starts_with("the sample with index 9: "), "{}", messages[1].1);

    let mut images = images(4);
    images.push(OwnedSource::Bytes(b"nonsense"[..].into()));
    let replace = |pairs: &[(usize, u64)]| {
        let new = samples(&images, &pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
        let new = pairs.iter().map(|pair| pair.0).zip(new);
        new.map(|(position, sample)| Replacement { position, sample }).collect::<Vec<_>>()
    };
    loader.redo(finished, replace(&[(0, 1), (2, 4)])).unwrap();
    let finished = loader.wait(LONG).unwrap();
    let [failure] = &finished.failures()[..] else { panic!("one of the two is not an image") };
    assert_eq!(failure.position, 2);
    loader.redo(finished, replace(&[(2, 3)])).unwrap();
    let finished = loader.wait(LONG).unwrap();
    assert!(finished.failures().is_empty());
    assert_eq!(finished.bytes(), expected(&samples(&images, &[1, 0, 3])));
    for wrong in [vec![(3, 0)], vec![(1, 0), (1, 0)]] {
        loader.submit(job(samples(&images, &[0, 1, 2]))).unwrap();
        let error = loader.redo(loader.wait(LONG).unwrap(), replace(&wrong)).unwrap_err();
        assert!(matches!(error, Error::Argument(_)));
    }
}

#[test]
fn memory_of_another_size_is_refused() {
    let loader = Loader::new(1).unwrap();
    let out = Memory::from(vec![0; 2 * 3 * VIEW - 1]);
    let error = loader.submit(Job { out, ..job(samples(&images(3), &[0, 1, 2])) }).unwrap_err();
    assert!(matches!(error, Error::Argument(_)));
    assert!(Loader::new(0).is_err());
}

#[test]
fn a_dropped_loader_ends_at_once() {
    let pixels = Bytes::from(pixels(1));
    let samples = (0..20_000).map(|i| OwnedSample { source: image(pixels.clone()), key: key(i) });
    let loader = Loader::new(2).unwrap();
    loader.submit(job(samples.collect())).unwrap();
    let began = Instant::now();
    drop(loader);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(pixels.is_unique(), "no task is left");
}

#[test]
fn members_of_archives_are_parts_of_files() {
    let path = std::env::temp_dir().join(format!("tied-augment-{}.bin", std::process::id()));
    std::fs::write(&path, b"0123456789").unwrap();
    let archive = Arc::new(Archive::new(path.clone()).unwrap());
    let member = |start| OwnedSource::Member { archive: Arc::clone(&archive), start, len: 4 };
    let members = [member(2), member(8)];
    let loader = Loader::new(1).unwrap();
    loader.submit(job(samples(&members, &[0, 1]))).unwrap();
    let failures = loader.wait(LONG).unwrap().failures();
    std::fs::write(&path, b"another archive").unwrap();
    loader.submit(job(samples(&members, &[0]))).unwrap();
    let changed = loader.wait(LONG).unwrap().failures();
    std::fs::remove_file(&path).unwrap();
    assert!(changed[0].error.to_string().contains("the archive has changed"));
    assert!(Archive::new(path).is_err());
    let messages: Vec<_> = failures.iter().map(|failure| failure.error.to_string()).collect();
    assert!(messages[0].contains("the member at byte 2: "), "{}", messages[0]);
    assert!(messages[0].contains("4 bytes that begin with '2345'"), "{}", messages[0]);
    assert!(messages[1].contains("truncated"), "{}", messages[1]);
}

#[test]
fn formats_are_lookups_in_any_layout() {
    let view: Vec<u8> = pixels(1)[..VIEW].to_vec();
    let four: Vec<u32> = (0..768).map(|i| (i * 2_654_435_761_u64 % (1 << 32)) as u32).collect();
    let two: Vec<u16> = four.iter().map(|v| (v >> 7) as u16).collect();
    let bytes4: Vec<u8> = four.iter().flat_map(|v| v.to_ne_bytes()).collect();
    let bytes2: Vec<u8> = two.iter().flat_map(|v| v.to_ne_bytes()).collect();
    let plane = VIEW / 3;
    for layout in [Layout::Planes, Layout::Interleaved] {
        for table in [None, Some(&bytes2), Some(&bytes4)] {
            let format = Format::new(table.map(|bytes| &bytes[..]), None, layout).unwrap();
            let size = format.element_size();
            let mut out = vec![0; VIEW * size];
            format.write(&view, false, &mut out);
            for (i, element) in out.chunks_exact(size).enumerate() {
                let (channel, pixel) = match layout {
                    Layout::Planes => (i / plane, i % plane),
                    Layout::Interleaved => (i % 3, i / 3),
                };
                let value = view[channel * plane + pixel];
                let entry = channel * 256 + value as usize;
                match size {
                    1 => assert_eq!(element, [value]),
                    2 => assert_eq!(element, two[entry].to_ne_bytes()),
                    _ => assert_eq!(element, four[entry].to_ne_bytes()),
                }
            }
        }
    }
    assert!(Format::new(Some(&bytes2[1..]), None, Layout::Planes).is_err());
}
