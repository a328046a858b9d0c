//! Memory that grows with an image or a file. Where there is none, that is an error of the sample.
//!
//! Rust ends the process when a collection gets no memory. So everything whose size depends on a
//! file grows through the functions here. They unwind the stack with [`NoMemory`], which needs no
//! `Result` in every kernel. [`caught`] turns that into [`Error::Memory`] where the sample is known.
//!
//! Decoders of other crates can't be told to do so. A [`Promise`] makes sure before such a decoder
//! runs that the system has what it will take, at most. All promises in force are counted together,
//! so that two threads are not promised the same bytes.
//!
//! Small allocations of constant size are not checked. They are left [`SPARE`]: memory that must be
//! free after everything that is checked.
//!
//! Imports errors only.

use std::alloc::{Layout, alloc_zeroed};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// What unwinds the stack where there is no memory of so many bytes; 0 if their number is unknown.
pub(crate) struct NoMemory(pub usize);

/// What is left for allocations that are not checked.
const SPARE: usize = 1 << 20;

/// Smaller buffers are part of what [`SPARE`] is for.
const SMALL: usize = 16 << 10;

/// Unwinds the stack since there is no memory of so many bytes.
pub(crate) fn none(bytes: usize) -> ! {
    resume_unwind(Box::new(NoMemory(bytes)))
}

/// Runs `work`, in which memory may be missing.
///
/// # Errors
/// [`Error::Memory`] if it is.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| match payload.downcast() {
        Ok(none) => {
            let NoMemory(bytes) = *none;
            Err(Error::Memory { bytes })
        }
        Err(other) => resume_unwind(other),
    })
}

/// As [`Vec::reserve`].
#[inline]
pub(crate) fn reserve<T>(vec: &mut Vec<T>, more: usize) {
    if vec.capacity() - vec.len() < more {
        grow(vec, more);
    }
}

#[cold]
fn grow<T>(vec: &mut Vec<T>, more: usize) {
    let bytes = more.saturating_mul(size_of::<T>());
    // Twice the capacity, or if there is no memory for that, what is needed.
    let grown = vec.try_reserve(more).or_else(|_| vec.try_reserve_exact(more));
    if grown.is_err() {
        none(bytes);
    }
    if bytes > SMALL && !Promise::kept() {
        *vec = Vec::new();
        none(bytes);
    }
}

/// As [`Vec::resize`].
#[inline]
pub(crate) fn resize<T: Clone>(vec: &mut Vec<T>, len: usize, value: T) {
    reserve(vec, len.saturating_sub(vec.len()));
    vec.resize(len, value);
}

/// Makes `vec` a copy of `items`.
#[inline]
pub(crate) fn copy<T: Copy>(items: &[T], vec: &mut Vec<T>) {
    vec.clear();
    reserve(vec, items.len());
    vec.extend_from_slice(items);
}

/// Makes `vec` have these items.
#[inline]
pub(crate) fn collect<T>(items: impl ExactSizeIterator<Item = T>, vec: &mut Vec<T>) {
    vec.clear();
    reserve(vec, items.len());
    vec.extend(items);
}

/// As `vec![value; len]`.
pub(crate) fn filled<T: Clone>(value: T, len: usize) -> Vec<T> {
    let mut vec = Vec::new();
    resize(&mut vec, len, value);
    vec
}

/// `len` bytes of 0. New memory from the system is zero already and is not touched, so a file that
/// lies about its size costs nothing.
pub(crate) fn zeroed(len: usize) -> Vec<u8> {
    if len == 0 {
        return Vec::new();
    }
    let Ok(layout) = Layout::array::<u8>(len) else { none(len) };
    // SAFETY: the size is not 0.
    let start = unsafe { alloc_zeroed(layout) };
    if start.is_null() {
        none(len);
    }
    // SAFETY: the global allocator's memory of `len` initialised bytes, with a byte's alignment.
    let bytes = unsafe { Vec::from_raw_parts(start, len, len) };
    if len > SMALL && !Promise::kept() {
        drop(bytes);
        none(len);
    }
    bytes
}

/// Memory that a decoder of another crate may take while this lives.
#[must_use]
pub(crate) struct Promise {
    kibibytes: u64,
}

/// All promises of a process in KiB, below the process's number: a child begins without those of
/// its parent's threads, which it does not have.
static PROMISED: AtomicU64 = AtomicU64::new(0);

const COUNT: u64 = u32::MAX as u64;

