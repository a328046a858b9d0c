//! The most memory that a piece of work had at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting the bytes of each thread.
struct Counting;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(more: isize) {
    BYTES.set(BYTES.get() + more);
    MOST.set(MOST.get().max(BYTES.get()));
}

// SAFETY: passes every call on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's duty.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's duty.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's duty.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Does `work`. Also the most bytes that this thread had allocated meanwhile, besides those that it
/// had before.
pub fn most<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = BYTES.get();
    MOST.set(before);
    let result = work();
    (result, (MOST.get() - before) as usize)
}
