//! A thread's part of the protocol: it takes a sample, makes it and says so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::job::{Failure, OwnedSample};
use super::queue::{Queue, Task};
use crate::error::{Error, Result};
use crate::source::OwnedSource;

/// What a thread does with the samples that it takes.
pub trait Work {
    /// Whether files of later samples are to be announced.
    fn is_announcing(&self) -> bool;

    /// Makes one sample. It may panic: that is an error of the sample.
    fn make(&mut self, task: &Task) -> Result<()>;
}

/// Works on the tasks of `queue` until it is closed.
pub fn serve(queue: &Queue, work: &mut impl Work) {
    while let Some((task, coming)) = queue.take_task(work.is_announcing()) {
        let since = Instant::now();
        coming.iter().flatten().for_each(OwnedSource::announce);
        let result = catch_unwind(AssertUnwindSafe(|| work.make(&task)))
            .unwrap_or_else(|payload| Err(Error::panic(&*payload).at(by_index(&task.sample))));
        let Task { batch, position, sample } = task;
        let failure = result.err().map(|error| Failure { position, error });
        // Before the batch is finished, since the consumer may want the sample's memory back.
        drop((sample, coming));
        queue.finish(&batch, failure, since);
    }
}

/// How errors name a sample that comes from no file.
pub fn by_index(sample: &OwnedSample) -> String {
    format!("the sample with index {}", sample.key.index)
}
