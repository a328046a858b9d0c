//! What threads of the loader share and wait with. The tests of the protocol put loom's in its place
//! ([`model`](super::model)), so the queue takes these from nowhere else.

pub use std::sync::atomic::AtomicUsize;
pub use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
pub use std::thread::{Builder, JoinHandle};
