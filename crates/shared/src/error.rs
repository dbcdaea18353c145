//! What can go wrong when a cache is opened, precisely enough for a message that says what to do.

use crate::file::system::my_uid;
pub(crate) use crate::interface::{Hindrance, OpenErrorKind};
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
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
        found: Found,
    },
    /// No room for even an empty cache.
    NoSpace {
        path: PathBuf,
        source: io::Error,
        found: Found,
    },
    Io {
        path: PathBuf,
        what: &'static str,
        source: io::Error,
        found: Found,
    },
    /// None of the default places can be used; why, one by one.
    NoPlace(Vec<OpenError>),
}

/// Whose a path is, or, where there is nothing yet, the folder nearest to it.
#[derive(Clone, Debug)]
pub struct Found(Option<(PathBuf, u32, u32)>);

impl Found {
    fn at(path: &Path) -> Found {
        let looked = path.ancestors().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p });
        let mut all = looked.filter_map(|p| p.symlink_metadata().ok().map(|m| (p.to_owned(), m)));
        Found(all.next().map(|(p, m)| (p, m.uid(), m.mode() & 0o7777)))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((path, owner, mode)) => write!(f, "{} belongs to user {owner}, mode {mode:04o}", path.display()),
            None => f.write_str("its owner and mode cannot be read"),
        }
    }
}

/// What helps whatever is wrong with a place.
struct Remedy;

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let me = my_uid();
        write!(f, "set WARP_CACHE_DIR to a directory on a local file system that is user {me}'s alone")
    }
}

impl OpenError {
    pub(crate) fn io(path: &Path, what: &'static str, source: io::Error) -> Self {
        let found = Found::at(path);
        match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => OpenError::NoSpace { path: path.into(), source, found },
            _ => OpenError::Io { path: path.into(), what, source, found },
        }
    }

    pub(crate) fn refused(path: &Path, why: Refusal) -> Self {
        OpenError::Refused { path: path.into(), why, found: Found::at(path) }
    }

    /// Wrong wherever the file would lie: an argument, or a limit of this process. Another place is no help then, and
    /// would only part this process from the others.
    pub(crate) fn is_everywhere(&self) -> bool {
        match self {
            OpenError::InvalidName(_) | OpenError::InvalidSize(_) => true,
            OpenError::NoSpace { source, .. } | OpenError::Io { source, .. } => limit(source).is_some(),
            OpenError::Refused { .. } | OpenError::NoPlace(_) => false,
        }
    }

    /// No byte-range locks can be had there, or no room for much.
    pub(crate) fn is_for_want(&self) -> bool {
        matches!(self, OpenError::NoSpace { .. }) || matches!(self, OpenError::Io { what, .. } if *what == LOCK)
    }
}

/// What is done to a file that may have no locks.
pub(crate) const LOCK: &str = "lock a byte of";

/// The limit of the process that an error comes from.
fn limit(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error()? {
        libc::EMFILE => Some("the process has no descriptor left (ulimit -n)"),
        libc::ENFILE => Some("the system has no descriptor left"),
        libc::ENOMEM => Some("there is no address space left (ulimit -v)"),
        libc::EAGAIN => Some("the process may lock no more memory (ulimit -l)"),
        libc::EFBIG => Some("the process may not write files of that size (ulimit -f)"),
        _ => None,
    }
}

impl OpenError {
    pub fn kind(&self) -> OpenErrorKind {
        match self {
            OpenError::InvalidName(_) | OpenError::InvalidSize(_) => OpenErrorKind::Argument,
            OpenError::Refused { .. } => OpenErrorKind::Permission,
            OpenError::NoSpace { source, .. } => OpenErrorKind::System(source.raw_os_error().unwrap_or(libc::ENOSPC)),
            OpenError::Io { source, .. } => source.raw_os_error().map_or(OpenErrorKind::Other, OpenErrorKind::System),
            OpenError::NoPlace(reasons) => reasons.first().map_or(OpenErrorKind::Other, OpenError::kind),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InvalidName(why) | OpenError::InvalidSize(why) => f.write_str(why),
            OpenError::NoPlace(reasons) => {
                f.write_str("none of the default places can be used for shared caches")?;
                reasons.iter().try_for_each(|reason| write!(f, "; {}", Reason(reason)))?;
                write!(f, "; {Remedy}")
            }
            _ => {
                write!(f, "{}", Reason(self))?;
                match self {
                    OpenError::NoSpace { source, .. } | OpenError::Io { source, .. } if limit(source).is_some() => {
                        f.write_str("; raise the limit")
                    }
                    OpenError::NoSpace { .. } => write!(f, "; free some, or {Remedy}"),
                    // What is to be done there is said already.
                    OpenError::Refused { .. } => write!(f, ", or {Remedy}"),
                    _ => write!(f, "; {Remedy}"),
                }
            }
        }
    }
}

/// An error without the remedy.
struct Reason<'a>(&'a OpenError);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            OpenError::InvalidName(_) | OpenError::InvalidSize(_) | OpenError::NoPlace(_) => write!(f, "{}", self.0),
            OpenError::Refused { path, why, found } => {
                write!(f, "refusing to use {}: ", path.display())?;
                match why {
                    Refusal::Symlink => f.write_str("it is a symbolic link")?,
                    Refusal::NotADirectory => f.write_str("it is not a directory")?,
                    Refusal::NotAFile => f.write_str("it is not a regular file")?,
                    Refusal::Owner(_) => {
                        write!(f, "it is another user's, and this process is user {}'s", my_uid())?;
                    }
                    Refusal::Mode(mode) => {
                        write!(f, "its permissions are {mode:04o}, others could read or change it")?;
                    }
                    Refusal::HardLinks(n) => write!(f, "it has {n} names (hard links) instead of one")?,
                }
                write!(f, " ({found}); ")?;
                f.write_str(match why {
                    Refusal::Mode(_) => "chmod go= it, or remove it",
                    _ => "remove it",
                })
            }
            OpenError::NoSpace { path, source, found } => match limit(source) {
                Some(limit) => write!(f, "no space for {}: {source}: {limit}", path.display()),
                None => write!(f, "no space for {}: {source} ({found})", path.display()),
            },
            OpenError::Io { path, what, source, found } => match limit(source) {
                Some(limit) => write!(f, "cannot {what} {}: {source}: {limit}", path.display()),
                None => write!(f, "cannot {what} {}: {source} ({found})", path.display()),
            },
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

impl Hindrance {
    #[cfg(target_os = "linux")]
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
