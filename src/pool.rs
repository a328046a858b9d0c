//! Threads of a chosen number.
//!
//! The crate has no global thread pool: every call is given the pool that it may use. The calling
//! thread is one of a pool's threads and works along, so a pool of one thread starts none.
//!
//! ```
//! use tied_augment::pool::Pool;
//!
//! let pool = Pool::new(4)?;
//! assert_eq!(pool.threads(), 4);
//! assert_eq!(Pool::default().threads(), 1);
//! # Ok::<_, tied_augment::error::Error>(())
//! ```

use std::error::Error as _;
use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// Threads that share work. The default is the calling thread alone.
#[derive(Debug, Default)]
pub struct Pool {
    /// All threads but the calling one.
    others: Option<ThreadPool>,
}

impl Pool {
    /// A pool of `threads` threads: the calling one, and `threads - 1` that are started now.
    ///
    /// # Errors
    /// [`Error::Argument`] for 0 threads, [`Error::Threads`] if the system starts no more.
    pub fn new(threads: usize) -> Result<Self> {
        let others = match threads {
            0 => return Err(Error::Argument("threads must be at least 1".into())),
            1 => None,
            n => {
                let builder = ThreadPoolBuilder::new().num_threads(n - 1);
                let builder = builder.thread_name(|i| format!("tied-augment-{i}"));
                let fail = |e: ThreadPoolBuildError| Error::Threads { wanted: n, cause: cause(&e) };
                Some(builder.build().map_err(fail)?)
            }
        };
        Ok(Self { others })
    }

    /// The number of threads, the calling one included.
    #[must_use]
    pub fn threads(&self) -> usize {
        1 + self.others.as_ref().map_or(0, ThreadPool::current_num_threads)
    }

    /// Calls `work` with each of `items`, on the calling thread and on up to `threads - 1` others.
    /// The items are begun in their order.
    ///
    /// The calling thread begins at once, since waking another thread takes longer than an item of
    /// a few microseconds. `work` may share items of its own.
    pub(crate) fn share<T, I>(&self, items: I, threads: usize, work: impl Fn(T) + Sync)
    where
        T: Send,
        I: IntoIterator<Item = T, IntoIter: ExactSizeIterator + Send>,
    {
        let items = items.into_iter();
        let threads = threads.min(items.len());
        let items = Mutex::new(items);
        let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
        let run = || {
            while let Some(item) = next() {
                work(item);
            }
        };
        match &self.others {
            Some(others) if threads > 1 => others.in_place_scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|_| run());
                }
                run();
            }),
            _ => run(),
        }
    }
}

/// The system's message. The error's own message is about building a pool.
fn cause(error: &ThreadPoolBuildError) -> String {
    error.source().unwrap_or(error).to_string()
}
