//! What can go wrong when a cache is opened, precisely enough for a message that says what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why something found in the file system is not used. It is left exactly as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Symlink,
    NotADirectory,
    NotAFile,
    /// Belongs to this user id.
    Owner(u32),
    /// Others may read or write it; these are its permission bits.
    Mode(u32),
    /// It has so many names.
    HardLinks(u64),
}

#[derive(Debug)]
pub enum OpenError {
    InvalidName(String),
    InvalidSize(String),
    Refused {
        path: PathBuf,
        why: Refusal,
    },
    /// No room for even an empty cache.
    NoSpace {
        path: PathBuf,
        source: io::Error,
    },
    Io {
        path: PathBuf,
        what: &'static str,
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, what: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => OpenError::NoSpace { path: path.into(), source },
            _ => OpenError::Io { path: path.into(), what, source },
        }
    }

    pub(crate) fn refused(path: &Path, why: Refusal) -> Self {
        OpenError::Refused { path: path.into(), why }
    }
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

impl OpenError {
    pub fn kind(&self) -> OpenErrorKind {
        match self {
            OpenError::InvalidName(_) | OpenError::InvalidSize(_) => OpenErrorKind::Argument,
            OpenError::Refused { .. } => OpenErrorKind::Permission,
            OpenError::NoSpace { source, .. } => OpenErrorKind::System(source.raw_os_error().unwrap_or(libc::ENOSPC)),
            OpenError::Io { source, .. } => source.raw_os_error().map_or(OpenErrorKind::Other, OpenErrorKind::System),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InvalidName(why) | OpenError::InvalidSize(why) => f.write_str(why),
            OpenError::Refused { path, why } => {
                write!(f, "refusing to use {}: ", path.display())?;
                match why {
                    Refusal::Symlink => f.write_str("it is a symbolic link; remove it or choose another directory"),
                    Refusal::NotADirectory => f.write_str("it is not a directory; remove it or choose another one"),
                    Refusal::NotAFile => f.write_str("it is not a regular file; remove it or choose another name"),
                    Refusal::Owner(uid) => {
                        write!(f, "it belongs to user {uid}, not to this one; choose a directory of your own")
                    }
                    Refusal::Mode(mode) => {
                        write!(
                            f,
                            "its permissions are {mode:04o}, others could read or change it; chmod go= it or remove it"
                        )
                    }
                    Refusal::HardLinks(n) => write!(f, "it has {n} names (hard links) instead of one; remove it"),
                }
            }
            OpenError::NoSpace { path, source } => {
                write!(
                    f,
                    "no space for {}: {source}; free some, or choose a directory on another file system",
                    path.display()
                )
            }
            OpenError::Io { path, what, source } => write!(f, "cannot {what} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::NoSpace { source, .. } | OpenError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A writer could not get the lock within its bound: another one holds it and lives (stopped, perhaps), or this process
/// found no process slot. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another process held the cache's lock for too long")
    }
}

impl std::error::Error for Busy {}
