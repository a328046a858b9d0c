//! What a thread of the loader does: one sample of one batch at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::{Batch, Failure, Item, Shared};
use crate::batch::{Run, Sample};
use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::rng::Key;

/// A buffer larger than this is given back after its sample.
const KEPT_BYTES: usize = 64 << 20;

/// The bytes from which on a batch is written past the caches. On a machine with much cache, writing and
/// reading batches of 12 MB is slower that way, of 20 MB as fast, of 150 MB faster.
const LARGE_BATCH: usize = 16 << 20;

/// One sample to be made.
pub(super) struct Task {
    pub batch: Arc<Batch>,
    pub position: usize,
    pub item: Item,
}

#[derive(Default)]
struct Buffers {
    /// An archive's member.
    file: Vec<u8>,
    /// Views that are still to be converted.
    views: Vec<u8>,
}

/// Works on `shared`'s tasks until it is closed.
pub(super) fn run(shared: &Shared) {
    let Ok(pool) = Pool::new(1) else { return };
    let mut buffers = Buffers::default();
    while let Some(task) = shared.take() {
        let since = Instant::now();
        let work = || make(&task, &pool, &mut buffers);
        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
            Err(Error::panic(&*payload).at(format!("the sample with index {}", task.item.index)))
        });
        let failure = result.err().map(|error| Failure { position: task.position, error });
        let Task { batch, item, .. } = task;
        drop(item);
        shared.finish(&batch, failure, since);
        if buffers.file.capacity() > KEPT_BYTES {
            buffers.file = Vec::new();
        }
    }
}

fn make(task: &Task, pool: &Pool, buffers: &mut Buffers) -> Result<()> {
    let Task { batch, position, item: Item { index, view: number, input } } = task;
    let Batch { job, samples, .. } = &**batch;
    let (height, width) = job.pipeline.size();
    let view = 3 * height as usize * width as usize;
    let element = job.format.element_size();
    let count = job.pipeline.len();
    let mut parts: Vec<&mut [u8]> = (0..count)
        .map(|part| {
            let start = (part * samples + position) * view * element;
            // SAFETY: the part of this view of this position. `submit` and `redo` make one task for a
            // position at a time, and tasks are taken once.
            unsafe { job.out.part(start..start + view * element) }
        })
        .collect();
    let Run { seed, epoch, view: first } = job.run;
    let key = Key { seed, epoch, index: *index, view: first.wrapping_add(*number) };
    let Buffers { file, views } = buffers;
    let mut render = |outs: &mut [&mut [u8]]| {
        input.with(*index, file, |source| {
            let sample = Sample { source, index: *index };
            job.pipeline.one(&sample, key, pool, outs).map_err(|error| match source {
                crate::batch::Source::Path(path) => error.at(path.display().to_string()),
                _ => error.at(format!("the sample with index {index}")),
            })
        })
    };
    if job.format.is_plain() {
        return render(&mut parts);
    }
    views.resize(count * view, 0);
    let mut outs: Vec<&mut [u8]> = views.chunks_exact_mut(view).collect();
    render(&mut outs)?;
    let past = job.out.len() >= LARGE_BATCH;
    for (view, part) in outs.iter().zip(parts) {
        job.format.write(view, past, part);
    }
    Ok::<_, Error>(())
}
