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

impl Hindrance {
    pub(crate) fn locks(error: io::Error) -> Hindrance {
        Hindrance::Locks(error.raw_os_error().unwrap_or(0))
    }

    /// As a number that is not 0.
    pub(crate) fn number(self) -> u64 {
        let (kind, error) = match self {
            Hindrance::Lines => (1, 0),
            Hindrance::Descriptor => (2, 0),
            Hindrance::NoSpace(error) => (3, error),
            Hindrance::Locks(error) => (4, error),
        };
        kind << 32 | u64::from(error as u32)
    }

    pub(crate) fn from_number(number: u64) -> Option<Hindrance> {
        let error = number as u32 as i32;
        match number >> 32 {
            1 => Some(Hindrance::Lines),
            2 => Some(Hindrance::Descriptor),
            3 => Some(Hindrance::NoSpace(error)),
            4 => Some(Hindrance::Locks(error)),
            _ => None,
        }
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hindrance::Lines => f.write_str("255 other processes have the cache's file open, the most that can write to it"),
            Hindrance::Descriptor => f.write_str("the descriptor of the cache's file was closed by somebody else"),
            Hindrance::NoSpace(error) => {
                write!(f, "no space in the cache's file for this process: {}", io::Error::from_raw_os_error(*error))
            }
            Hindrance::Locks(error) => write!(
                f,
                "the file system or the system refuses byte-range locks (fcntl: {}); set WARP_CACHE_DIR to a directory on \
                 another file system",
                io::Error::from_raw_os_error(*error)
            ),
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
