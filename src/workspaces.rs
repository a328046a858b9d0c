//! Buffers that are used again, so that in the steady state a sample costs no allocation.
//!
//! Work on a sample borrows from two stacks: what its decoding needs, and for each view a renderer.
//!
//! ```text
//! one sample:   plans, file, decoder, image  ─┬─  renderer  ─  view 1
//!                                             └─  renderer  ─  view 2
//! ```
//!
//! They are stacks that all threads share, not thread-locals: a thread that waits for the views of
//! one sample may begin another sample, and then needs a second set of buffers. The buffer that
//! came back last is lent first, so a batch on one thread always uses the same one of each.

use std::sync::{Mutex, PoisonError};

use crate::decode::Decoder;
use crate::image::{Image, Rect};
use crate::plan::Plan;
use crate::view::Renderer;

/// Buffers larger than this are freed after use, so that one huge image does not keep its memory.
pub(crate) const KEPT_BYTES: usize = 64 << 20;

/// Buffers for [`crate::batch::Pipeline::run`], kept between calls.
#[derive(Debug, Default)]
pub struct Workspaces {
    samples: Mutex<Vec<SampleBuffers>>,
    renderers: Mutex<Vec<Renderer>>,
}

/// What reading, planning and decoding one sample needs.
#[derive(Debug, Default)]
pub(crate) struct SampleBuffers {
    pub file: Vec<u8>,
    pub decoder: Decoder,
    pub plans: Vec<Plan>,
    pub parts: Vec<Rect>,
    pub image: Image,
}

impl SampleBuffers {
    fn memory(&self) -> usize {
        self.file.capacity() + self.image.data.capacity()
    }
}

impl Workspaces {
    /// Lends the buffers of a sample.
    pub(crate) fn lend_sample<T>(&self, work: impl FnOnce(&mut SampleBuffers) -> T) -> T {
        lend(&self.samples, SampleBuffers::memory, work)
    }

    /// Lends a renderer.
    pub(crate) fn lend_renderer<T>(&self, work: impl FnOnce(&mut Renderer) -> T) -> T {
        lend(&self.renderers, Renderer::memory, work)
    }
}

/// Lends the top of `stack`, or something new. It is dropped, not put back, if `work` panics or
/// leaves it with too much memory.
fn lend<B: Default, T>(
    stack: &Mutex<Vec<B>>,
    memory: impl Fn(&B) -> usize,
    work: impl FnOnce(&mut B) -> T,
) -> T {
    let lock = || stack.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lent = lock().pop().unwrap_or_default();
    let result = work(&mut lent);
    if memory(&lent) <= KEPT_BYTES {
        lock().push(lent);
    }
    result
}
