//! The loader: batches made ahead of their consumer by threads of its own, never more than samples.
//!
//! The consumer submits [`Job`]s, each a batch with memory of its own to be written into, and takes
//! them back finished in the order of submission, however many threads there are. The threads read,
//! decode and render one sample at a time, of the oldest batch that has one left, so that the first
//! batch comes soon and no thread waits at the end of a batch. What runs ahead is bounded by what has
//! been submitted: the consumer keeps as many jobs under way as it wants batches prefetched.
//!
//! Makes samples with [`crate::batch`]. Knows no policy for samples that fail: they are reported with
//! the batch, and [`Loader::redo`] takes their replacements. Never knows Python: its threads need no
//! lock but their own, so they can't hold up an interpreter that exits.

mod catalog;
mod format;
mod memory;
mod normalise;
mod worker;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use catalog::{Archive, Bytes, Catalog, Input, Stored};
pub use format::{Format, Layout};
pub use memory::Memory;

use crate::batch::{Pipeline, Run};
use crate::error::{Error, Result};
use worker::Task;

/// A batch to be made.
#[derive(Debug)]
pub struct Job {
    /// What to make of every sample.
    pub pipeline: Arc<Pipeline>,
    /// What the randomness depends on besides the samples' indices.
    pub run: Run,
    /// The elements to write.
    pub format: Arc<Format>,
    /// The output, (views, samples, 3, height, width) elements, or as the format's layout says.
    pub out: Memory,
}

/// A sample of a job.
pub struct Item {
    /// The index that its randomness is keyed by, and its place in a catalog.
    pub index: u64,
    /// The number of its first view, counted from the run's: another for each time that a sample
    /// comes within an epoch, so that its views are new ones.
    pub view: u16,
    /// Where its pixels come from.
    pub input: Input,
}

/// A sample that could not be made. Its part of the output is unspecified.
#[derive(Debug)]
pub struct Failure {
    /// The sample's position in the batch.
    pub position: usize,
    /// The cause.
    pub error: Error,
}

/// A batch that all threads are done with.
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
}

/// A job under way.
#[derive(Debug)]
pub(crate) struct Batch {
    job: Job,
    samples: usize,
    remaining: AtomicUsize,
    failures: Mutex<Vec<Failure>>,
}

/// What the threads and the consumer share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Signalled when there is work, or no more to come.
    work: Condvar,
    /// Signalled when a batch is done.
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
pub struct Counts {
    /// Samples tried.
    pub images: u64,
    /// The time spent on them, summed over the threads.
    pub busy: Duration,
}

