//! What one process knows about one open file: the mapping, the checked copy of its parameters, and its own identity.
//!
//! The other modules are `impl Core` blocks, one concern each, in the order of a reading: `process`, `lock`, `slots`,
//! `block`, `hashtable`, `alloc`, `ordering`, `entries`, `repair`, `lease`, `stats`. Nothing a process decides by is
//! taken from the mapping a second time: `ident` and `geo` are copies made and verified at opening.

use crate::file::layout::{Geometry, Ident};
use crate::file::mapping::Region;
use crate::process::clock::{self, CoarseClock};
use crate::process::identity::Me;
use crate::table::audit::Audits;
use crate::table::repair::Mends;
use concurrency::boottime;
use std::sync::atomic::AtomicU64;

/// Which entry gives way: see `ordering`. LFU breaks ties by least recent use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Strategy {
    Lru = 0,
    Mru = 1,
    Fifo = 2,
    Lfu = 3,
    Sieve = 4,
    S3Fifo = 5,
    TinyLfu = 6,
}

impl Strategy {
    pub const ALL: [Strategy; 7] = [
        Strategy::Lru,
        Strategy::Mru,
        Strategy::Fifo,
        Strategy::Lfu,
        Strategy::Sieve,
        Strategy::S3Fifo,
        Strategy::TinyLfu,
    ];

    pub fn from_number(n: u64) -> Option<Strategy> {
        Strategy::ALL.into_iter().find(|s| *s as u64 == n)
    }

    /// Entries stand in queues, by when they came in; the others are ordered by the stamps of their uses.
    #[inline(always)]
    pub(crate) const fn has_queues(self) -> bool {
        self as u64 >= Strategy::Sieve as u64
    }

    /// How many entries share a line of hints about keys that are gone; `None` = none are kept.
    pub(crate) const fn entries_per_hint_line(self) -> Option<u64> {
        match self {
            // Eight ghosts in a line, and twice as many places as entries.
            Strategy::S3Fifo => Some(4),
            // 112 counters in a line, so about as many bytes an entry as Caffeine's sketch has.
            Strategy::TinyLfu => Some(8),
            _ => None,
        }
    }
}

/// In a model, several `Core`s (processes) stand on one region; shipped, it lies in the `Core` itself, one hop closer.
#[cfg(not(loom))]
pub(crate) type RegionRef = Region;
#[cfg(loom)]
pub(crate) type RegionRef = std::sync::Arc<Region>;

/// Faults that a model must find, or it proves nothing.
#[cfg(loom)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    None,
    /// A free slot names the next one in the word that hits stamp.
    LinkInTheStamp,
    /// A block is written without a fence before it.
    NoFence,
}

pub(crate) struct Core {
    pub(crate) region: RegionRef,
    pub(crate) geo: Geometry,
    pub(crate) ident: Ident,
    pub(crate) strategy: Strategy,
    pub(crate) me: Me,
    pub(crate) coarse: CoarseClock,
    pub(crate) audits: Audits,
    pub(crate) mends: Mends,
    /// `boottime::identity` when the file was opened.
    clock_identity: u64,
    /// Until then (boot time) growth is not tried again: the disk was full.
    pub(crate) disk_full_until: AtomicU64,
    /// How often no free run of granules was found.
    pub(crate) no_room: AtomicU64,
    /// What is wrong in this process, for a model that must see it.
    #[cfg(loom)]
    pub(crate) mutant: Mutant,
    /// A clock that a test sets, in nanoseconds; 0 = the real one.
    #[cfg(test)]
    pub(crate) test_now: std::sync::Arc<AtomicU64>,
}

impl Core {
    pub(crate) fn new(region: RegionRef, geo: Geometry, ident: Ident, strategy: Strategy) -> Core {
        Core {
            region,
            geo,
            ident,
            strategy,
            me: Me::new(),
            coarse: CoarseClock::default(),
            audits: Audits::default(),
            mends: Mends::default(),
            clock_identity: boottime::identity(),
            disk_full_until: AtomicU64::new(0),
            no_room: AtomicU64::new(0),
            #[cfg(loom)]
            mutant: Mutant::None,
            #[cfg(test)]
            test_now: Default::default(),
        }
    }

    /// The time that deadlines are in.
    pub(crate) fn now(&self) -> u64 {
        #[cfg(test)]
        match self.test_now.load(std::sync::atomic::Ordering::SeqCst) {
            0 => {}
            now => return now,
        }
        let now = clock::boot_now();
        if boottime::known_identity() != self.clock_identity {
            self.region.give_up();
        }
        now
    }

    /// `now`, perhaps a millisecond late, much cheaper where `stamp` is a time stamp.
    #[inline]
    pub(crate) fn now_coarse(&self, stamp: u64) -> u64 {
        #[cfg(test)]
        if self.test_now.load(std::sync::atomic::Ordering::SeqCst) != 0 {
            return self.now();
        }
        if self.ident.tick_mode == 1 {
            self.coarse.read(stamp)
        } else {
            self.coarse.note(self.now())
        }
    }

    /// Entries allowed at most.
    pub(crate) fn max_entries(&self) -> u64 {
        self.geo.capacity
    }
}
