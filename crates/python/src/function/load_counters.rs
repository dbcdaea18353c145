//! What a cache counts beside hits and misses: computations, their time, stale hits, refreshes.
//!
//! Ring 3. Nothing here is on the path of a hit. A shared cache counts in its file, and here only what no file can count.

use std::sync::atomic::{AtomicU64, Ordering};

use super::state::CacheState;
use crate::capi::sharing::FREE_THREADED;
use concurrency::elapsed::Stopwatch;

/// Counters of one cache. Relaxed: each is a number of its own.
#[derive(Debug, Default)]
pub(crate) struct LoadCounters {
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
    /// The nanoseconds that they took, all together.
    pub load_nanoseconds: u64,
    /// Calls that got a value which was no longer fresh.
    pub stale_hits: u64,
    /// Computations that were begun while there was a value.
    pub refreshes: u64,
}

impl LoadCounters {
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
            load_nanoseconds: Stopwatch::nanoseconds(self.load_ticks.load(Ordering::Relaxed)),
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

impl Totals {
    /// What two have counted together. (What a damaged file says may be anything.)
    pub fn plus(self, other: Totals) -> Totals {
        Totals {
            loads: self.loads.wrapping_add(other.loads),
            load_failures: self.load_failures.wrapping_add(other.load_failures),
            load_nanoseconds: self.load_nanoseconds.wrapping_add(other.load_nanoseconds),
            stale_hits: self.stale_hits.wrapping_add(other.stale_hits),
            refreshes: self.refreshes.wrapping_add(other.refreshes),
        }
    }
}

impl CacheState {
    /// Counts a computation that has ended, where the cache counts.
    // Not inlined: see `LoadCounters::load`.
    #[inline(never)]
    pub(crate) fn count_load(&self, watch: Stopwatch, failed: bool) {
        match self.backend.shared() {
            None => self.load_counters.load(watch, failed),
            Some(shared) => shared.count_load(&self.load_counters, watch, failed),
        }
    }

    /// Counts a call that gets a value which is no longer fresh.
    pub(crate) fn count_stale_hit(&self) {
        match self.backend.shared() {
            None => self.load_counters.stale_hit(),
            Some(shared) => shared.count_stale_hit(&self.load_counters),
        }
    }

    /// Counts a computation that begins while there is a value.
    pub(crate) fn count_refresh(&self) {
        match self.backend.shared() {
            None => self.load_counters.refresh(),
            Some(shared) => shared.count_refresh(&self.load_counters),
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
