//! The consumer's side: the threads, and the batches that they have finished.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::job::{Failure, Job, Replacement};
use super::queue::{Batch, Counts, Queue};
use super::sync::{Builder, JoinHandle, Mutex, PoisonError};
use super::worker;
use crate::error::{Error, Result};

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
