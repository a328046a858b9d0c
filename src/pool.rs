//! Threads of a chosen number, and the buffers that they reuse.

use std::error::Error as _;
use std::sync::{Mutex, PoisonError};

use rayon::ThreadPoolBuildError;

use crate::decode::Decoder;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::plan::Plan;
use crate::view::Renderer;

/// A workspace larger than this is given back after its sample: one huge image must not cost its
/// memory on every thread for good.
const KEPT_BYTES: usize = 64 << 20;

/// What one sample's work needs besides its input and output.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub decoder: Decoder,
    pub file: Vec<u8>,
    pub image: Image,
    pub plans: Vec<Plan>,
    pub renderer: Renderer,
}

/// A thread pool with its workspaces.
#[derive(Debug)]
pub struct Pool {
    // None: one thread, the caller's.
    threads: Option<rayon::ThreadPool>,
    // A stack rather than thread-locals: a thread that waits for views may begin another sample.
    workspaces: Mutex<Vec<Workspace>>,
}

impl Pool {
    /// A pool of `threads` threads; with 1, work runs on the calling thread.
    ///
    /// # Errors
    /// [`Error::Argument`] for 0 threads, [`Error::Threads`] if the system starts no more.
    pub fn new(threads: usize) -> Result<Self> {
        let pool = match threads {
            0 => return Err(Error::Argument("threads must be at least 1".into())),
            1 => None,
            n => {
                let builder = rayon::ThreadPoolBuilder::new().num_threads(n);
                let builder = builder.thread_name(|i| format!("tied-augment-{i}"));
                let fail = |e: ThreadPoolBuildError| Error::Threads { wanted: n, cause: cause(&e) };
                Some(builder.build().map_err(fail)?)
            }
        };
        Ok(Self { threads: pool, workspaces: Mutex::default() })
    }

    /// The number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.as_ref().map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// Runs `work` where its parallel iterators use this pool; `None` if there is but one thread.
    pub(crate) fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Option<T> {
        self.threads.as_ref().map(|pool| pool.install(work))
    }

    /// Does every job, on the calling thread and on up to `threads` - 1 of this pool's.
    ///
    /// The caller begins at once and works along: for jobs of microseconds, waking a thread takes long.
    pub(crate) fn share<J: Send>(&self, jobs: Vec<J>, threads: usize, work: impl Fn(J) + Sync) {
        let threads = threads.min(jobs.len());
        let jobs = Mutex::new(jobs.into_iter());
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
        let run = || {
            while let Some(job) = next() {
                work(job);
            }
        };
        match &self.threads {
            Some(pool) if threads > 1 => pool.in_place_scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|_| run());
                }
                run();
            }),
            _ => run(),
        }
    }

    /// Lends a workspace to `work`.
    pub(crate) fn with_workspace<T>(&self, work: impl FnOnce(&mut Workspace) -> T) -> T {
        let lock = || self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut workspace = lock().pop().unwrap_or_default();
        let result = work(&mut workspace);
        let Workspace { file, image, renderer, .. } = &workspace;
        if file.capacity() + image.data.capacity() + renderer.memory() <= KEPT_BYTES {
            lock().push(workspace);
        }
        result
    }
}

/// The system's words: the error's own are about building a pool.
fn cause(error: &ThreadPoolBuildError) -> String {
    error.source().unwrap_or(error).to_string()
}
