//! The thread pools that Python's calls share.

use std::mem;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use crate::error::Result;
use crate::pool::Pool;

/// Pools kept for later calls, with their threads and buffers: enough for a machine of 128 cores and
/// batches of every size.
const KEPT: usize = 8;

struct Pools {
    process: u32,
    /// The one used last is the last.
    recent: Vec<Arc<Pool>>,
}

static POOLS: Mutex<Pools> = Mutex::new(Pools { process: 0, recent: Vec::new() });

/// The cores that this process may use.
pub fn default_threads() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// A pool of `threads` threads, or as many as `jobs` jobs can use if that is fewer.
///
/// The number of jobs is rounded up to a power of two, so that batches of many sizes share few pools.
/// A pool is made on first use, and given up when [`KEPT`] others have been used since.
///
/// Called with the GIL held, so that no fork can happen meanwhile. A forked child has its parent's
/// memory but not its threads: it forgets the parent's pools, whose threads it can't join, and makes
/// its own.
///
/// # Errors
/// As [`Pool::new`].
pub fn get(threads: Option<usize>, jobs: usize) -> Result<Arc<Pool>> {
    let threads = threads.unwrap_or_else(default_threads).min(jobs.next_power_of_two());
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if pools.process != std::process::id() {
        mem::forget(mem::take(&mut pools.recent));
        pools.process = std::process::id();
    }
    let recent = &mut pools.recent;
    let known = recent.iter().position(|pool| pool.threads() == threads);
    let pool = known.map_or_else(|| Pool::new(threads).map(Arc::new), |i| Ok(recent.remove(i)))?;
    if recent.len() == KEPT {
        recent.remove(0);
    }
    recent.push(Arc::clone(&pool));
    Ok(pool)
}
