//! The loader: threads that make batches ahead of their consumer.
//!
//! # Protocol
//!
//! The consumer [submits](Loader::submit) a [`Job`]: samples, and the memory to write their views
//! into. It keeps as many jobs under way as it wants batches prefetched; nothing else bounds what
//! runs ahead. It [waits](Loader::wait) for batches and gets them in the order in which it
//! submitted them, however many threads there are.
//!
//! ```text
//!              submit                  queue of single samples                  wait
//! consumer ───────────▶ batch 2: b3 b2 b1 b0 │ batch 1: a3 a2 ───▶ threads ───────────▶ consumer
//!                                                  ▲
//!                                                  └── redo: samples of the oldest batch
//! ```
//!
//! The queue holds single samples, not batches, and threads take the oldest sample of the oldest
//! batch. So all threads work on the batch that the consumer needs next, and none is idle at the
//! end of a batch. A batch is finished when its count of remaining samples reaches 0.
//!
//! A sample that fails does not stop its batch: [`Finished::failures`] has its position and its
//! error. What to do about it is the consumer's choice. [`Loader::redo`] makes samples of a
//! finished batch again, from other sources; they go to the front of the queue, and the batch is
//! the oldest again.
//!
//! Dropping a [`Loader`] closes it: the queue is emptied, and each thread ends after its present
//! sample.
//!
//! The threads take no lock but the loader's own. They never need Python's GIL, so they can't delay
//! an interpreter that exits.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use tied_augment::batch::Pipeline;
//! use tied_augment::loader::{Format, Job, Loader, Memory, OwnedSample};
//! use tied_augment::plan::{Crop, Shared, ViewSpec};
//! use tied_augment::policy::Augment;
//! use tied_augment::resize::Filter;
//! use tied_augment::rng::Key;
//! use tied_augment::source::OwnedSource;
//!
//! let view = ViewSpec {
//!     size: (32, 32),
//!     crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) },
//!     interpolation: vec![Filter::Bicubic],
//!     hflip: 0.5,
//!     vflip: 0.0,
//!     augment: Augment::default(),
//! };
//! let pipeline = Arc::new(Pipeline::new(vec![view.clone(), view], Shared::Nothing)?);
//! let format = Arc::new(Format::PLAIN);
//!
//! let loader = Loader::new(2)?;
//! for batch in 0..3 {
//!     let data = Bytes::from(vec![90; 50 * 40 * 3]);
//!     let sample = |i: u64| OwnedSample {
//!         source: OwnedSource::Pixels { width: 50, height: 40, data: data.clone() },
//!         key: Key { seed: 0, epoch: 0, index: batch * 8 + i, view: 0 },
//!     };
//!     loader.submit(Job {
//!         pipeline: Arc::clone(&pipeline),
//!         samples: (0..8).map(sample).collect(),
//!         format: Arc::clone(&format),
//!         out: Memory::from(vec![0; 2 * 8 * 3 * 32 * 32]),
//!     })?;
//! }
//! for _ in 0..3 {
//!     let batch = loader.wait(Duration::from_secs(60)).expect("a small batch takes less");
//!     assert!(batch.failures().is_empty());
//!     assert!(batch.bytes().iter().all(|&value| value == 90));
//! }
//! # Ok::<_, tied_augment::error::Error>(())
//! ```

mod format;
mod memory;
mod normalise;
mod worker;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

pub use format::{Format, Layout};
pub use memory::Memory;

use crate::batch::{Pipeline, Sample};
use crate::error::{Error, Result};
use crate::rng::Key;
use crate::source::OwnedSource;
use worker::Task;

/// A batch to be made.
#[derive(Debug)]
pub struct Job {
    /// The views to make of every sample.
    pub pipeline: Arc<Pipeline>,
    /// The samples.
    pub samples: Vec<OwnedSample>,
    /// The elements to write.
    pub format: Arc<Format>,
    /// The output: (views, samples, 3, height, width) elements, or as the format's layout says.
    pub out: Memory,
}

