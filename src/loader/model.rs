//! The protocol under every interleaving of its threads that matters, by loom.
//!
//! The queue, the threads' loop and the loader are compiled a second time here, from the same
//! files, with loom's locks, atomics and threads. Only the work differs: a sample writes its index
//! into its cell of [`CELLS`]. Loom reports two threads in one cell, a read that no
//! synchronisation orders after the write, and threads that wait for each other for ever.

#![allow(clippy::duplicate_mod, reason = "loom's types take the place of the standard library's")]

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loom::cell::UnsafeCell;

use self::queue::{Queue, Task};
use self::serve::Work;
use self::threads::{Finished, Loader};
use super::format::Format;
use super::job::{Job, OwnedSample, Replacement};
use super::memory::Memory;
use super::{format, job, memory};
use crate::batch::Pipeline;
use crate::error::{Error, Result};
use crate::plan::{Crop, Shared, ViewSpec};
use crate::policy::Augment;
use crate::resize::Filter;
use crate::rng::Key;
use crate::source::OwnedSource;

#[path = "queue.rs"]
#[expect(dead_code, reason = "statistics")]
mod queue;
#[path = "serve.rs"]
mod serve;
#[path = "threads.rs"]
#[expect(dead_code, reason = "statistics")]
mod threads;

/// What loom has in place of the standard library's.
mod sync {
    use std::sync::LockResult;
    use std::time::Duration;

    pub use std::sync::PoisonError;

    pub use loom::sync::atomic::AtomicUsize;
    pub use loom::sync::{Mutex, MutexGuard};
    pub use loom::thread::{Builder, JoinHandle};

    /// Time stands still: a wait with a timeout of 0 returns at once, any other has no timeout. So
    /// a signal that is lost is a deadlock.
    #[derive(Default)]
    pub struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub fn notify_all(&self) {
            self.0.notify_all();
        }

        pub fn wait_while<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            mut condition: impl FnMut(&mut T) -> bool,
        ) -> LockResult<MutexGuard<'a, T>> {
            while condition(&mut guard) {
                guard = self.0.wait(guard)?;
            }
            Ok(guard)
        }

        pub fn wait_timeout_while<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            timeout: Duration,
            condition: impl FnMut(&mut T) -> bool,
        ) -> LockResult<(MutexGuard<'a, T>, bool)> {
            if timeout.is_zero() {
                return Ok((guard, true));
            }
            self.wait_while(guard, condition)
                .map(|guard| (guard, false))
                .map_err(|error| PoisonError::new((error.into_inner(), false)))
        }
    }
}

mod worker {
    use super::{Model, Queue, serve};

    pub fn run(queue: &Queue) {
        serve::serve(queue, &mut Model);
    }
}

const FOR_EVER: Duration = Duration::MAX;
/// Indices from here on are of samples that can't be made.
const FAILS: u64 = 1000;
/// Indices from here on are of samples that panic.
const PANICS: u64 = 2000;

loom::lazy_static! {
    /// The index of the sample that was made, for each position of each batch.
    static ref CELLS: [[UnsafeCell<u64>; 3]; 3] = Default::default();
}

struct Model;

impl Work for Model {
    fn is_announcing(&self) -> bool {
        true
    }

    fn make(&mut self, task: &Task) -> Result<()> {
        let Key { epoch: batch, index, .. } = task.sample.key;
        // SAFETY: loom checks that no other thread uses the cell.
        CELLS[batch as usize][task.position].with_mut(|cell| unsafe { *cell = index });
        match index {
            ..FAILS => Ok(()),
            FAILS..PANICS => Err(Error::Argument("fails".into())),
            PANICS.. => resume_unwind(Box::new("panics")),
        }
    }
}

/// A batch's samples, and the memory that they share.
struct Samples {
    batch: u32,
    data: Bytes,
}

impl Samples {
    fn new(batch: u32) -> Self {
        Self { batch, data: Bytes::from(vec![0; 3]) }
    }

    fn sample(&self, index: u64) -> OwnedSample {
        let data = self.data.clone();
        OwnedSample {
            source: OwnedSource::Pixels { width: 1, height: 1, data },
            key: Key { seed: 0, epoch: self.batch, index, view: 0 },
        }
    }

    fn job(&self, pipeline: &Arc<Pipeline>, indices: &[u64]) -> Job {
        Job {
            pipeline: Arc::clone(pipeline),
            samples: indices.iter().map(|&index| self.sample(index)).collect(),
            format: Arc::new(Format::PLAIN),
            out: Memory::from(vec![0; 3 * indices.len()]),
        }
    }

