//! The thread pools and buffers that Python's calls share.
//!
//! A forked child has its parent's memory but not its threads. It forgets the parent's pools, whose
//! threads it can't join, and the parent's buffers, since a thread may have held their lock.
//! Everything here is called with the GIL held, so no fork can happen meanwhile.

use std::mem;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use crate::batch::Workspaces;
use crate::error::Result;
use crate::pool::Pool;

/// Pools kept for later calls: enough for a machine of 128 cores and batches of every size.
const KEPT: usize = 8;

struct Resources {
    process: u32,
    /// The pool used last is the last.
    pools: Vec<Arc<Pool>>,
    workspaces: Option<Arc<Workspaces>>,
}

static RESOURCES: Mutex<Resources> =
    Mutex::new(Resources { process: 0, pools: Vec::new(), workspaces: None });

/// The resources of this process.
fn resources() -> MutexGuard<'static, Resources> {
    let mut resources = RESOURCES.lock().unwrap_or_else(PoisonError::into_inner);
    if resources.process != std::process::id() {
        mem::forget((mem::take(&mut resources.pools), resources.workspaces.take()));
        resources.process = std::process::id();
    }
    resources
}

/// The cores that this process may use.
pub fn default_threads() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// A pool of `threads` threads, or of as many as `jobs` jobs can use if that is fewer.
///
/// The number of jobs is rounded up to a power of two, so that batches of many sizes share few
/// pools. A pool is made on first use, and given up when [`KEPT`] others have been used since.
///
/// # Errors
/// As [`Pool::new`].
pub fn get(threads: Option<usize>, jobs: usize) -> Result<Arc<Pool>> {
    let threads = threads.unwrap_or_else(default_threads).min(jobs.next_power_of_two());
    let pools = &mut resources().pools;
    let known = pools.iter().position(|pool| pool.threads() == threads);
    let pool = known.map_or_else(|| Pool::new(threads).map(Arc::new), |i| Ok(pools.remove(i)))?;
    if pools.len() == KEPT {
        pools.remove(0);
    }
    pools.push(Arc::clone(&pool));
    Ok(pool)
}

/// The buffers that all batches of this process share.
pub fn workspaces() -> Arc<Workspaces> {
    Arc::clone(resources().workspaces.get_or_insert_default())
}
