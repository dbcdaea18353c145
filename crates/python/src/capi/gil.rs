//! The shared cell of an interpreter with a GIL: the GIL is the lock, so nothing is taken.
//!
//! Ring 3. What keeps this sound is one rule, checked in debug builds: neither closure given to `read` or `write` calls
//! into Python, so the GIL cannot change hands and the cell cannot be entered again while it is borrowed.

#[cfg(debug_assertions)]
use std::cell::Cell;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::Deref;

use concurrency::access::{Change, HitCounters, RecordAccess};
use engine::slab::Token;

/// A value that all threads share, and the counters of its hits and misses.
#[derive(Debug)]
pub struct Shared<T> {
    value: UnsafeCell<T>,
    counters: HitCounters,
    #[cfg(debug_assertions)]
    busy: Cell<bool>,
}

// SAFETY: the cell is reached only by threads that hold the GIL (every method is called from ring 3 with the thread
// attached), one at a time, and none gives the GIL up inside `read` or `write`.
unsafe impl<T: Send> Sync for Shared<T> {}

/// Whether a thread may let go of a reader and find the value as it was, until it calls into Python.
pub const READERS_MAY_PAUSE: bool = true;

/// A small value that all threads share, each for a moment.
pub struct Leaf<T> {
    value: UnsafeCell<T>,
    #[cfg(debug_assertions)]
    busy: Cell<bool>,
}

// SAFETY: as for `Shared`.
unsafe impl<T: Send> Sync for Leaf<T> {}

impl<T> Leaf<T> {
    /// Shares a value.
    ///
    /// # Safety
    /// That of [`Brief`](super::sharing::Brief).
    pub(super) unsafe fn new(value: T) -> Self {
        Leaf {
            value: UnsafeCell::new(value),
            #[cfg(debug_assertions)]
            busy: Cell::new(false),
        }
    }

    /// Runs `f` with the value. `f` must not call into Python.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(debug_assertions)]
        let _entered = Entered::begin(&self.busy);
        // SAFETY: the GIL keeps other threads out, and `f` does not come back here.
        f(unsafe { &mut *self.value.get() })
    }
}

/// Somebody is in a `Leaf`.
#[cfg(debug_assertions)]
struct Entered<'a>(&'a Cell<bool>);

#[cfg(debug_assertions)]
impl<'a> Entered<'a> {
    fn begin(busy: &'a Cell<bool>) -> Self {
        assert!(!busy.replace(true), "what threads share was entered while one was in it");
        Entered(busy)
    }
}

#[cfg(debug_assertions)]
impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// A look at the value, from which a use or a miss may be noted.
#[derive(Debug)]
pub struct Reader<'a, T> {
    shared: &'a Shared<T>,
    /// Stays on its thread.
    _local: PhantomData<*const ()>,
}

impl<T> Deref for Reader<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: `read` excludes `write`; a reader changes the value only through `touch`, which allows `&T` beside it.
        unsafe { &*self.shared.value.get() }
    }
}

#[cfg(debug_assertions)]
impl<T> Drop for Reader<'_, T> {
    fn drop(&mut self) {
        self.shared.busy.set(false);
    }
}

impl<T: RecordAccess> Reader<'_, T> {
    /// Counts a hit and notes the use.
    ///
    /// # Safety
    /// `token` names a published entry of the value.
    #[inline(always)]
    pub unsafe fn hit(&self, token: Token) {
        self.shared.counters.hit();
        // SAFETY: the caller's promise; the GIL keeps other threads out.
        unsafe { self.touch(token) };
    }

    /// [`hit`](Self::hit) where it takes no call; `false` (and nothing done) where it does.
    ///
    /// # Safety
    /// As for [`hit`](Self::hit).
    #[inline(always)]
    pub unsafe fn hit_inline(&self, token: Token) -> bool {
        // SAFETY: as in `hit`.
        let done = unsafe { self.record_inline(token) };
        if done {
            self.shared.counters.hit();
        }
        done
    }

    /// Notes a use that is not counted as a hit.
    ///
    /// # Safety
    /// As for [`hit`](Self::hit).
    #[inline(always)]
    pub unsafe fn used(&self, token: Token) {
        // SAFETY: as in `hit`.
        unsafe { self.touch(token) };
    }

    /// Counts a miss.
    pub fn miss(&self) {
        self.shared.counters.miss();
    }
}

/// Exclusive access to the value.
#[derive(Debug)]
pub struct Writer<'a, T> {
    pub value: &'a mut T,
    shared: &'a Shared<T>,
}

impl<T> Writer<'_, T> {
    /// Hits and misses so far.
    pub fn counters(&self) -> (u64, u64) {
        self.shared.counters.read()
    }

    pub fn reset_counters(&self) {
        self.shared.counters.reset();
    }
}

impl<T: RecordAccess> Shared<T> {
    /// Shares a value.
    ///
    /// # Safety
    /// Every other method is called by threads that hold the GIL, which none gives up (by a call into Python) while it has
    /// a reader or is in a closure; and none comes back to this cell meanwhile.
    pub unsafe fn new(value: T) -> Self {
        Shared {
            value: UnsafeCell::new(value),
            counters: HitCounters::default(),
            #[cfg(debug_assertions)]
            busy: Cell::new(false),
        }
    }

    /// The value to read. Until the reader is dropped, its holder must not call into Python.
    #[inline(always)]
    pub fn reader(&self) -> Reader<'_, T> {
        #[cfg(debug_assertions)]
        assert!(!self.busy.replace(true), "a cache was entered while it was borrowed");
        Reader { shared: self, _local: PhantomData }
    }

    /// Runs `f` with the value to read. `f` must not call into Python.
    #[inline(always)]
    pub fn read<R>(&self, f: impl FnOnce(Reader<'_, T>) -> R) -> R {
        f(self.reader())
    }

    /// Runs `f` with exclusive access. `f` must not call into Python.
    #[inline(always)]
    pub fn write<R>(&self, f: impl FnOnce(Writer<'_, T>) -> R) -> R {
        let _entered = self.reader();
        // SAFETY: the GIL keeps other threads out, and `f` does not come back here.
        let value = unsafe { &mut *self.value.get() };
        Change::run(value, |value| f(Writer { value, shared: self }))
    }

    /// As `read`, for the garbage collector: `None` rather than a wait where the value is in use.
    pub fn try_read<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        Some(self.read(|reader| f(&reader)))
    }
}