    fn redo(&self, loader: &Loader, finished: Finished, replacements: &[(usize, u64)]) {
        let new = |&(position, index)| Replacement { position, sample: self.sample(index) };
        loader.redo(finished, replacements.iter().map(new).collect()).unwrap();
    }

    /// Checks a finished batch: what each position holds, and which failed.
    fn check(&self, finished: &Finished, indices: &[u64], failed: &[usize]) {
        let failures: Vec<_> = finished.failures().iter().map(|f| f.position).collect();
        assert_eq!(failures, failed);
        for (cell, &index) in CELLS[self.batch as usize].iter().zip(indices) {
            // SAFETY: loom checks that no other thread writes the cell.
            assert_eq!(cell.with(|cell| unsafe { *cell }), index);
        }
        assert!(self.data.is_unique(), "the threads have given the samples' memory back");
    }
}

/// One that makes views of a pixel.
pub(super) fn pipeline() -> Arc<Pipeline> {
    let view = ViewSpec {
        size: (1, 1),
        crop: Crop::RandomResized { scale: (0.08, 1.0), ratio: (0.75, 4.0 / 3.0) },
        interpolation: vec![Filter::Bicubic],
        hflip: 0.0,
        vflip: 0.0,
        augment: Augment::default(),
    };
    Arc::new(Pipeline::new(vec![view], Shared::Nothing).unwrap())
}

/// Runs `scenario` in every order of its threads with up to `preemptions` switches that no thread
/// asked for.
fn check(preemptions: usize, scenario: impl Fn(&Arc<Pipeline>) + Send + Sync + 'static) {
    let pipeline = pipeline();
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || scenario(&pipeline));
}

#[test]
fn batches_come_whole_and_in_order() {
    check(2, |pipeline| {
        let loader = Loader::new(2).unwrap();
        let [first, second] = [0, 1].map(Samples::new);
        loader.submit(first.job(pipeline, &[1, 2])).unwrap();
        loader.submit(second.job(pipeline, &[3])).unwrap();
        first.check(&loader.wait(FOR_EVER).unwrap(), &[1, 2], &[]);
        second.check(&loader.wait(FOR_EVER).unwrap(), &[3], &[]);
        assert!(loader.wait(Duration::ZERO).is_none());
    });
}

#[test]
fn samples_that_fail_or_panic_are_made_again() {
    check(2, |pipeline| {
        let loader = Loader::new(2).unwrap();
        let [first, second] = [0, 1].map(Samples::new);
        loader.submit(first.job(pipeline, &[FAILS, PANICS])).unwrap();
        loader.submit(second.job(pipeline, &[3])).unwrap();
        let finished = loader.wait(FOR_EVER).unwrap();
        first.check(&finished, &[FAILS, PANICS], &[0, 1]);
        first.redo(&loader, finished, &[(1, 5)]);
        first.check(&loader.wait(FOR_EVER).unwrap(), &[FAILS, 5], &[]);
        second.check(&loader.wait(FOR_EVER).unwrap(), &[3], &[]);
    });
}

#[test]
fn a_loader_that_is_dropped_ends_its_threads_and_drops_its_samples() {
    check(3, |pipeline| {
        let loader = Loader::new(2).unwrap();
        let [first, second] = [0, 1].map(Samples::new);
        loader.submit(first.job(pipeline, &[1, 2, PANICS])).unwrap();
        loader.submit(second.job(pipeline, &[3])).unwrap();
        let finished = loader.wait(Duration::ZERO);
        drop(loader);
        assert!(first.data.is_unique() && second.data.is_unique());
        if let Some(finished) = finished {
            first.check(&finished, &[1, 2, PANICS], &[2]);
        }
    });
}

#[test]
fn one_thread_submits_and_another_waits() {
    check(2, |pipeline| {
        let loader = Arc::new(Loader::new(1).unwrap());
        let waiting = Arc::clone(&loader);
        let waiter = loom::thread::spawn(move || {
            let finished = [FOR_EVER; 3].map(|timeout| waiting.wait(timeout).unwrap());
            (waiting, finished)
        });
        let batches = [0, 1, 2].map(Samples::new);
        let indices: [&[u64]; 3] = [&[1], &[2], &[]];
        for (samples, indices) in batches.iter().zip(indices) {
            loader.submit(samples.job(pipeline, indices)).unwrap();
        }
        let (waiting, finished) = waiter.join().unwrap();
        for ((samples, indices), finished) in batches.iter().zip(indices).zip(&finished) {
            samples.check(finished, indices, &[]);
        }
        drop(waiting);
    });
}
