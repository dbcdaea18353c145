//! Sleeping on a word of 32 bits that processes share.

use crate::file::atomic::AtomicU32;
#[cfg(not(all(target_os = "linux", not(loom))))]
use crate::file::atomic::Ordering;
use std::time::Duration;

/// Sleeps while the word is `seen`, until it is woken, for at most `time`; may return sooner.
#[cfg(all(target_os = "linux", not(loom)))]
pub fn wait(word: &AtomicU32, seen: u32, time: Duration) {
    crate::file::system::futex_wait_half(word.as_ptr(), seen, time);
}

/// Wakes all who sleep on the word.
#[cfg(all(target_os = "linux", not(loom)))]
pub fn wake(word: &AtomicU32) {
    crate::file::system::futex_wake_half(word.as_ptr());
}

/// Without a futex that works between processes: a short sleep, for the caller to look again.
#[cfg(not(all(target_os = "linux", not(loom))))]
pub fn wait(word: &AtomicU32, seen: u32, time: Duration) {
    // Relaxed: who sleeps looks again, in an order of its own.
    if word.load(Ordering::Relaxed) == seen {
        #[cfg(not(loom))]
        std::thread::sleep(time.min(Duration::from_millis(2)));
        #[cfg(loom)]
        let _ = time;
    }
}

#[cfg(not(all(target_os = "linux", not(loom))))]
pub fn wake(_: &AtomicU32) {}
