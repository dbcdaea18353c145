//! Forks: the one registration of handlers, the one count of forks, and a lock that no child inherits locked.
//!
//! Ring 2. A child of `fork` shares the parent's mappings but is another process with one thread: it holds none of the
//! parent's byte-range locks, must not write under the parent's name, and must not wait for threads that it does not have.
//! So the child's handler counts, and whoever keeps something that belongs to one process keeps the count beside it and
//! compares (one load). `vfork` and `posix_spawn` run no handlers and need none: they exec.
//!
//! The handlers' order: before a fork the lock of [`exclusive`] is taken, then that of the registry of waits
//! ([`inflight`]), which is held for a few instructions and with nothing else wanted; so a fork waits for both and the
//! child finds whole what they guard. Afterwards they are given back the other way round. In the child the registry is
//! emptied, the thread's number made the only one ([`thread_id`]) and the parent's sockets closed ([`descriptors`]) before
//! the count changes and the lock is released: whoever sees the new count sees all the rest of the new process. The C
//! library runs what others have registered around all this, and makes its allocator usable before the child's handlers
//! run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Once;

#[cfg(unix)]
use crate::descriptors;
use crate::spin::SpinLock;
use crate::{inflight, thread_id};

/// How many forks lie behind this process, plus 1. Relaxed and without a partner: it is written by the only thread of a new
/// process, and a fork orders everything.
static EPOCH: AtomicU64 = AtomicU64::new(1);

#[cfg(not(loom))]
static LOCK: SpinLock = SpinLock::new();
#[cfg(loom)]
loom::lazy_static! {
    static ref LOCK: SpinLock = SpinLock::new();
}

/// A number that differs between a process and its forks; never 0.
#[inline]
pub fn epoch() -> u64 {
    EPOCH.load(Ordering::Relaxed)
}

extern "C" fn before() {
    LOCK.lock();
    inflight::lock_registry_for_fork();
}

extern "C" fn in_parent() {
    inflight::unlock_registry_after_fork();
    LOCK.unlock();
}

extern "C" fn in_child() {
    inflight::empty_registry_after_fork();
    thread_id::after_fork_in_child();
    #[cfg(unix)]
    descriptors::close_after_fork_in_child();
    EPOCH.fetch_add(1, Ordering::Relaxed);
    LOCK.unlock();
}

/// From now on forks are counted, and a child forgets the threads it does not have. Later calls do nothing: two handlers
/// that take one lock would hang every fork.
pub fn watch() {
    static REGISTERED: Once = Once::new();
    #[cfg(unix)]
    REGISTERED.call_once(|| {
        // SAFETY: the three handlers are functions of the C ABI that live as long as this code and never unwind; in the
        // child they only store to statics and free memory, which the C library allows after a fork.
        unsafe {
            libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child));
        }
    });
    #[cfg(not(unix))]
    let _ = (&REGISTERED, before, in_parent, in_child);
}

/// Runs `f` alone in this process. A fork waits for it, so the child finds the lock free and what it guards whole.
/// `f` must be short, must not fork, and must not come here again.
pub fn exclusive<R>(f: impl FnOnce() -> R) -> R {
    watch();
    struct Release;
    impl Drop for Release {
        fn drop(&mut self) {
            LOCK.unlock();
        }
    }
    LOCK.lock();
    let _release = Release;
    f()
}
