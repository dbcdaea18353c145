//! The entries of the file, and all that is derived from them. [`Table`] is what one process knows about one open file: the
//! mapping, the checked copy of its parameters, and its own identity.
//!
//! The other modules are `impl Table` blocks, one concern each, in the order of a reading: `process::identity`,
//! `process::lock`, `slots`, `head`, `block`, `index`, `bitmap`, `policy`, `reading`, `storing`, `room`, `repair`, `fences`,
//! `tags`, `idle`, `process::lease`, `counters`. Nothing a process decides by is
//! taken from the mapping a second time: `header` and `geo` are copies made and verified at opening.

pub(crate) mod audit;
pub(crate) mod bitmap;
pub(crate) mod block;
pub(crate) mod changes;
pub(crate) mod counters;
pub(crate) mod exchange;
pub(crate) mod expiration;
pub(crate) mod fences;
pub(crate) mod head;
pub(crate) mod idle;
pub(crate) mod index;
pub(crate) mod reading;
pub(crate) mod repair;
pub(crate) mod room;
pub(crate) mod slots;
pub(crate) mod storing;
pub(crate) mod tags;

use crate::file::layout::{Geometry, Header};
use crate::file::mapping::Region;
use crate::policy::Strategy;
use crate::process::clock::{self, CoarseClock};
use crate::process::identity::ProcessIdentity;
use crate::table::audit::Audits;
use crate::table::counters::Tally;
use crate::table::repair::Mends;
use concurrency::boottime;
use std::sync::atomic::{AtomicI32, AtomicU64};
use std::sync::Mutex;

/// In a model, several `Table`s (processes) stand on one region; shipped, it lies in the `Table` itself, one hop closer.
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
    /// An invalidation does not change the key's stamp.
    NoStamp,
    /// An invalidation of tags changes the epoch before the stamps.
    EpochFirst,
}

pub(crate) struct Table {
    pub(crate) region: RegionRef,
    pub(crate) geo: Geometry,
    pub(crate) header: Header,
    pub(crate) strategy: Strategy,
    pub(crate) me: ProcessIdentity,
    pub(crate) coarse: CoarseClock,
    pub(crate) audits: Audits,
    pub(crate) mends: Mends,
    pub(crate) tally: Mutex<Tally>,
    /// `boottime::identity` when the file was opened.
    clock_identity: u64,
    /// Until then (boot time) growth is not tried again: the disk was full.
    pub(crate) disk_full_until: AtomicU64,
    /// The system's error for which a store could only be made at the cost of others; 0 = it was not so.
    pub(crate) cramped: AtomicI32,
    /// How often no free run of granules was found.
    pub(crate) no_room: AtomicU64,
    /// The number of changes after this process's last store.
    pub(crate) stored_at: AtomicU64,
    /// What is wrong in this process, for a model that must see it.
    #[cfg(loom)]
    pub(crate) mutant: Mutant,
    /// A clock that a test sets, in nanoseconds; 0 = the real one.
    #[cfg(test)]
    pub(crate) test_now: std::sync::Arc<AtomicU64>,
}

impl Table {
    pub(crate) fn new(region: RegionRef, geo: Geometry, header: Header, strategy: Strategy) -> Table {
        Table {
            region,
            geo,
            header,
            strategy,
            me: ProcessIdentity::new(),
            coarse: CoarseClock::default(),
            audits: Audits::default(),
            mends: Mends::default(),
            tally: Mutex::default(),
            clock_identity: boottime::identity(),
            disk_full_until: AtomicU64::new(0),
            cramped: AtomicI32::new(0),
            no_room: AtomicU64::new(0),
            stored_at: AtomicU64::new(0),
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
        if self.header.tick_mode == 1 {
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