/// An image and the key of its randomness, as [`crate::batch::Sample`], but owned.
#[derive(Clone, Debug)]
pub struct OwnedSample {
    /// Where the pixels come from.
    pub source: OwnedSource,
    /// The key of the first view. Later views have the next numbers.
    pub key: Key,
}

impl OwnedSample {
    /// This sample, borrowed.
    ///
    /// # Panics
    /// As [`OwnedSource::as_source`].
    #[must_use]
    pub fn as_sample(&self) -> Sample<'_> {
        Sample { source: self.source.as_source(), key: self.key }
    }
}

/// Another sample for a position of a finished batch.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// The position in the batch.
    pub position: usize,
    /// The sample to make there.
    pub sample: OwnedSample,
}

/// A sample that could not be made. Its part of the output is unspecified.
#[derive(Debug)]
pub struct Failure {
    /// The position in the batch.
    pub position: usize,
    /// The cause.
    pub error: Error,
}

/// A batch of which all samples have been made or have failed.
#[derive(Debug)]
pub struct Finished(Arc<Batch>);

impl Finished {
    /// The samples that failed, by position. The list is empty after the first call.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        let mut failures = std::mem::take(&mut *lock(&self.0.failures));
        failures.sort_unstable_by_key(|failure| failure.position);
        failures
    }

    /// The output.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: no thread works on a finished batch, and `redo` takes it away from the consumer.
        unsafe { self.0.out.bytes() }
    }
}

/// A batch under way.
#[derive(Debug)]
struct Batch {
    pipeline: Arc<Pipeline>,
    samples: usize,
    format: Arc<Format>,
    out: Memory,
    remaining: AtomicUsize,
    failures: Mutex<Vec<Failure>>,
}

impl Batch {
    fn is_finished(&self) -> bool {
        self.remaining.load(Ordering::Acquire) == 0
    }
}

/// Where the consumer and the threads meet.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// Signalled when there is a sample to make, and when the loader is closed.
    work: Condvar,
    /// Signalled when a batch is finished.
    done: Condvar,
    images: AtomicU64,
    busy_nanos: AtomicU64,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    batches: VecDeque<Arc<Batch>>,
    closed: bool,
}

/// What the threads have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Samples that were made or failed.
    pub images: u64,
    /// The time spent on them, summed over the threads.
    pub busy: Duration,
}

