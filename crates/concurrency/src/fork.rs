//! What must survive a fork: a count of forks that every handle compares, and a process-wide lock no child inherits
//! locked.
//!
//! A child of `fork` shares the parent's mappings but is another process: it holds none of the parent's byte-range
//! locks and must not write under the parent's name. So the child's atfork handler counts, and each operation compares
//! the count with the one its process slot was claimed under (one load) and claims a slot of its own where they differ.
//! No caller needs to remember anything. `vfork` and `posix_spawn` run no handlers and need none: they exec.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Once;

static FORKS: AtomicU64 = AtomicU64::new(1);
static HELD: AtomicBool = AtomicBool::new(false);
static REGISTERED: Once = Once::new();

/// Differs between a process and its fork's child; never 0. Relaxed: a fork orders everything.
#[inline]
pub fn epoch() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

fn acquire() {
    // Pairs with the release store in `release`.
    while HELD.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
        std::thread::yield_now();
    }
}

fn release() {
    HELD.store(false, Ordering::Release);
}

extern "C" fn before() {
    acquire();
}
extern "C" fn in_parent() {
    release();
}
extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    release();
}

/// From now on forks are counted.
pub fn watch() {
    // SAFETY: the three handlers are plain functions that live as long as this code; they only touch atomics.
    REGISTERED.call_once(|| unsafe {
        libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child));
    });
}

/// Runs `f` alone in this process. A fork waits for it, so the child finds the lock free and what it guards whole.
/// `f` must be short, must not fork, and must not come here again.
pub fn exclusive<R>(f: impl FnOnce() -> R) -> R {
    watch();
    struct Release;
    impl Drop for Release {
        fn drop(&mut self) {
            release();
        }
    }
    acquire();
    let _release = Release;
    f()
}
