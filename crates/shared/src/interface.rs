//! The data that goes into the shared tier and comes out of it, declared once for systems with and without the tier. (In the
//! rooms each is known where it belongs: `table::head::Terms`.)

use crate::{Hit, KeyLock, Lease, LoadCounter, Skip, Strategy, Tags, Ticket};
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of a key at most, whatever is configured: what an entry's head has room for.
pub const MOST_KEY: usize = (1 << 26) - 1;
/// The same of a value.
pub const MOST_VALUE: usize = u32::MAX as usize;

/// What to open.
#[derive(Clone, Debug)]
pub struct Options {
    pub dir: PathBuf,
    /// See `safe_name`.
    pub name: String,
    pub strategy: Strategy,
    /// Entries at most; 0 = as many as `max_bytes` holds.
    pub max_size: u64,
    /// Bytes of the file at most. `None`: what the file was made with, so who makes it decides for all; for a new one,
    /// see `usual_size`.
    pub max_bytes: Option<u64>,
    /// An entry that has not been used for so long is gone.
    pub idle: Option<Duration>,
    /// Everything else that two users of one file must agree on, hashed.
    pub fingerprint: u64,
}

/// What kind of exception an error is to be for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenErrorKind {
    /// An argument is wrong.
    Argument,
    Permission,
    /// The system said no, with this number.
    System(i32),
    Other,
}

/// Why a process cannot write to a cache that it has open: it has no identity there. What it computes is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// As many living processes as there are lines for have the file open.
    Lines,
    /// Somebody has closed the file's descriptor in this process. The file is being opened anew.
    Descriptor,
    /// There is no room for the process's line in the file; the system's number of the error.
    NoSpace(i32),
    /// The system refuses the byte-range locks by which others know that a process lives; its number of the error.
    Locks(i32),
}

/// No deadline.
pub const NEVER: u64 = u64::MAX;

/// What the bytes of an entry stand for. The file makes nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Value,
    /// A stored exception.
    Exception,
}

/// How an entry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Until then it is fresh (nanoseconds of `clock::boot_now`; `NEVER` = for ever). What is later than `end` is `end`.
    pub fresh: u64,
    /// From then on it is gone.
    pub end: u64,
    pub kind: Kind,
    /// As they were when the computation began.
    pub tags: Tags,
}

impl From<u64> for Terms {
    /// Fresh until it ends.
    fn from(end: u64) -> Terms {
        Terms { fresh: end, end, kind: Kind::Value, tags: Tags::NONE }
    }
}

/// How an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Fresh,
    /// Not fresh any more, but there.
    Stale,
    /// Ended, idle for too long, void by a tag, or another one by now.
    Gone,
}

/// What an entry says about refreshes that have failed: how many, and before which moment none is to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    pub count: u8,
    /// Nanoseconds of `clock::boot_now`.
    pub not_before: u64,
}

/// A key that is looked for in a file.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    pub key: &'a [u8],
    /// Its hash in that file.
    pub hash: u64,
    /// How many changes there had been (`SharedCache::changes`) when a lookup began that found nothing; `None` = none has.
    pub absent_since: Option<u64>,
}

/// What is noted as a computation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Began {
    pub generation: u64,
    pub(crate) stamp: u64,
}

impl Began {
    /// What was noted before, by its two words.
    pub fn of(generation: u64, stamp: u64) -> Began {
        Began { generation, stamp }
    }

    /// How the fence of the key stood.
    pub fn stamp(self) -> u64 {
        self.stamp
    }
}

/// What became of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is in, as this.
    Done(Hit),
    /// Larger than the whole cache.
    TooLarge,
    /// No disk for even one entry.
    NoSpace,
    /// Damage was met, and repaired.
    Damaged,
    /// Between the computation's start and its end the cache was cleared, the key or one of its tags was invalidated, or the
    /// key was stored by somebody else.
    Outdated,
    /// Another process kept the lock for too long.
    Busy,
}

impl Stored {
    /// Whether the value is one that the cache cannot have.
    #[cfg(unix)]
    pub(crate) fn has_no_room(&self) -> bool {
        matches!(self, Stored::TooLarge | Stored::NoSpace)
    }
}

/// An entry that is there, under the lock.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    pub hit: Hit,
    pub value: &'a [u8],
    /// What it is kept under: until when, and with which tags.
    pub terms: Terms,
}

/// What is to become of a key's entry.
#[derive(Debug)]
pub enum Change<'a> {
    /// It stays as it is.
    Nothing,
    Remove,
    /// `None`: the value that is there, which is no use of it.
    Store(Option<Cow<'a, [u8]>>, Terms),
    /// In the place of an entry that was looked at before, which was the use.
    Exchange(Cow<'a, [u8]>, Terms),
}

/// What a computation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// There is no fresh entry.
    Miss,
    /// There is a stale one, which is to be renewed unless that has failed a moment ago.
    Refresh,
    /// Whatever is there.
    Anew,
}

/// What became of asking for a lease.
#[derive(Debug)]
pub enum Acquired {
    /// Compute, then `complete` or `abandon`.
    Leader(Lease),
    /// Somebody computes: `wait`, look again, ask again.
    Follower(Ticket),
    /// A fresh value came while we asked: look again. (Of a refresh: or there is nothing to renew, or not yet.)
    Present,
    /// Compute without a lease, and `insert`.
    Alone,
}

/// What became of asking for the lock of a key.
#[derive(Debug)]
pub enum Asked {
    /// It is the caller's.
    Taken(KeyLock),
    /// Somebody has it, or had it a moment ago: ask again.
    Held,
    /// Nobody has it, and its home has no room for one more lock.
    Full,
}

/// Each end of a wait means: look for the value, then ask for the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The computation has ended. A value that is not there now will not come of it.
    Ended,
    /// The same, and its end was its leader's alone, or nobody knows.
    EndedPrivately,
    /// The owner is dead or has left, the key was fenced, or the cache cleared: nothing comes of it.
    Lost,
    /// It has had its time, and may be taken over or is.
    Overdue,
    /// `slice` has passed.
    NotYet,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Event {
    Hit = 0,
    Miss = 1,
}

/// How things stand, summed over all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    pub hits: u64,
    pub misses: u64,
    /// By reason: see [`Skip`].
    pub skips: [u64; Skip::COUNT],
    /// Of computations: see [`LoadCounter`].
    pub loads: [u64; LoadCounter::COUNT],
    pub len: u64,
    pub max_size: u64,
    /// Entries that there is room for at all: less than `max_size` if `max_bytes` does not allow more.
    pub capacity: u64,
    pub max_bytes: u64,
    pub evictions: u64,
    pub expirations: u64,
    /// How often everything was rebuilt: after the death of a writer, or because of damage.
    pub repairs: u64,
    pub data_bytes_used: u64,
    pub data_bytes_reserved: u64,
}
