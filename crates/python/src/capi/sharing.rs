//! The one place that chooses how a cache is shared between threads: the GIL, or a striped lock.
//!
//! Ring 3. [`Shared`] has the same interface in both forms: `read` for hits, `write` for whatever changes the structure. So has
//! [`Leaf`], for what is small and no hit looks at: without a GIL it is a mutex, under which no other lock is taken.
//!
//! * With a GIL, the GIL is the lock (`gil`): nothing is taken, a hit applies its use to the order at once.
//! * Without one, the lock is [`concurrency::striped`]: a hit writes no cache line that another thread writes.

use std::fmt;

#[cfg(not(Py_GIL_DISABLED))]
pub use super::gil::{Leaf, Reader, Shared, READERS_MAY_PAUSE};
#[cfg(Py_GIL_DISABLED)]
pub use concurrency::striped::{Reader, Shared, READERS_MAY_PAUSE};

/// A small value that all threads share, each for a moment.
#[cfg(Py_GIL_DISABLED)]
pub struct Leaf<T>(std::sync::Mutex<T>);

#[cfg(Py_GIL_DISABLED)]
impl<T> Leaf<T> {
    /// Shares a value.
    ///
    /// # Safety
    /// None. (With a GIL there is something to promise.)
    pub(super) unsafe fn new(value: T) -> Self {
        Leaf(std::sync::Mutex::new(value))
    }

    /// Runs `f` with the value. `f` must not call into Python.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// What may lie in a [`Leaf`].
///
/// # Safety
/// [`Leaf::with`] is called by threads that are attached, which none ceases to be (by a call into Python) in its closure; and
/// none comes back to the same value meanwhile.
pub unsafe trait Brief: Default {}

impl<T: Brief> Default for Leaf<T> {
    fn default() -> Self {
        // SAFETY: the promise of its type.
        unsafe { Leaf::new(T::default()) }
    }
}

// (What lies in it belongs to other threads, too.)
impl<T> fmt::Debug for Leaf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leaf")
    }
}

/// Whether several threads run Python at once.
pub const FREE_THREADED: bool = cfg!(Py_GIL_DISABLED);

/// Puts a value where threads share it.
///
/// # Safety
/// All users of what this gives are attached to the interpreter, and none calls into Python, or drops an object, while it
/// reads or writes.
pub unsafe fn share<T: concurrency::access::RecordAccess>(value: T) -> Shared<T> {
    #[cfg(not(Py_GIL_DISABLED))]
    // SAFETY: the caller's promise.
    return unsafe { Shared::new(value) };
    #[cfg(Py_GIL_DISABLED)]
    Shared::new(value)
}
