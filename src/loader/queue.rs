//! The queue between the consumer and the threads: samples to be made, and the batches under way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::format::Format;
use super::job::{Failure, Job, OwnedSample, Replacement};
use super::memory::Memory;
use super::sync::{AtomicUsize, Condvar, Mutex, MutexGuard, PoisonError};
use crate::batch::Pipeline;
use crate::source::OwnedSource;

/// A batch under way. Its samples are in the queue.
#[derive(Debug)]
pub struct Batch {
    pub pipeline: Arc<Pipeline>,
    pub format: Arc<Format>,
    pub out: Memory,
    /// The number of samples.
    pub len: usize,
    remaining: AtomicUsize,
    failures: Mutex<Vec<Failure>>,
}

impl Batch {
    /// The samples that failed since the last call, by position.
    pub fn take_failures(&self) -> Vec<Failure> {
        let mut failures = std::mem::take(&mut *lock(&self.failures));
        failures.sort_unstable_by_key(|failure| failure.position);
        failures
    }

    fn remaining(&self) -> usize {
        self.remaining.load(Ordering::Acquire)
    }

    fn is_finished(&self) -> bool {
        self.remaining() == 0
    }
}

/// One sample to be made.
pub struct Task {
    pub batch: Arc<Batch>,
    pub position: usize,
    pub sample: OwnedSample,
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

/// The samples to be made, the oldest first, and the batches under way.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    /// Signalled when there is a sample to make, and when the queue is closed.
    work: Condvar,
    /// Signalled when a batch is finished, or had no samples from the start.
    done: Condvar,
    images: AtomicU64,
    busy_nanos: AtomicU64,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    batches: VecDeque<Arc<Batch>>,
    /// How many of the first tasks have been announced. Samples that are made again come before
    /// them and are counted instead of some of these, which are then announced twice. That does no
    /// harm.
    announced: usize,
    closed: bool,
}

impl State {
    /// The source of the first task that has not been announced, unless it is too far away.
    fn announce(&mut self) -> Option<OwnedSource> {
        let next = self.tasks.get(self.announced).filter(|_| self.announced < DISTANCE)?;
        self.announced += 1;
        Some(next.sample.source.clone())
    }
}

/// How many samples ahead files are announced. With up to 16 threads, a disk or a server then has
/// the time of two samples, about two milliseconds. More would only take more of the system's
/// memory.
pub const DISTANCE: usize = 32;

/// The consumer's side.
impl Queue {
    /// Adds a batch after all others.
    pub fn add(&self, Job { pipeline, samples, format, out }: Job) {
        let (len, failures) = (samples.len(), Mutex::default());
        let remaining = AtomicUsize::new(len);
        let batch = Arc::new(Batch { pipeline, format, out, len, remaining, failures });
        let task = |(position, sample)| Task { batch: Arc::clone(&batch), position, sample };
        // Made before the lock is taken, since all threads wait for it meanwhile.
        let tasks: Vec<_> = samples.into_iter().enumerate().map(task).collect();
        let mut state = lock(&self.state);
        state.tasks.extend(tasks);
        state.batches.push_back(batch);
        drop(state);
        self.signal(len);
    }

    /// Adds samples of a finished batch before all others.
    pub fn add_again(&self, batch: Arc<Batch>, replacements: Vec<Replacement>) {
        let len = replacements.len();
        let mut state = lock(&self.state);
        batch.remaining.store(len, Ordering::Release);
        for Replacement { position, sample } in replacements.into_iter().rev() {
            state.tasks.push_front(Task { batch: Arc::clone(&batch), position, sample });
        }
        state.batches.push_front(batch);
        drop(state);
        self.signal(len);
    }

    /// Wakes those who wait for a batch of `len` new samples.
    fn signal(&self, len: usize) {
        self.work.notify_all();
        if len == 0 {
            // No thread will finish it.
            self.done.notify_all();
        }
    }

    /// Waits until the oldest batch is finished and takes it; `None` if that takes too long.
    pub fn take_batch(&self, timeout: Duration) -> Option<Arc<Batch>> {
        let done = |state: &State| state.batches.front().is_some_and(|batch| batch.is_finished());
        let waited = self.done.wait_timeout_while(lock(&self.state), timeout, |state| !done(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if done(&state) { state.batches.pop_front() } else { None }
    }

    /// The number of samples that are neither made nor failed.
    pub fn remaining(&self) -> usize {
        lock(&self.state).batches.iter().map(|batch| batch.remaining()).sum()
    }

    /// The number of batches that are finished and have not been taken.
    pub fn ready(&self) -> usize {
        lock(&self.state).batches.iter().filter(|batch| batch.is_finished()).count()
    }

    /// What the threads have done so far.
    pub fn counts(&self) -> Counts {
        Counts {
            images: self.images.load(Ordering::Relaxed),
            busy: Duration::from_nanos(self.busy_nanos.load(Ordering::Relaxed)),
        }
    }

    /// Drops all samples and batches. No thread gets a sample any more.
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let left = (std::mem::take(&mut state.tasks), std::mem::take(&mut state.batches));
        drop(state);
        drop(left);
        self.work.notify_all();
    }
}

/// The threads' side.
impl Queue {
    /// The next sample. Waits for one; `None` when the queue is closed.
    ///
    /// With `announcing`, also the sources of up to two later samples, which are to be
    /// [announced](OwnedSource::announce). Two, so that the distance can grow to
    /// [`DISTANCE`].
    pub fn take_task(&self, announcing: bool) -> Option<(Task, [Option<OwnedSource>; 2])> {
        let idle = |state: &mut State| !state.closed && state.tasks.is_empty();
        let waited = self.work.wait_while(lock(&self.state), idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let task = state.tasks.pop_front()?;
        state.announced = state.announced.saturating_sub(1);
        let mut next = || if announcing { state.announce() } else { None };
        Some((task, [next(), next()]))
    }

    /// Records that a sample of `batch`, begun at `since`, was made or failed.
    pub fn finish(&self, batch: &Batch, failure: Option<Failure>, since: Instant) {
        if let Some(failure) = failure {
            lock(&batch.failures).push(failure);
        }
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

/// Locks, even after a panic: no code under these locks can panic halfway through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
