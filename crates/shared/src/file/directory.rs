//! The cache's place in the file system: a private directory, checked files in it, and creation that is never half
//! visible.
//!
//! Everything is opened relative to a descriptor of the checked directory, without following links, and checked on the
//! descriptor, so nothing can be exchanged between check and use. What does not pass is refused and left untouched.

use crate::error::{OpenError, Refusal};
use crate::file::system::my_uid;
use crate::hash::siphash13;
use crate::listed::Listed;
#[cfg(any(target_os = "linux", target_os = "macos"))]
use rustix::fs::RenameFlags;
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest name of a cache, so that suffixes fit into a file name of 255 bytes.
pub const MAX_NAME: usize = 180;

/// What a file is, whatever it is called.
pub(crate) type FileId = (u64, u64);

/// A usable name for anything: kept if it is short and harmless, otherwise its [`readable_name`], made distinct by a hash.
pub fn safe_name(name: &str) -> String {
    if check_name(name).is_ok() {
        return name.to_owned();
    }
    format!("{}-{:016x}", readable_name(name), siphash13([0, 0], name.as_bytes())).trim_start_matches('-').to_owned()
}

/// What is there to be read of a name in its [`safe_name`]: the name if it is short and harmless, otherwise shortened and
/// cleaned, without the hash.
pub fn readable_name(name: &str) -> String {
    if check_name(name).is_ok() {
        return name.to_owned();
    }
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let head: String = name.chars().map(clean).take(MAX_NAME - 20).collect();
    head.trim_start_matches('.').to_owned()
}

pub(crate) fn check_name(name: &str) -> Result<(), OpenError> {
    let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let good = !name.is_empty() && name.len() <= MAX_NAME && !name.starts_with('.') && name.bytes().all(harmless);
    good.then_some(()).ok_or_else(|| {
        OpenError::InvalidName(format!(
            "a cache's name must be 1 to {MAX_NAME} letters, digits, '-', '_' or '.', not beginning with '.', got {name:?}"
        ))
    })
}

/// What is made in a directory is its owner's alone.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

fn openat(dir: &OwnedFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    fs::openat(dir, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, PRIVATE)
}

/// What is checked of a file or directory.
struct Status {
    id: FileId,
    is_file: bool,
    mode: u32,
    owner: u32,
    links: u64,
}

#[allow(clippy::unnecessary_cast)] // types differ between systems
fn status(fd: &OwnedFd) -> io::Result<Status> {
    let found = fs::fstat(fd)?;
    Ok(Status {
        id: (found.st_dev as u64, found.st_ino as u64),
        is_file: FileType::from_raw_mode(found.st_mode).is_file(),
        mode: found.st_mode as u32 & 0o7777,
        owner: found.st_uid,
        links: found.st_nlink as u64,
    })
}

/// The directory of a cache file, checked.
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// How much of a directory is made if it is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing.
    Left,
    /// The directory, in a folder that must be there: a default place is not for us to invent.
    Made,
    /// All of its path, which somebody has asked for.
    MadeWithParents,
}

