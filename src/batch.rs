//! Samples in, a batch of views out: decode once, plan, render every view, on all threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rayon::prelude::*;

use crate::decode::{Decoder, MAX_PIXELS};
use crate::error::{Error, Result};
use crate::file;
use crate::image::{Image, ImageRef, Rect};
use crate::plan::{Plan, Shared, ViewSpec, plan_views};
use crate::pool::{Pool, Workspace};
use crate::rng::Key;
use crate::view::{self, Renderer};

/// Where a sample's pixels come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// An image file's content.
    Bytes(&'a [u8]),
    /// An image file.
    Path(&'a Path),
    /// Pixels.
    Pixels(ImageRef<'a>),
}

/// A sample and the number that its randomness is keyed by.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The pixels' source.
    pub source: Source<'a>,
    /// The index in the data set.
    pub index: u64,
}

/// What the randomness of a batch depends on besides the samples' indices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u32,
    /// The number of the first view.
    pub view: u16,
}

/// The views to make of every sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    views: Vec<ViewSpec>,
    shared: Shared,
    max_pixels: u64,
}

impl Pipeline {
    /// A pipeline that makes `views`, all of one size.
    ///
    /// # Errors
    /// [`Error::Argument`] for a view that makes no sense, for none, for views of unequal sizes, or
    /// that declare differently what they share.
    pub fn new(views: Vec<ViewSpec>, shared: Shared, max_pixels: Option<u64>) -> Result<Self> {
        let refuse = |message: String| Err(Error::Argument(message));
        let Some(first) = views.first() else {
            return refuse("at least one view is needed".into());
        };
        for view in &views {
            view.validate()?;
            if view.size != first.size {
                return refuse(format!(
                    "all views must have one size to fit a batch, not {:?} and {:?}",
                    first.size, view.size
                ));
            }
            if let Some(name) = shared.conflict(first, view) {
                return refuse(format!(
                    "with same_crop every view takes the first view's {name}, but another view \
                     declares a different one: make them equal"
                ));
            }
        }
        if u16::try_from(views.len()).is_err() {
            return refuse("more than 65,535 views".into());
        }
        Ok(Self { views, shared, max_pixels: max_pixels.unwrap_or(MAX_PIXELS) })
    }

