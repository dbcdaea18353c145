//! The moment at which something is known that another thread finds out. Waited for without the interpreter.
//!
//! Ring 3.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use concurrency::fork;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Answer {
    is_there: AtomicBool,
    /// Locked within `fork::exclusive` only, so nobody waits and no child finds it locked.
    waiting: Mutex<Vec<Thread>>,
}

impl Answer {
    fn with<R>(&self, f: impl FnOnce(&mut Vec<Thread>) -> R) -> R {
        fork::exclusive(|| f(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// It is there from now on.
    pub fn comes(&self) {
        // Relaxed: the lock orders it. Whoever comes to the list after it was taken sees it.
        if !self.is_there.swap(true, Ordering::Relaxed) {
            self.with(std::mem::take).iter().for_each(Thread::unpark);
        }
    }

    /// Waits for at most `bound`; whether it is there.
    pub fn wait(&self, bound: Duration) -> bool {
        let since = Instant::now();
        self.with(|waiting| waiting.push(thread::current()));
        while !self.is_there.load(Ordering::Relaxed) {
            let left = bound.saturating_sub(since.elapsed());
            if left.is_zero() {
                return false;
            }
            thread::park_timeout(left);
        }
        true
    }
}