/// The largest promise in KiB: 1 TiB. So memory ends long before the count does.
const MAX_PROMISE: u64 = 1 << 30;

fn process() -> u64 {
    u64::from(std::process::id()) << 32
}

/// The promises in `state` that are this process's, in KiB.
fn of_this_process(state: u64) -> u64 {
    if state & !COUNT == process() { state & COUNT } else { 0 }
}

/// Changes how much is promised.
fn change(change: impl Fn(u64) -> u64) {
    let changed = |state| Some(process() | change(of_this_process(state)));
    // It never refuses.
    let _ = PROMISED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
}

impl Promise {
    /// Promises `bytes`, which are free now besides all that is promised already.
    ///
    /// They are asked for and given back. What is not touched costs some microseconds, however much
    /// it is. Memory that other promises have been used for already is counted twice.
    pub(crate) fn new(bytes: usize) -> Self {
        let kibibytes = (bytes as u64).div_ceil(1 << 10);
        if kibibytes > MAX_PROMISE {
            none(bytes);
        }
        change(|promised| (promised + kibibytes).min(COUNT));
        let promise = Self { kibibytes };
        if !Self::kept() {
            drop(promise);
            none(bytes);
        }
        promise
    }

    /// Whether the system has what is promised, and [`SPARE`].
    fn kept() -> bool {
        let promised = of_this_process(PROMISED.load(Ordering::Relaxed)) << 10;
        let Ok(bytes) = usize::try_from(promised) else { return false };
        let mut memory = Vec::<u8>::new();
        let found = memory.try_reserve_exact(bytes.saturating_add(SPARE)).is_ok();
        // Without this the compiler leaves out an allocation that is not used.
        black_box(&memory);
        found
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        change(|promised| promised.saturating_sub(self.kibibytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any machine has.
    const MUCH: usize = 1 << 60;

    #[test]
    fn missing_memory_is_an_error() {
        let failures: [fn(); 6] = [
            || reserve(&mut Vec::<u16>::new(), MUCH / 2),
            || resize(&mut vec![0u8], MUCH + 1, 0),
            || drop(filled(1u8, MUCH)),
            || drop(zeroed(MUCH)),
            || drop(zeroed(usize::MAX)),
            || drop(Promise::new(MUCH)),
        ];
        for (number, fail) in failures.into_iter().enumerate() {
            let failing = || {
                fail();
                Ok(())
            };
            let error = caught(failing).expect_err("there is not so much");
            let Error::Memory { bytes } = error else { panic!("{error}") };
            assert!([MUCH, usize::MAX].contains(&bytes), "{number}: {bytes}");
        }
    }

    #[test]
    fn other_panics_go_on() {
        let panicked = catch_unwind(|| caught(|| -> Result<()> { panic!("a bug") }));
        assert_eq!(panicked.expect_err("a panic").downcast_ref(), Some(&"a bug"));
    }

    /// Other tests make small promises at the same time.
    #[test]
    fn promises_are_counted_together() {
        const MUCH_MORE: u64 = 64 << 10;
        let promised = || of_this_process(PROMISED.load(Ordering::Relaxed));
        let about = |kibibytes: u64| (kibibytes..kibibytes + MUCH_MORE).contains(&promised());
        let promise = |kibibytes: u64| Promise::new((kibibytes << 10) as usize);
        assert!(about(0));
        let (first, second) = (promise(4 * MUCH_MORE), promise(2 * MUCH_MORE));
        assert!(about(6 * MUCH_MORE));
        drop(first);
        assert!(about(2 * MUCH_MORE));
        assert!(caught(|| Ok(Promise::new(MUCH))).is_err());
        assert!(about(2 * MUCH_MORE));
        drop(second);
        assert!(about(0));
    }

    #[test]
    fn a_child_process_has_no_promises_of_its_parents() {
        assert_eq!(of_this_process(process() | 7), 7);
        assert_eq!(of_this_process((process() ^ 1 << 40) | 7), 0);
    }

    #[test]
    fn vectors_get_what_was_asked_for() {
        let mut vec = vec![9, 9];
        resize(&mut vec, 4, 1);
        assert_eq!(vec, [9, 9, 1, 1]);
        copy(&[1, 2], &mut vec);
        assert_eq!(vec, [1, 2]);
        collect([3, 4, 5].into_iter(), &mut vec);
        assert_eq!(vec, [3, 4, 5]);
        assert_eq!(filled(7u16, 3), [7; 3]);
        assert_eq!((zeroed(0), zeroed(2)), (vec![], vec![0, 0]));
    }
}
