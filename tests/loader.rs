//! The loader's core: order, failures, replacements and the end, without Python.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tied_augment::batch::{Pipeline, Run, Sample, Source};
use tied_augment::error::Error;
use tied_augment::image::{Image, ImageRef};
use tied_augment::loader::{
    Archive, Catalog, Format, Input, Item, Job, Layout, Loader, Memory, Stored,
};
use tied_augment::plan::{Crop, Shared, ViewSpec};
use tied_augment::policy::Augment;
use tied_augment::pool::Pool;
use tied_augment::resize::Filter;

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
    Arc::new(Pipeline::new(vec![view.clone(), view], Shared::Nothing, None).unwrap())
}

fn pixels(count: usize) -> Vec<u8> {
    (0..count * 20 * 24 * 3).map(|i| (i * i / 7 + i / 31) as u8).collect()
}

fn catalog(count: usize) -> Arc<Catalog> {
    Arc::new(Catalog::Pixels { pixels: Box::new(pixels(count)), shape: (20, 24) })
}

fn expected(indices: &[u64], run: Run) -> Vec<u8> {
    let pixels = pixels(indices.iter().max().map_or(0, |&i| i as usize + 1));
    let images = pixels.chunks_exact(20 * 24 * 3).map(|image| ImageRef::new(24, 20, image));
    let images: Vec<_> = images.collect();
    let sample = |&index: &u64| Sample { source: Source::Pixels(images[index as usize]), index };
    let samples: Vec<_> = indices.iter().map(sample).collect();
    let mut out = vec![0; 2 * indices.len() * VIEW];
    pipeline().run(&samples, run, &Pool::new(1).unwrap(), &mut out).unwrap();
    out
}

/// Memory that can still be read after the loader is done with it.
fn memory(len: usize) -> (Memory, Arc<std::sync::Mutex<Vec<u8>>>) {
    let bytes = Arc::new(std::sync::Mutex::new(vec![0; len]));
    let start = std::ptr::NonNull::new(bytes.lock().unwrap().as_mut_ptr()).unwrap();
    // SAFETY: the vector is neither moved nor touched until the batch is finished.
    (unsafe { Memory::foreign(start, len, Box::new(Arc::clone(&bytes))) }, bytes)
}

fn job(out: Memory, run: Run) -> Job {
    Job { pipeline: pipeline(), run, format: Arc::new(Format::PLAIN), out }
}

fn items(catalog: &Arc<Catalog>, indices: &[u64]) -> Vec<Item> {
    let input = || Input::Catalog(Arc::clone(catalog));
    indices.iter().map(|&index| Item { index, view: 0, input: input() }).collect()
}

#[test]
fn batches_come_in_order_for_any_number_of_threads() {
    let catalog = catalog(40);
    for threads in [1, 2, 5] {
        let loader = Loader::new(threads).unwrap();
        let mut outs = Vec::new();
        for batch in 0..6_u64 {
            let indices: Vec<u64> = (0..5 + batch).map(|i| (i * 7 + batch) % 40).collect();
            let run = Run { seed: 3, epoch: batch as u32, view: 0 };
            let (memory, out) = memory(2 * indices.len() * VIEW);
            loader.submit(job(memory, run), items(&catalog, &indices)).unwrap();
            outs.push((out, expected(&indices, run)));
        }
        for (out, wanted) in outs {
            assert!(loader.next(LONG).unwrap().failures().is_empty());
            assert_eq!(*out.lock().unwrap(), wanted);
        }
        assert!(loader.next(Duration::ZERO).is_none());
        assert_eq!(loader.counts().images, 45);
    }
}

