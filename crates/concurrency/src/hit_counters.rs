//! The hit counters: the hits and the misses of a cache in memory, as many as one lock guards.
//!
//! Ring 2. With a GIL a cache has one of these, without one each stripe of its lock has (`striped`). They stand under the
//! lock because there they cost a hit one addition to a line that it has at hand. Outside of it each count would be an atomic
//! read-modify-write, as threads may share a stripe. (A shared cache counts in its file: `crates/shared/src/table/counters.rs`.)

use std::cell::Cell;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct HitCounters {
    hits: Cell<u64>,
    misses: Cell<u64>,
}

impl HitCounters {
    #[inline(always)]
    pub fn hit(&self) {
        self.hits.set(self.hits.get() + 1);
    }

    #[inline(always)]
    pub fn miss(&self) {
        self.misses.set(self.misses.get() + 1);
    }

    /// Hits and misses so far.
    pub fn read(&self) -> (u64, u64) {
        (self.hits.get(), self.misses.get())
    }

    pub fn reset(&self) {
        self.hits.set(0);
        self.misses.set(0);
    }
}
