//! The one place that chooses how a cache is shared between threads: the GIL, or a striped lock; and whose atomics.
//!
//! Ring 2. [`Shared`] has the same interface in both forms: `read` for hits, `write` for whatever changes the structure.
//!
//! * With a GIL, the GIL is the lock ([`gil`]): nothing is taken, a hit applies its use to the order at once.
//! * Without one (and in tests of rings 1 and 2, which have no Python), the lock is [`striped`]: a hit writes no cache
//!   line that another thread writes.
//!
//! Under `cfg(loom)` the atomics and cells are loom's, so that the model checker runs the code that ships.

#[cfg(all(feature = "python", not(Py_GIL_DISABLED)))]
mod gil;
#[cfg(all(feature = "python", not(Py_GIL_DISABLED)))]
pub use gil::{Reader, Shared, Writer, READERS_MAY_PAUSE};

#[cfg(any(not(feature = "python"), Py_GIL_DISABLED))]
mod striped;
#[cfg(any(not(feature = "python"), Py_GIL_DISABLED))]
pub use striped::{Reader, Shared, Writer, READERS_MAY_PAUSE};

pub(crate) mod spin;

use crate::cache::Cache;
use crate::entry::Token;
use crate::strategies::Hit;

/// What a shared value must offer so that readers can note uses.
pub trait Touch {
    /// What a use does to the value; constant for it.
    fn touch_does(&self) -> Hit;

    /// Whether a use right after one of the same entry needs to be noted; constant for a value.
    fn counts_repeats(&mut self) -> bool;

    /// Notes a use of the entry `token`.
    ///
    /// # Safety
    /// `token` names a published entry; no other thread changes the structure meanwhile, and where a use changes
    /// the order, none notes one.
    unsafe fn touch(&self, token: Token);

    /// Whoever changed the value has panicked in the middle of it: makes it whole, dropping nothing that it held.
    fn broken(&mut self);

    /// [`touch`](Self::touch) where it takes no call; `false` (and nothing done) where it does.
    ///
    /// # Safety
    /// As for `touch`.
    unsafe fn touch_at_once(&self, token: Token) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.touch(token) };
        true
    }
}

/// A change under way; dropped by unwinding only.
struct Change<T: Touch>(*mut T);

impl<T: Touch> Change<T> {
    /// Runs `f` on the value, which is made whole again should `f` panic.
    #[inline]
    fn run<R>(value: &mut T, f: impl FnOnce(&mut T) -> R) -> R {
        let value: *mut T = value;
        let change = Change(value);
        // SAFETY: the borrow that the pointer was made of lasts, and `change` does not touch the value before `f` has ended.
        let result = f(unsafe { &mut *value });
        std::mem::forget(change);
        result
    }
}

impl<T: Touch> Drop for Change<T> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: see `run`.
        unsafe { (*self.0).broken() };
    }
}

impl<K, V> Touch for Cache<K, V> {
    fn touch_does(&self) -> Hit {
        self.hit_does()
    }

    fn counts_repeats(&mut self) -> bool {
        self.repeats_count()
    }

    fn broken(&mut self) {
        self.abandon();
    }

    #[inline(always)]
    unsafe fn touch(&self, token: Token) {
        // SAFETY: the caller's promise; `Shared` gives readers only `&Cache`.
        unsafe { self.hit_shared(token) }
    }

    #[inline(always)]
    unsafe fn touch_at_once(&self, token: Token) -> bool {
        // SAFETY: as in `touch`.
        unsafe { self.hit_shared_at_once(token) }
    }
}

/// Atomics, locks and cells: loom's under the model checker, else the standard library's.
pub mod primitives {
    #[cfg(loom)]
    pub use loom::{
        cell::UnsafeCell,
        sync::atomic::{AtomicU32, AtomicU64, Ordering},
        sync::{Condvar, Mutex, MutexGuard},
    };
    #[cfg(not(loom))]
    pub use std::sync::{
        atomic::{AtomicU32, AtomicU64, Ordering},
        Condvar, Mutex, MutexGuard,
    };

    /// `std`'s cell with loom's interface; both methods compile to nothing.
    #[cfg(not(loom))]
    #[derive(Debug, Default)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        pub const fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline(always)]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}
