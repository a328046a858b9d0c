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
//! pipeline.run(&samples, &pool, &workspaces, out.outer_iter_mut())?;
//! assert!(out.iter().all(|&value| value == 90));
//! # Ok::<_, tied_augment::error::Error>(())
//! ```
//!
//! Views may have several sizes. There is one output for each, so two large views and six small
//! ones need two arrays:
//!
//! ```
//! # use ndarray::Array5;
//! # use tied_augment::batch::{Pipeline, Sample, Workspaces};
//! # use tied_augment::image::ImageRef;
//! # use tied_augment::plan::{Crop, Shared, ViewSpec};
//! # use tied_augment::policy::Augment;
//! # use tied_augment::pool::Pool;
//! # use tied_augment::resize::Filter;
//! # use tied_augment::rng::Key;
//! # use tied_augment::source::Source;
//! let view = |side, scale| ViewSpec {
//!     size: (side, side),
//!     crop: Crop::RandomResized { scale, ratio: (3.0 / 4.0, 4.0 / 3.0) },
//!     interpolation: vec![Filter::Bicubic],
//!     hflip: 0.5,
//!     vflip: 0.0,
//!     augment: Augment::default(),
//! };
//! let mut views = vec![view(32, (0.25, 1.0)); 2];
//! views.extend(vec![view(16, (0.05, 0.25)); 6]);
//! let pipeline = Pipeline::new(views, Shared::Nothing)?;
//!
//! let pixels = vec![90; 50 * 40 * 3];
//! let source = Source::Pixels(ImageRef::new(50, 40, &pixels));
//! let samples = [0, 1, 2].map(|index| Sample {
//!     source,
//!     key: Key { seed: 0, epoch: 3, index, view: 0 },
//! });
//!
//! let mut large = Array5::zeros((2, 3, 3, 32, 32));
//! let mut small = Array5::zeros((6, 3, 3, 16, 16));
//! let outs = large.outer_iter_mut().chain(small.outer_iter_mut());
//! pipeline.run(&samples, &Pool::default(), &Workspaces::default(), outs)?;
//! assert!(large.iter().chain(&small).all(|&value| value == 90));
//! # Ok::<_, tied_augment::error::Error>(())
//! ```

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use ndarray::ArrayViewMut4;

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
    /// Where each view of a sample begins when they follow one another, and where the last ends.
    starts: Vec<usize>,
}

impl Pipeline {
    /// A pipeline that makes `views`.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are no views or more than 65,535, if a view is not valid, if
    /// they declare differently what they share, or if they have several sizes and share a crop
    /// that depends on the size.
    pub fn new(views: Vec<ViewSpec>, shared: Shared) -> Result<Self> {
        let refuse = |message: String| Err(Error::Argument(message));
        let Some(first) = views.first() else {
            return refuse("at least one view is needed".into());
        };
        for view in &views {
            view.validate()?;
            if let Some(name) = shared.conflict(first, view) {
                return refuse(format!(
                    "with same_crop every view takes the first view's {name}, but another view \
                     declares a different one: make them equal"
                ));
            }
            if view.size != first.size && !shared.fits_any_size(first) {
                return refuse(format!(
                    "with same_crop views of several sizes, {:?} and {:?}, can share a crop of the \
                     image only, which crop='rrc' and crop='squash' give: use one of these, or one \
                     size",
                    first.size, view.size
                ));
            }
        }
        if u16::try_from(views.len()).is_err() {
            return refuse(format!("at most 65,535 views can be made, not {}", views.len()));
        }
        let mut starts = vec![0];
        starts.extend(views.iter().scan(0, |end, view| {
            *end += 3 * view.size.0 as usize * view.size.1 as usize;
            Some(*end)
        }));
        Ok(Self { views, shared, limits: Limits::default(), starts })
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

    /// Height and width of each view.
    pub fn sizes(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.views.iter().map(|view| view.size)
    }

    /// The place of each view's elements among those of a sample, if its views follow one another.
    pub(crate) fn places(&self) -> impl ExactSizeIterator<Item = Range<usize>> + Send {
        self.starts.windows(2).map(|ends| ends[0]..ends[1])
    }

    /// The number of elements of all views of a sample: three planes each.
    pub(crate) fn sample_len(&self) -> usize {
        self.starts[self.views.len()]
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

    /// Makes all views of `samples` into `outs`: for each view a C-contiguous
    /// (samples, 3, height, width).
    ///
    /// On failure the content of `outs` is unspecified.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is not one output per view, or if one has another shape or is
    /// not C-contiguous. Otherwise the error of the first sample that failed, with its path or
    /// position in front.
    pub fn run<'o>(
        &self,
        samples: &[Sample<'_>],
        pool: &Pool,
        workspaces: &Workspaces,
        outs: impl IntoIterator<Item = ArrayViewMut4<'o, u8>>,
    ) -> Result<()> {
        let mut parts = self.parts(samples.len(), outs)?;
        let inner = if samples.len() < pool.threads() { pool } else { &Pool::default() };
        let failed: Mutex<Option<(usize, Error)>> = Mutex::default();
        let lock = || failed.lock().unwrap_or_else(PoisonError::into_inner);
        let items = samples.iter().zip(parts.chunks_exact_mut(self.num_views())).enumerate();
        pool.share(items, pool.threads(), |(position, (sample, views))| {
            // After a failure only an earlier sample can still matter.
            if lock().as_ref().is_some_and(|(first, _)| *first < position) {
                return;
            }
            let outs = views.iter_mut().map(|view| &mut **view);
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

    /// The memory of every view of every sample, the views of the first sample first.
    fn parts<'o>(
        &self,
        samples: usize,
        outs: impl IntoIterator<Item = ArrayViewMut4<'o, u8>>,
    ) -> Result<Vec<&'o mut [u8]>> {
        let refuse = |message: String| Err(Error::Argument(message));
        let mut by_view = Vec::with_capacity(self.num_views());
        let mut sizes = self.sizes();
        for (view, out) in outs.into_iter().enumerate() {
            let Some((height, width)) = sizes.next() else {
                return refuse(format!("out must be {} views, not more", self.num_views()));
            };
            let wanted = [samples, 3, height as usize, width as usize];
            let problem = match out.shape() {
                shape if shape != wanted => format!("got shape {shape:?}"),
                _ if !out.is_standard_layout() => "it is not contiguous".into(),
                _ => {
                    let elements = out.into_slice().expect("it is contiguous, as just checked");
                    by_view.push(elements.chunks_exact_mut(wanted[1..].iter().product()));
                    continue;
                }
            };
            return refuse(format!(
                "out[{view}] must be C-contiguous and of shape {wanted:?}; {problem}"
            ));
        }
        if by_view.len() < self.num_views() {
            return refuse(format!(
                "out must be {} views, not {}",
                self.num_views(),
                by_view.len()
            ));
        }
        let mut parts = Vec::with_capacity(samples * by_view.len());
        for _ in 0..samples {
            parts.extend(by_view.iter_mut().filter_map(Iterator::next));
        }
        Ok(parts)
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