/// Threads that make batches. Dropped, it ends them: each after the sample it is at.
pub struct Loader {
    shared: Arc<Shared>,
    most: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Loader {
    /// A loader of up to `threads` threads, which start with the samples that need them.
    ///
    /// # Errors
    /// [`Error::Argument`] for 0 threads.
    pub fn new(threads: usize) -> Result<Self> {
        if threads == 0 {
            return Err(Error::Argument("threads must be at least 1".into()));
        }
        Ok(Self { shared: Arc::default(), most: threads, threads: Mutex::default() })
    }

    /// Starts the threads that `samples` samples can keep busy, as far as they don't run yet.
    fn start(&self, samples: usize) -> Result<()> {
        let mut threads = lock(&self.threads);
        let wanted = self.most.min(samples);
        while threads.len() < wanted {
            let shared = Arc::clone(&self.shared);
            let builder =
                std::thread::Builder::new().name(format!("tied-loader-{}", threads.len()));
            let thread = builder.spawn(move || worker::run(&shared));
            let fail = |error: io::Error| Error::Threads { wanted, cause: error.to_string() };
            threads.push(thread.map_err(fail)?);
        }
        Ok(())
    }

    /// Adds a batch of `items` to those under way.
    ///
    /// # Errors
    /// [`Error::Argument`] if the output's size is not that of the batch, [`Error::Threads`] if the
    /// system starts no more threads; then nothing has been added.
    pub fn submit(&self, job: Job, items: Vec<Item>) -> Result<()> {
        let (height, width) = job.pipeline.size();
        let view = 3 * height as usize * width as usize * job.format.element_size();
        let wanted = job.pipeline.len() * items.len() * view;
        if job.out.len() != wanted {
            let got = job.out.len();
            return Err(Error::Argument(format!("the output must hold {wanted} bytes, not {got}")));
        }
        let samples = items.len();
        self.start(self.under_way() + samples)?;
        let (remaining, failures) = (AtomicUsize::new(samples), Mutex::default());
        let batch = Arc::new(Batch { job, samples, remaining, failures });
        let mut state = lock(&self.shared.state);
        for (position, item) in items.into_iter().enumerate() {
            state.tasks.push_back(Task { batch: Arc::clone(&batch), position, item });
        }
        state.batches.push_back(batch);
        drop(state);
        self.shared.work.notify_all();
        Ok(())
    }

    /// Waits for a batch and takes the oldest, once it is finished; `None` if that takes too long.
    #[must_use]
    pub fn next(&self, timeout: Duration) -> Option<Finished> {
        let done = |state: &State| {
            state.batches.front().is_some_and(|batch| batch.remaining.load(Ordering::Acquire) == 0)
        };
        let state = lock(&self.shared.state);
        let waited = self.shared.done.wait_timeout_while(state, timeout, |state| !done(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if done(&state) { state.batches.pop_front().map(Finished) } else { None }
    }

    /// Makes samples of a finished batch again, at the given positions and from other items; the
    /// batch is the oldest once more.
    ///
    /// # Errors
    /// [`Error::Argument`] for a position that the batch doesn't have or that is given twice.
    pub fn redo(&self, batch: Finished, items: Vec<(usize, Item)>) -> Result<()> {
        let Finished(batch) = batch;
        let mut seen = vec![false; batch.samples];
        for (position, _) in &items {
            match seen.get_mut(*position) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(Error::Argument(format!("position {position} can't be redone"))),
            }
        }
        let mut state = lock(&self.shared.state);
        batch.remaining.store(items.len(), Ordering::Release);
        for (position, item) in items.into_iter().rev() {
            state.tasks.push_front(Task { batch: Arc::clone(&batch), position, item });
        }
        state.batches.push_front(batch);
        drop(state);
        self.shared.work.notify_all();
        Ok(())
    }

    /// The number of samples under way that are not finished.
    fn under_way(&self) -> usize {
        let state = lock(&self.shared.state);
        state.batches.iter().map(|batch| batch.remaining.load(Ordering::Acquire)).sum()
    }

    /// The number of batches under way that are finished.
    #[must_use]
    pub fn ready(&self) -> usize {
        let state = lock(&self.shared.state);
        let done = |batch: &&Arc<Batch>| batch.remaining.load(Ordering::Acquire) == 0;
        state.batches.iter().filter(done).count()
    }

    /// What the threads have done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let Shared { images, busy_nanos, .. } = &*self.shared;
        Counts {
            images: images.load(Ordering::Relaxed),
            busy: Duration::from_nanos(busy_nanos.load(Ordering::Relaxed)),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.closed = true;
        let left = (std::mem::take(&mut state.tasks), std::mem::take(&mut state.batches));
        drop(state);
        drop(left);
        self.shared.work.notify_all();
        for thread in lock(&self.threads).drain(..) {
            // A panic was contained and reported; there is none left to pass on.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// The next task; waits for one, `None` when the loader is closed.
    fn take(&self) -> Option<Task> {
        let idle = |state: &mut State| !state.closed && state.tasks.is_empty();
        let waited = self.work.wait_while(lock(&self.state), idle);
        waited.unwrap_or_else(PoisonError::into_inner).tasks.pop_front()
    }

    /// Notes that a task of `batch` is over.
    fn finish(&self, batch: &Batch, failure: Option<Failure>, since: Instant) {
        lock(&batch.failures).extend(failure);
        self.images.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.busy_nanos.fetch_add(nanos, Ordering::Relaxed);
        if batch.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            // With the lock, so that the consumer is not between its look and its sleep.
            let _state = lock(&self.state);
            self.done.notify_all();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is done under a lock that can panic half way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