#[test]
fn failures_are_reported_by_position_and_can_be_replaced() {
    let loader = Loader::new(2).unwrap();
    let run = Run::default();
    let (memory, out) = memory(2 * 3 * VIEW);
    let stored = |stored| Input::Stored(stored);
    let missing = Stored::Path(Path::new("/nowhere.jpg").into());
    let image = Image { width: 24, height: 20, data: pixels(1) };
    let batch = vec![
        Item { index: 0, view: 0, input: stored(missing) },
        Item { index: 0, view: 0, input: stored(Stored::Pixels(image)) },
        Item { index: 9, view: 0, input: stored(Stored::Bytes(b"nonsense".to_vec())) },
    ];
    loader.submit(job(memory, run), batch).unwrap();
    let finished = loader.next(LONG).unwrap();
    let failures = finished.failures();
    let messages: Vec<_> = failures.iter().map(|f| (f.position, f.error.to_string())).collect();
    assert_eq!(messages.iter().map(|m| m.0).collect::<Vec<_>>(), [0, 2]);
    assert!(messages[0].1.starts_with("/nowhere.jpg: "), "{}", messages[0].1);
    assert!(messages[1].1.starts_with("the sample with index 9: "), "{}", messages[1].1);

    let catalog = catalog(4);
    let replace = |pairs: &[(usize, u64)]| {
        let new = items(&catalog, &pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
        pairs.iter().map(|pair| pair.0).zip(new).collect::<Vec<_>>()
    };
    loader.redo(finished, replace(&[(0, 1), (2, 7)])).unwrap();
    let finished = loader.next(LONG).unwrap();
    let [failure] = &finished.failures()[..] else { panic!("one more is outside the catalog") };
    assert_eq!(failure.position, 2);
    loader.redo(finished, replace(&[(2, 3)])).unwrap();
    let finished = loader.next(LONG).unwrap();
    assert!(finished.failures().is_empty());
    assert_eq!(*out.lock().unwrap(), expected(&[1, 0, 3], run));
    for wrong in [vec![(3, 0)], vec![(1, 0), (1, 0)]] {
        let (memory, _) = self::memory(2 * 3 * VIEW);
        loader.submit(job(memory, run), items(&catalog, &[0, 1, 2])).unwrap();
        let error = loader.redo(loader.next(LONG).unwrap(), replace(&wrong)).unwrap_err();
        assert!(matches!(error, Error::Argument(_)));
    }
}

#[test]
fn memory_of_another_size_is_refused() {
    let loader = Loader::new(1).unwrap();
    let out = Memory::from(vec![0; 2 * 3 * VIEW - 1]);
    let error =
        loader.submit(job(out, Run::default()), items(&catalog(3), &[0, 1, 2])).unwrap_err();
    assert!(matches!(error, Error::Argument(_)));
    assert!(Loader::new(0).is_err());
}

#[test]
fn a_dropped_loader_ends_at_once() {
    let catalog = catalog(40);
    let indices: Vec<u64> = (0..20_000).map(|i| i % 40).collect();
    let loader = Loader::new(2).unwrap();
    let out = Memory::from(vec![0; 2 * indices.len() * VIEW]);
    loader.submit(job(out, Run::default()), items(&catalog, &indices)).unwrap();
    let began = Instant::now();
    drop(loader);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(Arc::strong_count(&catalog), 1, "no task is left");
}

#[test]
fn members_of_archives_are_parts_of_files() {
    let path = std::env::temp_dir().join(format!("tied-augment-{}.bin", std::process::id()));
    std::fs::write(&path, b"0123456789").unwrap();
    let members = vec![(0, 2, 4), (0, 8, 4)];
    let archives = vec![Archive::new(path.clone()).unwrap()];
    let catalog = Arc::new(Catalog::Members { archives, members });
    let loader = Loader::new(1).unwrap();
    let out = Memory::from(vec![0; 2 * 2 * VIEW]);
    loader.submit(job(out, Run::default()), items(&catalog, &[0, 1])).unwrap();
    let failures = loader.next(LONG).unwrap().failures();
    std::fs::write(&path, b"another archive").unwrap();
    let out = Memory::from(vec![0; 2 * VIEW]);
    loader.submit(job(out, Run::default()), items(&catalog, &[0])).unwrap();
    let changed = loader.next(LONG).unwrap().failures();
    std::fs::remove_file(&path).unwrap();
    assert!(changed[0].error.to_string().contains("the archive has changed"));
    assert!(Archive::new(path).is_err());
    let messages: Vec<_> = failures.iter().map(|failure| failure.error.to_string()).collect();
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
