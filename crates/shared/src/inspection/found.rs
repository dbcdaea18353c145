//! What a look at caches from outside finds, on systems with and without them.

use crate::listed::{Listed, Unusable};
use crate::{Kind, OpenError, SharedCache, Strategy};

/// A file of a directory.
#[derive(Debug)]
pub struct Found {
    pub file: String,
    pub listed: Listed,
    /// The pids of the processes that have it open, as they call themselves; 0 of one that does not say. Those that have no
    /// line are not seen.
    pub processes: Vec<u64>,
    pub state: State,
}

/// What a file is.
#[derive(Debug)]
pub enum State {
    Sound(Parameters),
    Unusable(Unusable),
    /// It is not touched.
    Refused(OpenError),
}

/// What a cache was made with, as far as its file knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    pub strategy: Option<Strategy>,
    /// 0 = bounded by bytes only.
    pub max_size: u64,
    pub max_bytes: u64,
    /// Nanoseconds; 0 = none.
    pub idle: u64,
    pub fingerprint: u64,
    /// Nanoseconds since it was made.
    pub age: u64,
}

/// How an attempt to attach to a file ended.
pub enum Attached {
    Cache(SharedCache),
    Unusable(Unusable),
    /// There is no such file.
    Absent,
}

/// What has become of a file that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Removed,
    /// A process has it open.
    InUse,
    /// There is none of that name any more.
    Absent,
    /// It does not say that it is a cache.
    NoCache,
}

/// An entry as it was found.
pub struct Entry<'a> {
    /// Of the key, under the file's own seed.
    pub hash: u64,
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub kind: Kind,
    pub is_fresh: bool,
    pub has_tags: bool,
    /// Nanoseconds for which it is fresh, and for which it is there; `None` without a limit.
    pub fresh_for: Option<u64>,
    pub there_for: Option<u64>,
}
