//! The one place that chooses how a cache is shared between threads: the GIL, or a striped lock.
//!
//! Ring 3. [`Shared`] has the same interface in both forms: `read` for hits, `write` for whatever changes the structure.
//!
//! * With a GIL, the GIL is the lock (`gil`): nothing is taken, a hit applies its use to the order at once.
//! * Without one, the lock is [`concurrency::striped`]: a hit writes no cache line that another thread writes.

#[cfg(not(Py_GIL_DISABLED))]
pub use super::gil::{Reader, Shared, READERS_MAY_PAUSE};
#[cfg(Py_GIL_DISABLED)]
pub use concurrency::striped::{Reader, Shared, READERS_MAY_PAUSE};

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
