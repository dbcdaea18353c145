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
#[path = "load_counter.rs"]
mod load_counter;
#[path = "skip.rs"]
mod skip;
pub use self::load_counter::LoadCounter;
pub use self::skip::Skip;

pub mod hash {
    pub fn siphash13(_: [u64; 2], _: &[u8]) -> u64 {
        0
    }
}

pub const NEVER: u64 = u64::MAX;

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
pub enum OpenErrorKind {
    Argument,
    Permission,
    System(i32),
    Other,
}

#[derive(Clone, Copy, Debug)]
pub enum Hindrance {}

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
pub enum Strategy {
    Lru,
}

impl Strategy {
    pub fn from_number(_: u64) -> Option<Strategy> {
        None
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    pub dir: PathBuf,
    pub name: String,
    pub strategy: Strategy,
    pub max_size: u64,
    pub max_bytes: Option<u64>,
    pub idle: Option<Duration>,
    pub fingerprint: u64,
}

#[derive(Clone, Copy, Debug)]
pub enum Event {
    Hit,
    Miss,
}

#[derive(Clone, Copy, Debug)]
pub struct Hit {
    pub slot: u64,
    pub word: u64,
    pub generation: u64,
    pub fresh: u64,
    pub end: u64,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    pub key: &'a [u8],
    pub hash: u64,
    pub absent_since: Option<u64>,
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
pub enum Kind {
    #[default]
    Value,
    Exception,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Fresh,
    Stale,
    Gone,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags;

impl Tags {
    pub const NONE: Tags = Tags;
}

pub const MAX_TAGS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub fresh: u64,
    pub end: u64,
    pub kind: Kind,
    pub tags: Tags,
}

impl From<u64> for Terms {
    fn from(end: u64) -> Terms {
        Terms { fresh: end, end, kind: Kind::Value, tags: Tags }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    pub count: u8,
    pub not_before: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Began {
    pub generation: u64,
}

impl Began {
    pub fn of(generation: u64, _: u64) -> Began {
        Began { generation }
    }

    pub fn stamp(self) -> u64 {
        0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Miss,
    Refresh,
    Anew,
}

impl Hit {
    pub fn version(&self) -> u32 {
        0
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Stored {
    Done(Hit),
    TooLarge,
    NoSpace,
    Damaged,
    Outdated,
    Busy,
}

#[derive(Clone, Debug)]
pub struct Lease(Infallible);

#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub mine: bool,
}

#[derive(Debug)]
pub enum Acquired {
    Leader(Lease),
    Follower(Ticket),
    Present,
    Alone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Ended,
    EndedPrivately,
    Lost,
    Overdue,
    NotYet,
}

#[derive(Clone, Copy, Debug)]
pub struct Info {
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
    pub expirations: u64,
    pub skips: [u64; Skip::COUNT],
    pub loads: [u64; LoadCounter::COUNT],
    pub repairs: u64,
    pub len: u64,
    pub capacity: u64,
    pub max_bytes: u64,
    pub data_bytes_used: u64,
    pub data_bytes_reserved: u64,
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
    lock_key(&[u8], Option<Duration>) -> Result<Option<KeyLock>, Busy>;
    prolong_key(&KeyLock, Option<Duration>) -> Result<Option<KeyLock>, Busy>;
    unlock_key(&KeyLock) -> bool;
    is_key_locked(&[u8]) -> bool;
}

#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    pub hit: Hit,
    pub value: &'a [u8],
    pub terms: Terms,
}

#[derive(Debug)]
pub enum Change<'a> {
    Nothing,
    Remove,
    Store(Option<std::borrow::Cow<'a, [u8]>>, Terms),
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
        _: &[u8],
        _: Duration,
        _: &mut dyn FnMut(Option<Present<'_>>) -> Change<'a>,
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
