//! Batches of good and damaged samples: each gives the views that it gives alone, or an error that
//! names it, whatever its neighbours and the threads.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use ndarray::ArrayViewMut4;
use tied_augment::batch::{Pipeline, Workspaces};
use tied_augment::decode::Limits;
use tied_augment::error::Error;
use tied_augment::loader::{Failure, Format, Job, Loader, Memory, OwnedSample};
use tied_augment::plan::Shared;
use tied_augment::pool::Pool;
use tied_augment::rng::Key;
use tied_augment::source::OwnedSource;

use super::draw;

/// A small image in each format.
const FILES: [&[u8]; 9] = [
    include_bytes!("../files/baseline.jpg"),
    include_bytes!("../files/progressive.jpg"),
    include_bytes!("../files/cmyk.jpg"),
    include_bytes!("../files/packed.bin"),
    include_bytes!("../files/rgb.png"),
    include_bytes!("../files/palette.gif"),
    include_bytes!("../files/lossy.webp"),
    include_bytes!("../files/rgb.bmp"),
    include_bytes!("../files/lzw.tif"),
];
const LIMITS: u64 = 1 << 14;

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(2).expect("threads"));
static LOADER: LazyLock<Loader> = LazyLock::new(|| Loader::new(2).expect("threads"));
static WORKSPACES: LazyLock<Workspaces> = LazyLock::new(Workspaces::default);

pub fn check(bytes: &[u8]) {
    // An error only means that the bytes are used up.
    let _ = drawn(&mut Unstructured::new(bytes));
}

fn drawn(u: &mut Unstructured<'_>) -> Result<()> {
    let views = (0..u.int_in_range(1..=2)?).map(|_| draw::view(u)).collect::<Result<_>>()?;
    let shared = *u.choose(&[Shared::Nothing, Shared::Crop, Shared::CropAndFlips])?;
    let pipeline = match Pipeline::new(views, shared) {
        Ok(pipeline) => Arc::new(pipeline.with_limits(Limits::default().with_max_pixels(LIMITS))),
        Err(error) => {
            assert!(matches!(error, Error::Argument(_)), "{error:?}");
            return Ok(());
        }
    };
    let count = u.int_in_range(1..=4)?;
    let samples = (0..count).map(|index| {
        let key = Key { seed: u.arbitrary()?, epoch: 0, index, view: 0 };
        Ok(OwnedSample { source: source(u)?, key })
    });
    let samples: Vec<OwnedSample> = samples.collect::<Result<_>>()?;
    let alone: Vec<_> = samples
        .iter()
        .map(|sample| batch(&pipeline, std::slice::from_ref(sample), &Pool::default()))
        .collect();
    together(&pipeline, &samples, &alone);
    ahead(&pipeline, samples, &alone);
    Ok(())
}

/// A file with some damage, or pixels.
fn source(u: &mut Unstructured<'_>) -> Result<OwnedSource> {
    if u.ratio(1, 5)? {
        let (width, height) = (u.int_in_range(1..=30)?, u.int_in_range(1..=30)?);
        let data = vec![u.arbitrary()?; 3 * width as usize * height as usize].into();
        return Ok(OwnedSource::Pixels { width, height, data });
    }
    let mut file = u.choose(&FILES)?.to_vec();
    for _ in 0..u.int_in_range(0..=4)? {
        let at = u.choose_index(file.len())?;
        match u.int_in_range(0..=3)? {
            0 => file[at] = u.arbitrary()?,
            1 => file[at] ^= 1 << u.int_in_range(0..=7)?,
            2 => file.truncate(at.max(1)),
            _ => drop(file.remove(at).max(1)),
        }
        if file.is_empty() {
            break;
        }
    }
    Ok(OwnedSource::Bytes(file.into()))
}

/// The views of a batch, one after the other.
fn batch(
    pipeline: &Pipeline,
    samples: &[OwnedSample],
    pool: &Pool,
) -> std::result::Result<Vec<Vec<u8>>, Error> {
    let shape = |(height, width)| (samples.len(), 3, height as usize, width as usize);
    let mut views: Vec<_> = pipeline
        .sizes()
        .map(|size| {
            let (n, c, h, w) = shape(size);
            vec![0; n * c * h * w]
        })
        .collect();
    let outs = views.iter_mut().zip(pipeline.sizes());
    let outs = outs.map(|(view, size)| {
        ArrayViewMut4::from_shape(shape(size), view).expect("as long as the shape says")
    });
    let borrowed: Vec<_> = samples.iter().map(OwnedSample::as_sample).collect();
    pipeline.run(&borrowed, pool, &WORKSPACES, outs)?;
    Ok(views)
}
type Views = std::result::Result<Vec<Vec<u8>>, Error>;

/// What `error` says of the sample, without its place.
fn cause(error: &Error) -> String {
    let Error::At { source, .. } = error else { panic!("no place in {error:?}") };
    assert!(!matches!(**source, Error::Panic(_) | Error::Memory { .. }), "{source:?}");
    source.to_string()
}

/// The whole batch at once fails as its first bad sample, or has all views.
fn together(pipeline: &Pipeline, samples: &[OwnedSample], alone: &[Views]) {
    let views = batch(pipeline, samples, &POOL);
    if let Some((i, Err(error))) = alone.iter().enumerate().find(|(_, views)| views.is_err()) {
        let got = views.expect_err("a bad sample").to_string();
        assert_eq!(got, format!("sample {i} of the batch (index {i}): {}", cause(error)));
        return;
    }
    let views = views.expect("good samples");
    for (i, own) in alone.iter().flatten().enumerate() {
        for (view, own) in views.iter().zip(own) {
            assert!(view[i * own.len()..][..own.len()] == *own, "sample {i} has other pixels");
        }
    }
}

/// The loader says which samples are bad, and has the views of the others.
fn ahead(pipeline: &Arc<Pipeline>, samples: Vec<OwnedSample>, alone: &[Views]) {
    let count = samples.len();
    let sides: Vec<usize> = pipeline.sizes().map(|(h, w)| 3 * h as usize * w as usize).collect();
    let out = Memory::from(vec![0; count * sides.iter().sum::<usize>()]);
    let (pipeline, format) = (Arc::clone(pipeline), Arc::new(Format::PLAIN));
    LOADER.submit(Job { pipeline, samples, format, out }).expect("a job");
    let finished = LOADER.wait(Duration::from_secs(60)).expect("a small batch");
    let failures = finished.failures();
    for (i, own) in alone.iter().enumerate() {
        let failure = failures.iter().find(|failure| failure.position == i);
        match (own, failure) {
            (Err(error), Some(Failure { error: got, .. })) => {
                let named = format!("the sample with index {i}: {}", cause(error));
                assert_eq!(got.to_string(), named);
            }
            (Ok(own), None) => {
                let mut start = 0;
                for view in own {
                    let at = start + i * view.len();
                    assert!(finished.bytes()[at..][..view.len()] == **view, "sample {i}");
                    start += count * view.len();
                }
            }
            (own, failure) => panic!("alone: {:?}; ahead: {failure:?}", own.as_ref().err()),
        }
    }
}
