//! What is counted of computations, in the file; where there is none that can count, in this process.
//!
//! Ring 3.

use super::Shared;
use crate::backend::shared::file::File;
use crate::capi::sharing::FREE_THREADED;
use crate::function::load_counters::{LoadCounters, Totals};
use concurrency::elapsed::Stopwatch;
use shared::LoadCounter;

impl Shared {
    /// The file that counts; `None` if there is none, or nobody will read its counters.
    fn counting_file(&self) -> Option<&File> {
        self.files.current().filter(|file| !file.shm.poisoned())
    }

    /// A computation has ended.
    pub(crate) fn count_load(&self, load_counters: &LoadCounters, watch: Stopwatch, failed: bool) {
        match self.counting_file() {
            // With a GIL, which the thread holds, no other thread of the process counts meanwhile.
            Some(file) => file.shm.count_load(Stopwatch::nanoseconds(watch.ticks()), failed, !FREE_THREADED),
            None => load_counters.load(watch, failed),
        }
    }

    /// A call gets a value which is no longer fresh.
    pub(crate) fn count_stale_hit(&self, load_counters: &LoadCounters) {
        match self.counting_file() {
            Some(file) => file.shm.count_rare(LoadCounter::StaleHits),
            None => load_counters.stale_hit(),
        }
    }

    /// A computation begins while there is a value.
    pub(crate) fn count_refresh(&self, load_counters: &LoadCounters) {
        match self.counting_file() {
            Some(file) => file.shm.count_rare(LoadCounter::Refreshes),
            None => load_counters.refresh(),
        }
    }
}

/// What the file has counted.
pub(super) fn totals(counted: [u64; LoadCounter::COUNT]) -> Totals {
    let of = |what: LoadCounter| counted[what as usize];
    Totals {
        loads: of(LoadCounter::Loads),
        load_failures: of(LoadCounter::Failures),
        load_nanoseconds: of(LoadCounter::Nanoseconds),
        stale_hits: of(LoadCounter::StaleHits),
        refreshes: of(LoadCounter::Refreshes),
    }
}
