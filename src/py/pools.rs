//! The thread pools that Python's calls share, one for each number of threads asked for.

use std::collections::HashMap;
use std::mem;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use crate::error::Result;
use crate::pool::Pool;

#[derive(Default)]
struct Pools {
    process: u32,
    by_threads: HashMap<usize, Arc<Pool>>,
}

static POOLS: Mutex<Option<Pools>> = Mutex::new(None);

/// The cores that this process may use.
pub fn default_threads() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// The pool of `threads` threads, made on first use.
///
/// Called with the GIL held, so that no fork can happen meanwhile. A forked child has its parent's
/// memory but not its threads: it forgets the parent's pools, whose threads it can't join, and makes
/// its own.
pub fn get(threads: usize) -> Result<Arc<Pool>> {
    let mut guard = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = guard.get_or_insert_default();
    if pools.process != std::process::id() {
        mem::forget(mem::take(&mut pools.by_threads));
        pools.process = std::process::id();
    }
    if let Some(pool) = pools.by_threads.get(&threads) {
        return Ok(Arc::clone(pool));
    }
    let pool = Arc::new(Pool::new(threads)?);
    pools.by_threads.insert(threads, Arc::clone(&pool));
    Ok(pool)
}
