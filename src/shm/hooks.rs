//! What `tests/rust/shm_core.rs`, into which this module is compiled, can make go wrong. (Its other handles are
//! `Region::hook`, called before each store, and `Core::test_now`.)

use std::cell::Cell;

thread_local! {
    /// Makes this thread's reservations fail as on a full disk.
    pub(crate) static DISK_FULL: Cell<bool> = const { Cell::new(false) };
    /// The tick mode of files that this thread creates, if given.
    pub(crate) static TICK_MODE: Cell<Option<u64>> = const { Cell::new(None) };
}