    /// How many views a sample has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// Never: a pipeline has at least one view.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// Height and width of every view.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.views[0].size
    }

    /// The plans of all views of an image of (height, width) `shape`; the first is number `key.view`.
    ///
    /// # Errors
    /// As [`plan_views`], or [`Error::Argument`] for an image without pixels.
    pub fn plan(&self, shape: (u32, u32), key: Key) -> Result<Vec<Plan>> {
        let mut plans = Vec::new();
        self.plan_into(shape, key, &mut plans)?;
        Ok(plans)
    }

    fn plan_into(&self, shape: (u32, u32), key: Key, plans: &mut Vec<Plan>) -> Result<()> {
        if shape.0 == 0 || shape.1 == 0 || shape.0.max(shape.1) > i32::MAX as u32 / 2 {
            return Err(Error::Argument(format!(
                "an image of (height, width) {shape:?} cannot be cropped: its sides must be from 1 \
                 to 1,073,741,823"
            )));
        }
        plan_views(&self.views, self.shared, shape, key, plans)
    }

    /// Makes all views of `samples` into `out`: (views, samples, 3, height, width), view-major.
    ///
    /// The output depends on each sample, its index and `run`, not on `pool`, the order or the batch.
    /// On failure the content of `out` is unspecified.
    ///
    /// # Errors
    /// Of the first sample that failed, with its path or position in front.
    ///
    /// # Panics
    /// If `out` has another size.
    pub fn run(&self, samples: &[Sample<'_>], run: Run, pool: &Pool, out: &mut [u8]) -> Result<()> {
        let (height, width) = self.size();
        let view = 3 * height as usize * width as usize;
        assert_eq!(out.len(), self.len() * samples.len() * view, "the output has another size");
        if samples.is_empty() {
            return Ok(());
        }
        // View-major memory, regrouped by sample.
        let mut by_view: Vec<_> =
            out.chunks_exact_mut(samples.len() * view).map(|v| v.chunks_exact_mut(view)).collect();
        let mut outs: Vec<&mut [u8]> = Vec::with_capacity(self.len() * samples.len());
        for _ in samples {
            outs.extend(by_view.iter_mut().filter_map(Iterator::next));
        }
        // With few samples the threads share the views of one.
        let sharing = (samples.len() < pool.threads()).then_some(pool);
        let one = |(position, (sample, outs)): (usize, (&Sample<'_>, &mut [&mut [u8]]))| {
            let Run { seed, epoch, view } = run;
            let key = Key { seed, epoch, index: sample.index, view };
            let result = self.contained(sample, key, (pool, sharing), outs);
            result.err().map(|error| (position, error.at(place(sample, position))))
        };
        let parallel = pool.install(|| {
            let work = samples.par_iter().zip(outs.par_chunks_mut(self.len())).enumerate();
            work.filter_map(one).min_by_key(|(position, _)| *position)
        });
        let failed = parallel.unwrap_or_else(|| {
            let mut work = samples.iter().zip(outs.chunks_mut(self.len())).enumerate();
            work.find_map(one)
        });
        failed.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Makes the views of one sample into `outs`, one part a view, on the calling thread.
    pub(crate) fn one(
        &self,
        sample: &Sample<'_>,
        key: Key,
        pool: &Pool,
        outs: &mut [&mut [u8]],
    ) -> Result<()> {
        self.contained(sample, key, (pool, None), outs)
    }

    /// One sample, with a panic made into an error.
    fn contained(
        &self,
        sample: &Sample<'_>,
        key: Key,
        (pool, sharing): (&Pool, Option<&Pool>),
        outs: &mut [&mut [u8]],
    ) -> Result<()> {
        // The workspace of a sample that panicked is dropped, not reused.
        let work = || pool.with_workspace(|w| self.sample(sample, key, sharing, w, outs));
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(Error::panic(&*payload)))
    }

    fn sample(
        &self,
        sample: &Sample<'_>,
        key: Key,
        sharing: Option<&Pool>,
        workspace: &mut Workspace,
        outs: &mut [&mut [u8]],
    ) -> Result<()> {
        let Workspace { decoder, file: bytes, image, plans, renderer } = workspace;
        let mut plan = |shape| {
            self.plan_into(shape, key, plans)?;
            Ok(view::needed(plans, shape))
        };
        let (pixels, region) = match sample.source {
            Source::Pixels(pixels) => {
                plan((pixels.height, pixels.width))?;
                (pixels, Rect { x: 0, y: 0, w: pixels.width, h: pixels.height })
            }
            Source::Bytes(bytes) => {
                let region = decoder.decode(bytes, self.max_pixels, of_file(plan), image)?;
                (image.as_ref(), region)
            }
            Source::Path(path) => {
                file::read(path, bytes)?;
                let region = decoder.decode(bytes, self.max_pixels, of_file(plan), image)?;
                (image.as_ref(), region)
            }
        };
        if let Some(pool) = sharing {
            plans.par_iter().zip(outs).for_each(|(plan, out)| {
                pool.with_workspace(|w| w.renderer.render(pixels, region, plan, out));
            });
        } else {
            for (plan, out) in plans.iter().zip(outs) {
                renderer.render(pixels, region, plan, out);
            }
        }
        Ok(())
    }
}

/// `plan` for the image of a file: if the two don't fit, the file is at fault, not an argument.
fn of_file<T>(
    mut plan: impl FnMut((u32, u32)) -> Result<T>,
) -> impl FnOnce((u32, u32)) -> Result<T> {
    move |shape| {
        plan(shape).map_err(|error| match error {
            Error::Argument(what) => Error::Sides(what),
            other => other,
        })
    }
}

/// Decodes the whole of `sample`, with its place in front of an error.
///
/// # Errors
/// As [`Decoder::decode`], and [`Error::Io`].
pub fn decode(sample: &Sample<'_>, max_pixels: Option<u64>, image: &mut Image) -> Result<()> {
    let max_pixels = max_pixels.unwrap_or(MAX_PIXELS);
    let whole = |(h, w)| Ok(Rect { x: 0, y: 0, w, h });
    let mut decode = |bytes: &[u8]| Decoder::default().decode(bytes, max_pixels, whole, image);
    match sample.source {
        Source::Pixels(pixels) => {
            image.copy_from(pixels);
            Ok(())
        }
        Source::Bytes(bytes) => decode(bytes).map(drop),
        Source::Path(path) => read(path)
            .and_then(|bytes| decode(&bytes).map(drop))
            .map_err(|error| error.at(path.display().to_string())),
    }
}

/// Executes `plan` on one sample, with its place in front of an error.
///
/// # Errors
/// As [`Plan::validate`] and [`Decoder::decode`], and [`Error::Io`].
pub fn render(sample: &Sample<'_>, plan: &Plan, max_pixels: Option<u64>) -> Result<Vec<u8>> {
    let max_pixels = max_pixels.unwrap_or(MAX_PIXELS);
    let mut image = Image::default();
    let needed = |shape| {
        plan.validate(shape)?;
        Ok(view::needed(std::slice::from_ref(plan), shape))
    };
    let draw = |pixels: ImageRef<'_>, region| {
        let mut out = vec![0; 3 * plan.size.0 as usize * plan.size.1 as usize];
        Renderer::default().render(pixels, region, plan, &mut out);
        out
    };
    let mut decode = |bytes: &[u8]| {
        let region = Decoder::default().decode(bytes, max_pixels, needed, &mut image)?;
        Ok(draw(image.as_ref(), region))
    };
    match sample.source {
        Source::Pixels(pixels) => {
            plan.validate((pixels.height, pixels.width))?;
            Ok(draw(pixels, Rect { x: 0, y: 0, w: pixels.width, h: pixels.height }))
        }
        Source::Bytes(bytes) => decode(bytes),
        Source::Path(path) => read(path)
            .and_then(|bytes| decode(&bytes))
            .map_err(|error| error.at(path.display().to_string())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file::read(path, &mut bytes)?;
    Ok(bytes)
}

fn place(sample: &Sample<'_>, position: usize) -> String {
    match sample.source {
        Source::Path(path) => path.display().to_string(),
        Source::Bytes(_) | Source::Pixels(_) => {
            format!("sample {position} of the batch (index {})", sample.index)
        }
    }
}