/// Threads that make batches. Dropping it ends them, each after its present sample.
pub struct Loader {
    queue: Arc<Queue>,
    most: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Loader {
    /// A loader of up to `threads` threads. They are started when there are samples for them.
    ///
    /// # Errors
    /// [`Error::Argument`] for 0 threads.
    pub fn new(threads: usize) -> Result<Self> {
        if threads == 0 {
            return Err(Error::Argument("threads must be at least 1".into()));
        }
        Ok(Self { queue: Arc::default(), most: threads, threads: Mutex::default() })
    }

    /// Adds a batch to those under way.
    ///
    /// # Errors
    /// [`Error::Argument`] if the output has not the size of the batch; [`Error::Threads`] if the
    /// system starts no more threads. In both cases nothing has been added.
    pub fn submit(&self, job: Job) -> Result<()> {
        let Job { pipeline, samples, format, out } = job;
        let count = samples.len();
        let wanted = pipeline.num_views() * count * pipeline.view_len() * format.element_size();
        if out.len() != wanted {
            let got = out.len();
            return Err(Error::Argument(format!("the output must hold {wanted} bytes, not {got}")));
        }
        self.start(self.under_way() + count)?;
        let (remaining, failures) = (AtomicUsize::new(count), Mutex::default());
        let batch = Arc::new(Batch { pipeline, samples: count, format, out, remaining, failures });
        let mut state = lock(&self.queue.state);
        for (position, sample) in samples.into_iter().enumerate() {
            state.tasks.push_back(Task { batch: Arc::clone(&batch), position, sample });
        }
        state.batches.push_back(batch);
        drop(state);
        self.queue.work.notify_all();
        Ok(())
    }

    /// Starts the threads that `samples` samples can keep busy, unless they run already.
    fn start(&self, samples: usize) -> Result<()> {
        let mut threads = lock(&self.threads);
        let wanted = self.most.min(samples);
        while threads.len() < wanted {
            let queue = Arc::clone(&self.queue);
            let builder = Builder::new().name(format!("tied-loader-{}", threads.len()));
            let thread = builder.spawn(move || worker::run(&queue));
            let fail = |error: io::Error| Error::Threads { wanted, cause: error.to_string() };
            threads.push(thread.map_err(fail)?);
        }
        Ok(())
    }

    /// Waits until the oldest batch is finished and takes it; `None` if that takes longer than
    /// `timeout`.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Option<Finished> {
        let done = |state: &State| state.batches.front().is_some_and(|batch| batch.is_finished());
        let state = lock(&self.queue.state);
        let waited = self.queue.done.wait_timeout_while(state, timeout, |state| !done(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if done(&state) { state.batches.pop_front().map(Finished) } else { None }
    }

    /// Makes samples of a finished batch again, from other sources. The batch is the oldest once
    /// more.
    ///
    /// # Errors
    /// [`Error::Argument`] for a position that the batch doesn't have or that is given twice.
    pub fn redo(&self, batch: Finished, replacements: Vec<Replacement>) -> Result<()> {
        let Finished(batch) = batch;
        let mut seen = vec![false; batch.samples];
        for &Replacement { position, .. } in &replacements {
            match seen.get_mut(position) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(Error::Argument(format!("position {position} can't be redone"))),
            }
        }
        let mut state = lock(&self.queue.state);
        batch.remaining.store(replacements.len(), Ordering::Release);
        for Replacement { position, sample } in replacements.into_iter().rev() {
            state.tasks.push_front(Task { batch: Arc::clone(&batch), position, sample });
        }
        state.batches.push_front(batch);
        drop(state);
        self.queue.work.notify_all();
        Ok(())
    }

    /// The number of samples under way that are neither made nor failed.
    fn under_way(&self) -> usize {
        let state = lock(&self.queue.state);
        state.batches.iter().map(|batch| batch.remaining.load(Ordering::Acquire)).sum()
    }

    /// The number of finished batches that have not been taken.
    #[must_use]
    pub fn ready(&self) -> usize {
        let state = lock(&self.queue.state);
        state.batches.iter().filter(|batch| batch.is_finished()).count()
    }

    /// What the threads have done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let Queue { images, busy_nanos, .. } = &*self.queue;
        Counts {
            images: images.load(Ordering::Relaxed),
            busy: Duration::from_nanos(busy_nanos.load(Ordering::Relaxed)),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        let mut state = lock(&self.queue.state);
        state.closed = true;
        let left = (std::mem::take(&mut state.tasks), std::mem::take(&mut state.batches));
        drop(state);
        drop(left);
        self.queue.work.notify_all();
        for thread in lock(&self.threads).drain(..) {
            // A panic has been contained and reported already.
            let _ = thread.join();
        }
    }
}

impl Queue {
    /// The next task. Waits for one; `None` when the loader is closed.
    fn take(&self) -> Option<Task> {
        let idle = |state: &mut State| !state.closed && state.tasks.is_empty();
        let waited = self.work.wait_while(lock(&self.state), idle);
        waited.unwrap_or_else(PoisonError::into_inner).tasks.pop_front()
    }

    /// Records that a task of `batch` is over, and whether it failed.
    fn finish(&self, batch: &Batch, failure: Option<Failure>, since: Instant) {
        lock(&batch.failures).extend(failure);
        self.images.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.busy_nanos.fetch_add(nanos, Ordering::Relaxed);
        if batch.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The lock is taken so that the consumer can't be between its check and its sleep.
            let _state = lock(&self.state);
            self.done.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock is no problem: nothing that is done under one can panic half way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
