//! The shared tier: a cache in one memory-mapped file that all processes of a host use, and that no death of any can
//! break.
//!
//! Reading order: `file::layout` and `file::geometry` (what is in the file, and where), `file::mapping` (the only way to
//! touch it), `table::slots` (the truth and how it is published), `table::reading`, `storing`, `room` and `expiration`
//! (reading, storing, and what goes by itself), `process::lock` and `process::identity` (who may write, and who is who),
//! `file::life` and `process::witness` (who lives), `table::repair` and `audit`, then what is derived or beside it:
//! `table::index`, `table::bitmap`, `policy`, `process::lease`, `table::counters`; `table::changes` (what those in front of
//! the file must let go); `file::directory` and `file::header` (how a file comes to be), `file::mapping::fixed` and
//! `process::held` (a small file and a lock for the remote tier), `handle` and `interface` (what others see of it, and the
//! data that goes in and comes out), `inspection` (what a look from outside sees). Nothing in here knows Python. `unsafe`
//! is found below `file/` alone: the mapping, `sigbus`, words as bytes, and system calls; everything between is checked
//! code over atomic words.
//!
//! **Why a death is harmless.** The slots' words are the truth, each changes by one store, and it points only to bytes
//! that were written before. All else is derived from them, by whoever finds the lock's owner dead. A computation's
//! lease and a counter are one word each.
//!
//! **What a reader may see**: an entry as it was at some moment during the lookup; or a miss, also for an entry that is
//! there, if it is replaced four times meanwhile, or while the index is being rebuilt after a death. Never bytes that
//! no writer put there under that key: word, checksum (bound to place and generation), hash and key are all compared,
//! in the reader's own copy.
//!
//! **Limits.** By stamps, victims are exact up to `EXACT` slots, sampled beyond; in queues, at any size. Expired entries go
//! first up to `EXACT`, beyond that by a sweep of 128 slots per store. 255 processes write at a time, more only read. Uses
//! of one entry by one thread within about a microsecond are one use for the order. A writer that is stopped inside the
//! lock keeps all others from storing (not from reading) until it goes on or dies. Whoever cuts the file short under us
//! costs us the cache, and only where our SIGBUS handler is still in place no more than that. Where fallocate is missing
//! (macOS) the areas of a file are reserved in one piece, up to the furthest in use.
//!
//! The bounds of all waits: a reader retries four times, then misses; a store waits 200 ms for the lock, then is
//! skipped; `clear` and `remove` 2 s; creation of a file 2 s for another creator; a follower of a lease as long as its
//! caller says.

// A model has no use for much of it.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

#[cfg(unix)]
pub(crate) mod error;
#[cfg(unix)]
pub mod file;
#[cfg(unix)]
pub mod hash;
pub(crate) mod interface;
pub(crate) mod listed;
pub(crate) mod load_counter;
#[cfg(unix)]
pub(crate) mod policy;
#[cfg(unix)]
pub mod process;
pub(crate) mod skip;
#[cfg(unix)]
pub(crate) mod table;

#[cfg(all(unix, not(loom)))]
pub(crate) mod handle;
#[cfg(all(unix, not(loom)))]
pub mod inspection;

#[cfg(all(test, not(loom)))]
pub(crate) mod testing;
#[cfg(all(test, unix, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_fences;
#[cfg(all(test, loom))]
mod loom_leases;
#[cfg(all(test, loom))]
mod loom_models;

pub use self::interface::{
    Acquired, Asked, Began, Change, Event, Failures, Freshness, Hindrance, Info, Kind, OpenErrorKind, Options, Present,
    Purpose, Sought, Stored, Terms, Waited, MOST_KEY, MOST_VALUE, NEVER,
};
pub use self::load_counter::LoadCounter;
pub use self::skip::Skip;

#[cfg(not(unix))]
mod unsupported;
#[cfg(not(unix))]
pub use self::unsupported::*;

#[cfg(unix)]
pub use self::exports::*;

#[cfg(unix)]
mod exports {
    pub use crate::error::{Busy, OpenError, Refusal};
    #[cfg(not(loom))]
    pub use crate::file::directory::{readable_name, safe_name, MAX_NAME};
    #[cfg(not(loom))]
    pub use crate::file::header::check;
    #[cfg(not(loom))]
    pub use crate::handle::SharedCache;
    pub use crate::policy::Strategy;
    pub use crate::policy::EXACT;
    pub use crate::process::key_lock::KeyLock;
    pub use crate::process::lease::{Lease, Ticket};
    pub use crate::table::block::ReadBuf;
    #[cfg(debug_assertions)]
    pub use crate::table::fences::mutant;
    pub use crate::table::reading::{Hit, Remembered};
    pub use crate::table::tags::{Tags, MAX_TAGS};
}
