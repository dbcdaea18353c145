//! What is seen of a file without opening the cache in it.

use crate::OpenError;

/// What `ls -l` would say of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub owner: u32,
    pub mode: u32,
    pub length: u64,
    /// Bytes that the file system has given it.
    pub allocated: u64,
    /// Seconds since 1970: since then no process has begun to write to it.
    pub written: i64,
}

/// A file that nobody needs, and what became of it.
#[derive(Debug)]
pub struct Unneeded {
    pub name: String,
    /// Bytes that the file system has given it.
    pub bytes: u64,
    /// Why it is still there, if it was to be removed.
    pub kept: Option<OpenError>,
}

/// Why a file is of no use to anybody of this version and this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Of this version of the format.
    Version(u64),
    EarlierBoot,
    Damaged,
    /// Nothing says that it ever was a cache.
    NoCache,
}
