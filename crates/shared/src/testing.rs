//! What `crates/shared/src/tests/mod.rs`, into which this module is compiled, can make go wrong. (Its other handles are
//! `Region::hook`, called before each store, and `Table::test_now`.)

use std::cell::Cell;

/// How a system refuses byte-range locks, with this number of an error.
#[derive(Clone, Copy)]
#[allow(dead_code)] // crates/shared/src/tests/mod.rs wants it
pub(crate) enum Refused {
    /// Those of open file descriptions only.
    OfDescriptions(i32),
    All(i32),
}

/// The hashes' seed of the files that tests create: whether fingerprints of keys, or stamps of tags, are alike is no matter of
/// luck.
pub(crate) const SEED: [u64; 2] = [1, 2];

thread_local! {
    /// Makes this thread's reservations fail as on a full disk.
    pub(crate) static DISK_FULL: Cell<bool> = const { Cell::new(false) };
    /// Makes this thread's mappings fail as where there is no address space left.
    pub(crate) static NO_ADDRESSES: Cell<bool> = const { Cell::new(false) };
    /// The tick mode of files that this thread creates, if given.
    pub(crate) static TICK_MODE: Cell<Option<u64>> = const { Cell::new(None) };
    /// Makes the system refuse this thread's locks.
    pub(crate) static LOCKS: Cell<Option<Refused>> = const { Cell::new(None) };
    /// That a guard finds its lock taken away is what this thread's test is about.
    pub(crate) static OUSTED: Cell<bool> = const { Cell::new(false) };
}

/// The error for a lock, of the process's own or of an open file description.
pub(crate) fn refused(own: bool) -> Option<i32> {
    match LOCKS.get() {
        Some(Refused::All(error)) => Some(error),
        Some(Refused::OfDescriptions(error)) if !own => Some(error),
        _ => None,
    }
}
