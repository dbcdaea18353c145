//! Of the handle: what is counted beside hits and misses, why something was not stored, and how things stand.

use super::SharedCache;
use crate::error::Hindrance;
use crate::file::atomic::Ordering;
use crate::file::layout::ctl;
use crate::file::units::Offset;
use crate::interface::Info;
use crate::load_counter::LoadCounter;
use crate::skip::Skip;
use crate::table::counters::Event;
use crate::table::storing::Stored;

impl SharedCache {
    /// Counts a result that was not stored.
    pub fn count_skip(&self, skip: Skip) {
        self.table.count_rare(skip);
    }

    /// Counts something of computations: a stale hit, a refresh.
    pub fn count_rare(&self, what: LoadCounter) {
        self.table.count_rare(what);
    }

    /// Counts a computation that has ended and took so many nanoseconds. `alone`: as for [`count_alone`](Self::count_alone).
    pub fn count_load(&self, nanoseconds: u64, failed: bool, alone: bool) {
        self.table.count_load(nanoseconds, failed, alone);
    }

    /// Why something was not stored, and the number of the system's error behind it, or 0. To be asked by who has just
    /// tried.
    pub fn why(&self, stored: Stored) -> Option<(Skip, i32)> {
        match stored {
            Stored::Done(_) => None,
            Stored::TooLarge => Some((Skip::FileSize, 0)),
            Stored::NoSpace => Some((Skip::Space, self.table.region.last_refusal())),
            Stored::Damaged => Some((Skip::Damaged, 0)),
            Stored::Outdated => Some((Skip::Superseded, 0)),
            Stored::Busy if self.poisoned() => Some((Skip::Lost, 0)),
            Stored::Busy => Some(match self.table.hindrance() {
                None => (Skip::Busy, 0),
                Some(Hindrance::Lines) => (Skip::Processes, 0),
                Some(Hindrance::Descriptor) => (Skip::Lost, 0),
                Some(Hindrance::NoSpace(error)) => (Skip::Space, error),
                Some(Hindrance::Locks(error)) => (Skip::Locks, error),
            }),
        }
    }

    /// Whether what was just stored cost others their place, as the file could not grow though it may: the number of the
    /// system's error, and whether it concerns this process alone, which lacks addresses. Once for each such store.
    pub fn take_cramped(&self) -> Option<(i32, bool)> {
        let cramped = &self.table.cramped;
        let error = if cramped.load(Ordering::Relaxed) == 0 { 0 } else { cramped.swap(0, Ordering::Relaxed) };
        (error != 0).then_some((error, error == libc::ENOMEM))
    }

    /// Entries that have not expired.
    pub fn len(&self) -> u64 {
        self.table.len()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What cannot be right among the counters is put right first.
    pub fn info(&self) -> Info {
        self.table.mend_counters();
        let [evictions, expirations, repairs] = self.table.happened();
        let at = |at: Offset| self.table.region.load(at, Ordering::Relaxed);
        Info {
            hits: self.table.counted(Event::Hit),
            misses: self.table.counted(Event::Miss),
            skips: Skip::ALL.map(|skip| self.table.counted_rare(skip)),
            loads: LoadCounter::ALL.map(|what| self.table.counted_rare(what)),
            len: self.len(),
            max_size: self.table.header.max_size,
            capacity: self.table.max_entries(),
            max_bytes: self.table.header.max_bytes,
            evictions,
            expirations,
            repairs,
            data_bytes_used: at(ctl!(used_granules)).min(self.table.geo.granules) * crate::file::layout::GRANULE,
            data_bytes_reserved: self.table.data_ready() * crate::file::layout::GRANULE,
        }
    }
}
