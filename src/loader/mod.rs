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
#[cfg(test)]
mod model;
mod normalise;
mod queue;
mod serve;
mod sync;
mod table;
mod threads;
mod worker;

pub use format::{Format, Layout};
pub use job::{Failure, Job, OwnedSample, Replacement};
pub use memory::Memory;
pub use queue::Counts;
pub use threads::{Finished, Loader};
