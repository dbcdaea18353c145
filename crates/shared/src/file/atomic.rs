//! The one place where the shared tier chooses its atomics: the standard library's, or loom's under `cfg(loom)`.
//!
//! Every word of the file is reached as one of these `AtomicU64`s, through `file::mapping`. So a loom model runs the very code
//! that ships: only the memory below it (a mapping, or a table of loom words) differs.

#[cfg(not(loom))]
pub use std::sync::atomic::{fence, AtomicU32, AtomicU64};

#[cfg(loom)]
pub use loom::sync::atomic::{fence, AtomicU32, AtomicU64};

pub(crate) use std::sync::atomic::Ordering;

/// Lets somebody else run for a moment; step `n` of a wait. Sleeps get longer, so that a long wait costs no processor.
pub(crate) fn pause(n: u32) {
    #[cfg(loom)]
    {
        let _ = n;
        loom::thread::yield_now();
    }
    #[cfg(not(loom))]
    match n {
        0..=5 => (0..1u32 << n).for_each(|_| std::hint::spin_loop()),
        // Some tens of microseconds: as long as the slowest thing that is done under the lock as a rule (a scan for
        // victims). A sleep takes longer than it is told to.
        6..=199 => std::thread::yield_now(),
        _ => std::thread::sleep(std::time::Duration::from_micros(20 << (n - 200).min(6))),
    }
}
