//! The thread pools and buffers that Python's calls share.
//!
//! A forked child has its parent's memory but not its threads. It forgets the parent's pools, whose
//! threads it can't join, and the parent's buffers, since a thread may have held their lock.
//! Everything here is called by threads that are attached to the interpreter, and `os.fork` waits
//! until it is the only one: by the GIL, or where there is none by stopping all others first. So no
//! fork happens while the lock is held here. Nothing under the lock may call Python.

use std::mem;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use crate::batch::Workspaces;
use crate::error::Result;
use crate::pool::Pool;

/// The least value of [`most_threads`]. More threads than cores help where reading files is slow.
const ENOUGH: usize = 64;

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

/// The most threads of a pool: twice the cores, but at least [`ENOUGH`].
fn most_threads() -> usize {
    (2 * default_threads()).max(ENOUGH)
}

/// A pool of `threads` threads, or of one per core. It has no more threads than `jobs` jobs can
/// use, and no more than [`most_threads`].
///
/// A pool is made on first use and kept for later calls. The pools used longest ago are given up
/// while all kept ones together have more than [`most_threads`].
///
/// # Errors
/// As [`Pool::new`].
pub fn get(threads: Option<usize>, jobs: usize) -> Result<Arc<Pool>> {
    let most = most_threads();
    let threads = threads.unwrap_or_else(default_threads).min(most).min(jobs.max(1));
    let pools = &mut resources().pools;
    let known = pools.iter().position(|pool| pool.threads() == threads);
    let pool = known.map_or_else(|| Pool::new(threads).map(Arc::new), |i| Ok(pools.remove(i)))?;
    pools.push(Arc::clone(&pool));
    while pools.iter().map(|pool| pool.threads()).sum::<usize>() > most {
        pools.remove(0);
    }
    Ok(pool)
}

/// The buffers that all batches of this process share.
pub fn workspaces() -> Arc<Workspaces> {
    Arc::clone(resources().workspaces.get_or_insert_default())
}
