//! The queue between the consumer and the threads: samples to be made, and the batches under way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::format::Format;
use super::job::{Failure, Job, OwnedSample, Replacement};
use super::memory::Memory;
use crate::batch::Pipeline;

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

/// The consumer's side.
impl Queue {
    /// Adds a batch after all others.
    pub fn add(&self, Job { pipeline, samples, format, out }: Job) {
        let (len, failures) = (samples.len(), Mutex::default());
        let remaining = AtomicUsize::new(len);
        let batch = Arc::new(Batch { pipeline, format, out, len, remaining, failures });
        let mut state = lock(&self.state);
        for (position, sample) in samples.into_iter().enumerate() {
            state.tasks.push_back(Task { batch: Arc::clone(&batch), position, sample });
        }
        state.batches.push_back(batch);
        drop(state);
        self.work.notify_all();
    }

    /// Adds samples of a finished batch before all others.
    pub fn add_again(&self, batch: Arc<Batch>, replacements: Vec<Replacement>) {
        let mut state = lock(&self.state);
        batch.remaining.store(replacements.len(), Ordering::Release);
        for Replacement { position, sample } in replacements.into_iter().rev() {
            state.tasks.push_front(Task { batch: Arc::clone(&batch), position, sample });
        }
        state.batches.push_front(batch);
        drop(state);
        self.work.notify_all();
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
    pub fn take_task(&self) -> Option<Task> {
        let idle = |state: &mut State| !state.closed && state.tasks.is_empty();
        let waited = self.work.wait_while(lock(&self.state), idle);
        waited.unwrap_or_else(PoisonError::into_inner).tasks.pop_front()
    }

    /// Records that a sample of `batch`, begun at `since`, was made or failed.
    pub fn finish(&self, batch: &Batch, failure: Option<Failure>, since: Instant) {
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

/// Locks, even after a panic: no code under these locks can panic halfway through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
