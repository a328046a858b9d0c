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

mod ahead;
mod format;
mod job;
mod memory;
mod normalise;
mod queue;
mod table;
mod worker;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

pub use format::{Format, Layout};
pub use job::{Failure, Job, OwnedSample, Replacement};
pub use memory::Memory;
pub use queue::Counts;

use crate::error::{Error, Result};
use queue::{Batch, Queue};

/// A batch of which all samples have been made or have failed.
#[derive(Debug)]
pub struct Finished(Arc<Batch>);

impl Finished {
    /// The samples that failed, by position. The list is empty after the first call.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        self.0.take_failures()
    }

    /// The output.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: no thread works on a finished batch, and `redo` takes it away from the consumer.
        unsafe { self.0.out.bytes() }
    }
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
    /// [`Error::Argument`] if the output is smaller or larger than the batch; [`Error::Threads`] if
    /// the system starts no more threads. In both cases nothing has been added.
    pub fn submit(&self, job: Job) -> Result<()> {
        let Job { pipeline, samples, format, out } = &job;
        let wanted = pipeline.sample_len() * samples.len() * format.element_size();
        if out.len() != wanted {
            let got = out.len();
            return Err(Error::Argument(format!("the output must hold {wanted} bytes, not {got}")));
        }
        self.start(self.queue.remaining() + samples.len())?;
        self.queue.add(job);
        Ok(())
    }

    /// Starts the threads that `samples` samples can keep busy, unless they run already.
    fn start(&self, samples: usize) -> Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.queue.take_batch(timeout).map(Finished)
    }

    /// Makes samples of a finished batch again, from other sources. The batch is the oldest once
    /// more.
    ///
    /// # Errors
    /// [`Error::Argument`] for a position that the batch doesn't have or that is given twice.
    pub fn redo(&self, batch: Finished, replacements: Vec<Replacement>) -> Result<()> {
        let Finished(batch) = batch;
        let mut seen = vec![false; batch.len];
        for &Replacement { position, .. } in &replacements {
            match seen.get_mut(position) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(Error::Argument(format!("position {position} can't be redone"))),
            }
        }
        self.queue.add_again(batch, replacements);
        Ok(())
    }

    /// The number of finished batches that have not been taken.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.queue.ready()
    }

    /// What the threads have done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.queue.counts()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A panic has been contained and reported already.
            let _ = thread.join();
        }
    }
}
