//! What a cache counts beside hits and misses: computations, their time, stale hits, refreshes.
//!
//! Ring 3. Nothing here is on the path of a hit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::capi::sharing::FREE_THREADED;
use concurrency::elapsed::Stopwatch;

/// Counters of one cache. Relaxed: each is a number of its own.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    loads: AtomicU64,
    load_failures: AtomicU64,
    load_ticks: AtomicU64,
    stale_hits: AtomicU64,
    refreshes: AtomicU64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Computations that have ended.
    pub loads: u64,
    /// Those of them that raised.
    pub load_failures: u64,
    /// The time that they took, all together.
    pub load_time: Duration,
    /// Calls that got a value which was no longer fresh.
    pub stale_hits: u64,
    /// Computations that were begun while there was a value.
    pub refreshes: u64,
}

impl Tally {
    /// A computation has ended.
    // Not inlined, as nothing may swell the frame that stands on the stack while the function computes.
    #[inline(never)]
    pub fn load(&self, watch: Stopwatch, failed: bool) {
        add(&self.loads, 1);
        add(&self.load_ticks, watch.ticks());
        if failed {
            add(&self.load_failures, 1);
        }
    }

    pub fn stale_hit(&self) {
        add(&self.stale_hits, 1);
    }

    pub fn refresh(&self) {
        add(&self.refreshes, 1);
    }

    pub fn totals(&self) -> Totals {
        Totals {
            loads: self.loads.load(Ordering::Relaxed),
            load_failures: self.load_failures.load(Ordering::Relaxed),
            load_time: Stopwatch::time(self.load_ticks.load(Ordering::Relaxed)),
            stale_hits: self.stale_hits.load(Ordering::Relaxed),
            refreshes: self.refreshes.load(Ordering::Relaxed),
        }
    }

    pub fn reset(&self) {
        for counter in [&self.loads, &self.load_failures, &self.load_ticks, &self.stale_hits, &self.refreshes] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// Adds to a counter. With a GIL, which the thread holds, nobody else does meanwhile.
#[inline(always)]
fn add(counter: &AtomicU64, n: u64) {
    if FREE_THREADED {
        counter.fetch_add(n, Ordering::Relaxed);
    } else {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }
}
