//! Samples in, a batch of views out, on all threads of a pool.
//!
//! One sample takes four steps:
//!
//! 1. Its source is opened, which gives the image's shape ([`crate::source`]).
//! 2. The plans of all its views are drawn ([`crate::plan`]). This is the only random step.
//! 3. The region that the plans need is decoded, once for all views.
//! 4. Each view is rendered ([`crate::view`]) into its place in the output.
//!
//! The threads take samples in order. If there are fewer samples than threads, the threads share
//! the views of a sample as well. The output depends on each sample and its key, and on nothing
//! else: not on the number of threads, the order of the samples, or the other samples of the batch.
//!
//! ```
//! use ndarray::Array5;
//! use tied_augment::batch::{Pipeline, Sample, Workspaces};
//! use tied_augment::image::ImageRef;
//! use tied_augment::plan::{Crop, Shared, ViewSpec};
//! use tied_augment::policy::Augment;
//! use tied_augment::pool::Pool;
//! use tied_augment::resize::Filter;
//! use tied_augment::rng::Key;
//! use tied_augment::source::Source;
//!
//! let view = ViewSpec {
//!     size: (32, 32),
//!     crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) },
//!     interpolation: vec![Filter::Bicubic],
//!     hflip: 0.5,
//!     vflip: 0.0,
//!     augment: Augment::default(),
//! };
//! let pipeline = Pipeline::new(vec![view.clone(), view], Shared::Nothing)?;
//!
//! let pixels = vec![90; 50 * 40 * 3];
//! let sample = |index| Sample {
//!     source: Source::Pixels(ImageRef::new(50, 40, &pixels)),
//!     key: Key { seed: 0, epoch: 3, index, view: 0 },
//! };
//! let samples: Vec<_> = (0..8).map(sample).collect();
//!
//! // Both are made once and used for every batch.
//! let (pool, workspaces) = (Pool::new(2)?, Workspaces::default());
//! let mut out = Array5::zeros((2, 8, 3, 32, 32));
//! pipeline.run(&samples, &pool, &workspaces, out.view_mut())?;
//! assert!(out.iter().all(|&value| value == 90));
//! # Ok::<_, tied_augment::error::Error>(())
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayViewMut3, ArrayViewMut5, Axis};

use crate::decode::Limits;
use crate::error::{Error, Result};
use crate::plan::{Plan, Shared, ViewSpec, plan_views};
use crate::pool::Pool;
use crate::rng::Key;
use crate::source::{OpenedSource, Source};
use crate::view;
use crate::workspaces::SampleBuffers;
pub use crate::workspaces::Workspaces;

/// An image and the key of its randomness.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Where the pixels come from.
    pub source: Source<'a>,
    /// The key of the first view. Later views have the next numbers.
    pub key: Key,
}

/// The views to make of every sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    views: Vec<ViewSpec>,
    shared: Shared,
    limits: Limits,
}

impl Pipeline {
    /// A pipeline that makes `views`, all of one size.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are no views or more than 65,535, if a view is not valid, if
    /// their sizes differ, or if they declare differently what they share.
    pub fn new(views: Vec<ViewSpec>, shared: Shared) -> Result<Self> {
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
        Ok(Self { views, shared, limits: Limits::default() })
    }

    /// The same pipeline with other limits for files.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// How many views are made of a sample.
    #[must_use]
    pub fn num_views(&self) -> usize {
        self.views.len()
    }

    /// Height and width of every view.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.views[0].size
    }

    /// The number of bytes of one view: three planes.
    pub(crate) fn view_len(&self) -> usize {
        let (height, width) = self.size();
        3 * height as usize * width as usize
    }

    /// The plans of all views of an image of (height, width) `shape`; `key` is the first view's.
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

    /// Makes all views of `samples` into `out`, a C-contiguous (views, samples, 3, height, width).
    ///
    /// On failure the content of `out` is unspecified.
    ///
    /// # Errors
    /// [`Error::Argument`] if `out` has another shape or is not C-contiguous. Otherwise the error
    /// of the first sample that failed, with its path or position in front.
    pub fn run(
        &self,
        samples: &[Sample<'_>],
        pool: &Pool,
        workspaces: &Workspaces,
        mut out: ArrayViewMut5<'_, u8>,
    ) -> Result<()> {
        self.check(samples.len(), &out)?;
        let inner = if samples.len() < pool.threads() { pool } else { &Pool::default() };
        let failed: Mutex<Option<(usize, Error)>> = Mutex::default();
        let lock = || failed.lock().unwrap_or_else(PoisonError::into_inner);
        let items = samples.iter().zip(out.axis_iter_mut(Axis(1))).enumerate();
        pool.share(items, pool.threads(), |(position, (sample, mut views))| {
            // After a failure only an earlier sample can still matter.
            if lock().as_ref().is_some_and(|(first, _)| *first < position) {
                return;
            }
            let outs = views.outer_iter_mut().map(contiguous);
            if let Err(error) = self.one(sample, inner, workspaces, outs) {
                let place =
                    || format!("sample {position} of the batch (index {})", sample.key.index);
                let error = error.at(sample.source.name().unwrap_or_else(place));
                let mut failed = lock();
                if failed.as_ref().is_none_or(|(first, _)| position < *first) {
                    *failed = Some((position, error));
                }
            }
        });
        let failed = lock().take();
        failed.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Refuses an output of another shape or order.
    fn check(&self, samples: usize, out: &ArrayViewMut5<'_, u8>) -> Result<()> {
        let (height, width) = self.size();
        let wanted = [self.num_views(), samples, 3, height as usize, width as usize];
        let problem = match out.shape() {
            shape if shape != wanted => format!("got shape {shape:?}"),
            _ if !out.is_standard_layout() => "it is not contiguous".into(),
            _ => return Ok(()),
        };
        let message = format!("out must be C-contiguous and of shape {wanted:?}; {problem}");
        Err(Error::Argument(message))
    }

    /// Makes the views of one sample into `outs`, one slice per view, shared by the threads of
    /// `pool`. A panic becomes an error.
    pub(crate) fn one<'o>(
        &self,
        sample: &Sample<'_>,
        pool: &Pool,
        workspaces: &Workspaces,
        outs: impl ExactSizeIterator<Item = &'o mut [u8]> + Send,
    ) -> Result<()> {
        let work = |buffers: &mut SampleBuffers| {
            let SampleBuffers { file, decoder, plans, parts, image } = buffers;
            let opened = sample.source.open(decoder, file, self.limits)?;
            let shape = opened.shape();
            self.plan_into(shape, sample.key, plans).map_err(|error| match (error, &opened) {
                // An image that doesn't fit the views is an argument, unless it comes from a file.
                (Error::Argument(what), OpenedSource::File(_)) => Error::Sides(what),
                (other, _) => other,
            })?;
            view::needed(plans, shape, parts);
            let (pixels, region) = opened.read(parts, image)?;
            pool.share(plans.iter().zip(outs), pool.threads(), |(plan, out)| {
                workspaces.lend_renderer(|renderer| renderer.render(pixels, region, plan, out));
            });
            Ok(())
        };
        catch_unwind(AssertUnwindSafe(|| workspaces.lend_sample(work)))
            .unwrap_or_else(|payload| Err(Error::panic(&*payload)))
    }
}

/// The elements of one view of a C-contiguous batch.
fn contiguous(view: ArrayViewMut3<'_, u8>) -> &mut [u8] {
    view.into_slice().expect("a view of a C-contiguous batch is contiguous")
}
