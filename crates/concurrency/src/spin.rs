//! A lock of one word for critical sections of some dozens of instructions.
//!
//! Ring 2. A waiter spins, then yields, then sleeps: yielding alone would never let a holder go on that has a lower priority
//! under a real-time scheduler. Unlike a mutex of the standard library the lock can be taken in one function and given back
//! in another, as a fork's handlers must.

use crate::primitives::{AtomicU32, Ordering};

#[derive(Debug)]
pub(crate) struct SpinLock {
    word: AtomicU32,
    /// A model has no use for threads that spin: it would have to try every number of turns. There they sleep until the
    /// word is set back. A standard mutex, as it is no part of the model.
    #[cfg(loom)]
    waiters: std::sync::Mutex<Vec<loom::thread::Thread>>,
}

impl SpinLock {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        SpinLock { word: AtomicU32::new(0) }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        SpinLock { word: AtomicU32::new(0), waiters: std::sync::Mutex::default() }
    }

    #[inline(always)]
    pub(crate) fn try_lock(&self) -> bool {
        // Acquire: pairs with the release in `unlock`, so that what the last holder wrote is seen.
        self.word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline(always)]
    pub(crate) fn lock(&self) {
        if !self.try_lock() {
            self.lock_contended();
        }
    }

    #[cfg(not(loom))]
    #[cold]
    fn lock_contended(&self) {
        let mut turns = 0u32;
        loop {
            // Relaxed: only a hint that trying is worth the cache line.
            if self.word.load(Ordering::Relaxed) == 0 && self.try_lock() {
                return;
            }
            turns = turns.saturating_add(1);
            match turns {
                0..=100 => std::hint::spin_loop(),
                101..=200 => std::thread::yield_now(),
                _ => std::thread::sleep(std::time::Duration::from_micros(50)),
            }
        }
    }

    #[cfg(loom)]
    fn lock_contended(&self) {
        loop {
            // The model switches threads at its own operations only, so nobody unlocks between the attempt and the note.
            self.waiters.lock().unwrap().push(loom::thread::current());
            loom::thread::park();
            if self.try_lock() {
                return;
            }
        }
    }

    #[inline(always)]
    pub(crate) fn unlock(&self) {
        // Release: pairs with the acquire in `try_lock`.
        self.word.store(0, Ordering::Release);
        #[cfg(loom)]
        for waiter in std::mem::take(&mut *self.waiters.lock().unwrap()) {
            waiter.unpark();
        }
    }
}