impl Dir {
    /// Opens the directory, making it if that is wanted (0700, whatever the umask).
    pub(crate) fn open(path: &Path, missing: Missing) -> Result<Dir, OpenError> {
        let fail = |what| move |e| OpenError::io(path, what, e);
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty() && !p.exists());
        if let Some(parent) = parent.filter(|_| missing == Missing::MadeWithParents) {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(fail("create the parent of"))?;
        }
        // What is there need not be made, which somebody without the right to may find.
        let made = missing != Missing::Left
            && path.symlink_metadata().is_err()
            && match std::fs::DirBuilder::new().mode(0o700).create(path) {
                Ok(()) => true,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
                Err(e) => return Err(OpenError::io(path, "create the directory", e)),
            };
        if path.as_os_str().as_bytes().contains(&0) {
            return Err(OpenError::InvalidName(format!("the directory's name holds a NUL byte: {path:?}")));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::open(path, flags, Mode::empty()).map_err(|error| {
            let is_link = path.symlink_metadata().is_ok_and(|m| m.is_symlink());
            match error {
                Errno::LOOP | Errno::NOTDIR | Errno::MLINK if is_link => OpenError::refused(path, Refusal::Symlink),
                Errno::NOTDIR => OpenError::refused(path, Refusal::NotADirectory),
                _ => OpenError::io(path, "open the directory", error.into()),
            }
        })?;
        if made {
            // (The umask may have taken bits away.)
            let _ = fs::fchmod(&fd, Mode::RWXU);
        }
        let Status { mode, owner, .. } = status(&fd).map_err(fail("examine"))?;
        if owner != my_uid() {
            return Err(OpenError::refused(path, Refusal::Owner(owner)));
        }
        if mode & 0o077 != 0 {
            return Err(OpenError::refused(path, Refusal::Mode(mode)));
        }
        Ok(Dir { fd, path: path.into() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Which file has this name, without opening it.
    pub(crate) fn identify(&self, name: &str) -> Option<FileId> {
        let status = fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        #[allow(clippy::unnecessary_cast)] // types differ between systems
        status.map(|status| (status.st_dev as u64, status.st_ino as u64))
    }

    /// What is to be seen of a name without opening it.
    #[allow(clippy::unnecessary_cast)] // types differ between systems
    pub(crate) fn listed(&self, name: &str) -> Option<Listed> {
        let found = fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(Listed {
            owner: found.st_uid,
            mode: found.st_mode as u32 & 0o7777,
            length: found.st_size as u64,
            allocated: found.st_blocks as u64 * 512,
            written: found.st_mtime as i64,
        })
    }

    /// Makes an empty file, if it can be made. (It is told by its name alone.)
    pub(crate) fn touch(&self, name: &str) {
        drop(openat(&self.fd, name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL));
    }

    /// A file that has no name, for a trial.
    pub(crate) fn nameless(&self) -> io::Result<OwnedFd> {
        let name = format!(".trial.cache.{}.{:x}.tmp", std::process::id(), crate::process::clock::boot_now());
        let fd = openat(&self.fd, &name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        fs::unlinkat(&self.fd, &name, AtFlags::empty())?;
        Ok(fd)
    }

    /// Takes a file's name away.
    pub(crate) fn unlink(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// The same, for somebody who tells why it cannot be. What is gone already is as it should be.
    pub(crate) fn discard(&self, name: &str) -> Result<(), OpenError> {
        match self.unlink(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(OpenError::io(&self.path(name), "remove", error))
            }
            _ => Ok(()),
        }
    }

    /// The names of all that is in here and can be written as text.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.fd)? {
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Opens an existing file and checks it; `None` if there is none. `rejected` gets the descriptor of a file that is
    /// refused, since closing it could release locks that this process holds on the very same file.
    pub(crate) fn open_file(
        &self,
        name: &str,
        rejected: impl Fn(FileId, OwnedFd),
    ) -> Result<Option<(OwnedFd, FileId)>, OpenError> {
        let path = self.path(name);
        // NONBLOCK: a FIFO or device must not make us wait.
        let fd = match openat(&self.fd, name, OFlags::RDWR | OFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(e) => {
                return match e {
                    Errno::NOENT => Ok(None),
                    Errno::LOOP | Errno::MLINK => Err(OpenError::refused(&path, Refusal::Symlink)),
                    Errno::ISDIR | Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP => {
                        Err(OpenError::refused(&path, Refusal::NotAFile))
                    }
                    Errno::ACCESS | Errno::PERM => Err(self.why_denied(&path, e.into())),
                    _ => Err(OpenError::io(&path, "open", e.into())),
                }
            }
        };
        let Status { id, is_file, mode, owner, links } = status(&fd).map_err(|e| OpenError::io(&path, "examine", e))?;
        let why = if !is_file {
            Some(Refusal::NotAFile)
        } else if owner != my_uid() {
            Some(Refusal::Owner(owner))
        } else if mode & 0o7177 != 0 {
            Some(Refusal::Mode(mode))
        } else if links > 1 {
            Some(Refusal::HardLinks(links))
        } else {
            None
        };
        match why {
            Some(why) => {
                rejected(id, fd);
                Err(OpenError::refused(&path, why))
            }
            None if links == 0 => {
                // Replaced or deleted between opening and looking.
                rejected(id, fd);
                Ok(None)
            }
            None => Ok(Some((fd, id))),
        }
    }

    fn why_denied(&self, path: &Path, error: io::Error) -> OpenError {
        match path.symlink_metadata() {
            Ok(m) if m.uid() != my_uid() => OpenError::refused(path, Refusal::Owner(m.uid())),
            _ => OpenError::io(path, "open", error),
        }
    }

    /// Runs `f` while no other process creates or replaces files in here. If somebody is stopped in there, we go ahead:
    /// the renames in `f` are atomic by themselves, and at worst two processes begin with a cache of their own.
    pub(crate) fn with_dir_lock<R>(&self, f: impl FnOnce() -> R) -> R {
        let since = Instant::now();
        // The lock falls with the unlock, or with the process.
        while fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive).is_err()
            && since.elapsed() < Duration::from_secs(2)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        let result = f();
        let _ = fs::flock(&self.fd, FlockOperation::Unlock);
        result
    }

    /// Makes a file under a temporary name, has it filled, and only then gives it its name: `old` says which file may
    /// lose it. False if somebody else's file has the name by now.
    pub(crate) fn create(
        &self,
        name: &str,
        old: Option<FileId>,
        fill: impl FnOnce(BorrowedFd<'_>) -> Result<(), OpenError>,
    ) -> Result<bool, OpenError> {
        let path = self.path(name);
        self.remove_leftovers(name);
        let temporary = format!(".{name}.{}.{:x}.tmp", std::process::id(), crate::process::clock::boot_now());
        let fd = openat(&self.fd, &temporary, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
            .map_err(|e| OpenError::io(&path, "create", e.into()))?;
        // (The umask may have taken bits away.)
        let _ = fs::fchmod(&fd, PRIVATE);
        let filled = fill(fd.as_fd());
        let named = filled.and_then(|()| {
            if self.identify(name) != old {
                return Ok(false);
            }
            self.rename(&temporary, name, old.is_some()).map_err(|e| OpenError::io(&path, "create", e))
        });
        if !matches!(named, Ok(true)) {
            let _ = fs::unlinkat(&self.fd, &temporary, AtFlags::empty());
        }
        named
    }

    /// False if the name is taken (`replace` not given).
    fn rename(&self, from: &str, to: &str, replace: bool) -> io::Result<bool> {
        if !replace {
            #[cfg(any(target_os = "linux", target_os = "macos"))]
            let renamed = fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE);
            #[cfg(not(any(target_os = "linux", target_os = "macos")))]
            let renamed = fs::renameat(&self.fd, from, &self.fd, to);
            match renamed {
                Ok(()) => return Ok(true),
                Err(Errno::EXIST) => return Ok(false),
                // A file system without it: `with_dir_lock` and the check just before must do.
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        fs::renameat(&self.fd, from, &self.fd, to)?;
        Ok(true)
    }

    /// Temporary files of creators that were killed a minute ago or more: of this file, or of any.
    pub(crate) fn leftovers(&self, of: Option<&str>) -> Vec<String> {
        let is_of = |name: &str| match of {
            Some(file) => name.starts_with(&format!(".{file}.")),
            None => name.starts_with('.') && [".cache.", ".coherence."].iter().any(|kind| name.contains(kind)),
        };
        let is_old = |name: &String| {
            let modified = self.path(name).symlink_metadata().and_then(|found| found.modified());
            modified.ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age.as_secs() >= 60)
        };
        let names = self.names().unwrap_or_default().into_iter();
        names.filter(|name| name.ends_with(".tmp") && is_of(name)).filter(is_old).collect()
    }

    fn remove_leftovers(&self, file: &str) {
        for name in self.leftovers(Some(file)) {
            let _ = self.unlink(&name);
        }
    }

    /// Bytes free for this user where the directory lies.
    pub(crate) fn free_bytes(&self) -> u64 {
        fs::fstatvfs(&self.fd).map_or(0, |status| status.f_bavail.saturating_mul(status.f_frsize))
    }
}
