//! What a thread of the loader does: one sample of one batch at a time.

use std::ops::Range;
use std::time::Instant;

use super::ahead::Ahead;
use super::queue::{Batch, Queue, Task};
use super::serve::{Work, by_index, serve};
use crate::batch::Sample;
use crate::error::{Error, Result};
use crate::memory;
use crate::pool::Pool;
use crate::source::Source;
use crate::workspaces::{KEPT_BYTES, Workspaces};

/// Batches of at least this many bytes are converted with streaming stores. On a machine with large
/// caches, writing and then reading a batch is slower that way at 12 MB, equal at 20 MB, faster at
/// 150 MB.
const LARGE_BATCH: usize = 16 << 20;

/// What a thread keeps from one sample to the next.
#[derive(Default)]
struct Kept {
    workspaces: Workspaces,
    /// The content of the sample's file.
    file: Vec<u8>,
    /// Views that are still to be converted.
    views: Vec<u8>,
    ahead: Ahead,
}

/// Works on the tasks of `queue` until it is closed.
pub fn run(queue: &Queue) {
    serve(queue, &mut Kept::default());
}

impl Work for Kept {
    fn is_announcing(&self) -> bool {
        self.ahead.is_wanted()
    }

    fn make(&mut self, task: &Task) -> Result<()> {
        let result = make(task, self);
        if self.file.capacity() > KEPT_BYTES {
            self.file = Vec::new();
        }
        result
    }
}

/// Makes the views of one sample.
fn make(task: &Task, kept: &mut Kept) -> Result<()> {
    let Task { batch, position, sample } = task;
    let Batch { pipeline, format, out, len: samples, .. } = &**batch;
    let Kept { workspaces, file, views, ahead } = kept;
    let size = format.element_size();
    let parts = pipeline.places().map(|Range { start, end }| {
        let len = (end - start) * size;
        let start = start * samples * size + position * len;
        // SAFETY: the part of this view of this position. `submit` and `redo` make one task for a
        // position at a time, and tasks are taken once.
        unsafe { out.part(start..start + len) }
    });
    let named = |error: Error| {
        let name = sample.source.as_source().name();
        error.at(name.unwrap_or_else(|| by_index(sample)))
    };
    let source = memory::caught(|| load(sample.source.as_source(), file, ahead)).map_err(named)?;
    let sample = Sample { source, key: sample.key };
    let pool = Pool::default();
    if format.is_plain() {
        return pipeline.one(&sample, &pool, workspaces, parts).map_err(named);
    }
    memory::resize(views, pipeline.sample_len(), 0);
    let mut rest = views.as_mut_slice();
    let each = pipeline.places().map(|place| {
        rest.split_off_mut(..place.len()).expect("the views of a sample follow one another")
    });
    pipeline.one(&sample, &pool, workspaces, each).map_err(named)?;
    let streaming = out.len() >= LARGE_BATCH;
    for (place, part) in pipeline.places().zip(parts) {
        format.write(&views[place], streaming, part);
    }
    Ok(())
}

/// The source in memory. Files are read into `file`, and `ahead` notes how long it took.
fn load<'a>(source: Source<'a>, file: &'a mut Vec<u8>, ahead: &mut Ahead) -> Result<Source<'a>> {
    let since = Instant::now();
    let loaded = source.load(file)?;
    if let (Source::Path(_) | Source::Member { .. }, Source::Bytes(bytes)) = (source, loaded) {
        ahead.note(bytes.len(), since.elapsed());
    }
    Ok(loaded)
}
