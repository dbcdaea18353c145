//! The shared tier on a system that it is not written for: it cannot be opened, so nothing else in here is ever run.
//!
//! The same names as in [`mod`](super), for whoever stands in front of them.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What maps files elsewhere: here words in memory.
pub mod file {
    #[allow(dead_code)] // The rest of it is for files.
    #[path = "../../file/atomic.rs"]
    pub(crate) mod atomic;
    pub mod fixed;
    #[path = "../../file/mapping/fixed_model.rs"]
    mod fixed_model;
}
pub mod inspection;
/// What processes share elsewhere: here there is one.
pub mod process {
    #[path = "../../process/futex.rs"]
    pub mod futex;
    pub mod held;
}
#[allow(dead_code)] // The rest of it is for files.
#[path = "policy/strategy.rs"]
mod strategy;
pub use self::strategy::Strategy;
use crate::interface::*;
use crate::{LoadCounter, Skip};

pub mod hash {
    pub fn siphash13(_: [u64; 2], _: &[u8]) -> u64 {
        0
    }
}

pub fn safe_name(name: &str) -> String {
    name.to_owned()
}

pub fn readable_name(name: &str) -> String {
    name.to_owned()
}

#[derive(Debug)]
pub struct OpenError;

impl OpenError {
    pub fn kind(&self) -> OpenErrorKind {
        OpenErrorKind::Other
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("backend=\"shared\" needs a Unix system; use backend=\"memory\" (one cache per process)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OpenError.fmt(f)
    }
}

#[cfg(debug_assertions)]
pub mod mutant {
    pub fn switch_off() {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    pub slot: u64,
    pub word: u64,
    pub generation: u64,
    pub fresh: u64,
    pub end: u64,
    pub kind: Kind,
}

#[derive(Debug)]
pub struct Remembered(Hit);

impl From<Hit> for Remembered {
    fn from(hit: Hit) -> Remembered {
        Remembered(hit)
    }
}

impl std::ops::Deref for Remembered {
    type Target = Hit;

    fn deref(&self) -> &Hit {
        &self.0
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags;

impl Tags {
    pub const NONE: Tags = Tags;
}

pub const MAX_TAGS: usize = 16;

impl Hit {
    pub fn version(&self) -> u32 {
        0
    }
}

#[derive(Clone, Debug)]
pub struct Lease(Infallible);

#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub mine: bool,
}

#[derive(Default)]
pub struct ReadBuf;

impl ReadBuf {
    pub fn value(&self) -> &[u8] {
        &[]
    }
    pub fn capacity(&self) -> usize {
        0
    }
}

/// There is none.
pub struct SharedCache(Infallible);

macro_rules! never {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        impl SharedCache {
            $(pub fn $name(&self, $(_: $argument),*) $(-> $result)? {
                match self.0 {}
            })*
        }
    };
}

never! {
    path() -> &Path;
    poisoned() -> bool;
    is_astray() -> bool;
    may_be_astray() -> bool;
    forsake();
    hindrance() -> Option<Hindrance>;
    generation() -> u64;
    hash(&[u8]) -> u64;
    now() -> u64;
    deadline(Option<Duration>) -> u64;
    get(&[u8], &mut ReadBuf) -> Option<Hit>;
    get_hashed(u64, &[u8], &mut ReadBuf) -> Option<Hit>;
    insert_hashed(u64, &[u8], &[u8], impl Into<Terms>, Began) -> Stored;
    still_current(&Hit) -> bool;
    hit_again(&Remembered, &mut u64) -> bool;
    count(u64, Event);
    count_alone(u64, Event);
    peek(&[u8], &mut ReadBuf) -> Option<Hit>;
    look(&[u8]) -> (Freshness, Option<Hit>);
    contains(&[u8]) -> bool;
    ttl(&[u8]) -> Option<i64>;
    freshness(&Hit) -> Freshness;
    hit_while_there(&Remembered, &mut u64) -> Freshness;
    begin(u64) -> Began;
    is_current(u64, Began, &Tags) -> bool;
    tags(&[u64]) -> Tags;
    put(&[u8], &[u8], impl Into<Terms>) -> Result<Stored, Busy>;
    set(&[u8], &[u8], impl Into<Terms>) -> Stored;
    insert(&[u8], &[u8], impl Into<Terms>, Began) -> Stored;
    acquire(&[u8], Duration, bool) -> Acquired;
    acquire_sought(Purpose, &Sought<'_>, &Tags, Duration, bool) -> Acquired;
    is_refresh_due(&Hit) -> bool;
    failures(&Hit) -> Failures;
    refresh_failed(Lease);
    complete_without(Lease);
    drop_stale(u64, &[u8], Began, &Tags);
    invalidate(&[u8]) -> Result<bool, Busy>;
    invalidate_tags(&[u64]) -> Result<(), Busy>;
    wait(&Ticket, Duration) -> Waited;
    complete(Lease, &[u8], &[u8], impl Into<Terms>) -> Stored;
    abandon(Lease);
    abandon_privately(Lease);
    leave(Lease);
    clear();
    info() -> Info;
    count_skip(Skip);
    count_rare(LoadCounter);
    count_load(u64, bool, bool);
    why(Stored) -> Option<(Skip, i32)>;
    take_cramped() -> Option<(i32, bool)>;
    changes() -> u64;
    version(u64) -> u32;
    wake_at(u64);
    wakes() -> bool;
    len() -> u64;
    len_is_plain() -> bool;
    note_apart();
    lock_key(&[u8], Option<Duration>) -> Result<Asked, Busy>;
    prolong_key(&KeyLock, Option<Duration>) -> Result<Option<KeyLock>, Busy>;
    unlock_key(&KeyLock) -> bool;
    is_key_locked(&[u8]) -> bool;
    would_wait() -> bool;
}

#[derive(Clone, Debug)]
pub struct KeyLock(Infallible);

pub fn check(_: &Options) -> Result<(), OpenError> {
    Err(OpenError)
}

impl SharedCache {
    pub fn open(_: &Options) -> Result<SharedCache, OpenError> {
        Err(OpenError)
    }

    pub fn change<'a>(
        &self,
        _: &Sought<'_>,
        _: &mut ReadBuf,
        _: Duration,
        _: &mut dyn FnMut(Option<Present<'_>>, u64) -> Change<'a>,
    ) -> Result<Option<Stored>, Busy> {
        match self.0 {}
    }

    pub fn pop(&self, _: impl FnMut(&[u8], &[u8], &Hit) -> bool) -> Result<bool, Busy> {
        match self.0 {}
    }

    pub fn for_each_by_use(&self, _: impl FnMut(&[u8], &[u8], &Hit)) {
        match self.0 {}
    }

    pub fn fence_all(&self) -> Result<(), Busy> {
        match self.0 {}
    }

    pub fn purge(&self) -> Result<u64, Busy> {
        match self.0 {}
    }

    pub fn changes_since(&self, _: u64, _: u64, _: impl FnMut(u64)) -> bool {
        match self.0 {}
    }

    pub fn open_in_first(_: &Options, _: &[PathBuf], _: bool) -> Result<SharedCache, OpenError> {
        Err(OpenError)
    }
}
