//! The cache's place in the file system: a private directory, checked files in it, and creation that is never half
//! visible.
//!
//! Everything is opened relative to a descriptor of the checked directory, without following links, and checked on the
//! descriptor, so nothing can be exchanged between check and use. What does not pass is refused and left untouched.

use crate::error::{OpenError, Refusal};
use crate::file::system::my_uid;
use crate::hash::siphash13;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest name of a cache, so that suffixes fit into a file name of 255 bytes.
pub const MAX_NAME: usize = 180;

/// What a file is, whatever it is called.
pub(crate) type FileId = (u64, u64);

/// A usable name for anything: kept if it is short and harmless, otherwise shortened, cleaned and made distinct by a
/// hash.
pub fn safe_name(name: &str) -> String {
    if check_name(name).is_ok() {
        return name.to_owned();
    }
    let clean = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let head: String = name.chars().map(clean).take(MAX_NAME - 20).collect();
    format!("{}-{:016x}", head.trim_start_matches('.'), siphash13([0, 0], name.as_bytes()))
        .trim_start_matches('-')
        .to_owned()
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

fn last<T>() -> io::Result<T> {
    Err(io::Error::last_os_error())
}

fn c_name(name: &str) -> CString {
    CString::new(name).expect("checked names hold no NUL")
}

fn openat(dir: RawFd, name: &str, flags: libc::c_int) -> io::Result<OwnedFd> {
    let name = c_name(name);
    let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: `name` is NUL-terminated and outlives the call.
    let fd = unsafe { libc::openat(dir, name.as_ptr(), flags, 0o600 as libc::c_uint) };
    if fd < 0 {
        last()
    } else {
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// Without a second descriptor: closing one would release the locks that this process has on the file.
fn metadata(fd: &OwnedFd) -> io::Result<std::fs::Metadata> {
    // SAFETY: the descriptor is open; ManuallyDrop leaves it so.
    std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(fd.as_raw_fd()) }).metadata()
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
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| OpenError::InvalidName(format!("the directory's name holds a NUL byte: {path:?}")))?;
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: `name` is NUL-terminated and outlives the call.
        let fd = unsafe { libc::open(name.as_ptr(), flags) };
        if fd < 0 {
            let error = io::Error::last_os_error();
            let is_link = path.symlink_metadata().is_ok_and(|m| m.is_symlink());
            return Err(match error.raw_os_error() {
                Some(libc::ELOOP | libc::ENOTDIR | libc::EMLINK) if is_link => {
                    OpenError::refused(path, Refusal::Symlink)
                }
                Some(libc::ENOTDIR) => OpenError::refused(path, Refusal::NotADirectory),
                _ => OpenError::io(path, "open the directory", error),
            });
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        if made {
            // SAFETY: plain system call on our descriptor. The umask may have taken bits away.
            unsafe { libc::fchmod(fd.as_raw_fd(), 0o700) };
        }
        let m = metadata(&fd).map_err(fail("examine"))?;
        if m.uid() != my_uid() {
            return Err(OpenError::refused(path, Refusal::Owner(m.uid())));
        }
        if m.permissions().mode() & 0o077 != 0 {
            return Err(OpenError::refused(path, Refusal::Mode(m.permissions().mode() & 0o7777)));
        }
        Ok(Dir { fd, path: path.into() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Which file has this name, without opening it.
    pub(crate) fn identify(&self, name: &str) -> Option<FileId> {
        let name = c_name(name);
        // SAFETY: all-zero is a valid `stat`.
        let mut st: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: `name` is NUL-terminated; both outlive the call.
        let r = unsafe { libc::fstatat(self.fd.as_raw_fd(), name.as_ptr(), &mut st, libc::AT_SYMLINK_NOFOLLOW) };
        #[allow(clippy::unnecessary_cast)] // types differ between systems
        (r == 0).then_some((st.st_dev as u64, st.st_ino as u64))
    }

    /// Makes an empty file, if it can be made. (It is told by its name alone.)
    pub(crate) fn touch(&self, name: &str) {
        drop(openat(self.fd.as_raw_fd(), name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL));
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
        let fd = match openat(self.fd.as_raw_fd(), name, libc::O_RDWR | libc::O_NONBLOCK) {
            Ok(fd) => fd,
            Err(e) => {
                return match e.raw_os_error() {
                    Some(libc::ENOENT) => Ok(None),
                    Some(libc::ELOOP | libc::EMLINK) => Err(OpenError::refused(&path, Refusal::Symlink)),
                    Some(libc::EISDIR | libc::ENXIO | libc::ENODEV | libc::EOPNOTSUPP) => {
                        Err(OpenError::refused(&path, Refusal::NotAFile))
                    }
                    Some(libc::EACCES | libc::EPERM) => Err(self.why_denied(&path, e)),
                    _ => Err(OpenError::io(&path, "open", e)),
                }
            }
        };
        let m = metadata(&fd).map_err(|e| OpenError::io(&path, "examine", e))?;
        let (mode, id) = (m.permissions().mode() & 0o7777, (m.dev(), m.ino()));
        let why = if !m.is_file() {
            Some(Refusal::NotAFile)
        } else if m.uid() != my_uid() {
            Some(Refusal::Owner(m.uid()))
        } else if mode & 0o7177 != 0 {
            Some(Refusal::Mode(mode))
        } else if m.nlink() > 1 {
            Some(Refusal::HardLinks(m.nlink()))
        } else {
            None
        };
        match why {
            Some(why) => {
                rejected(id, fd);
                Err(OpenError::refused(&path, why))
            }
            None if m.nlink() == 0 => {
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
        // SAFETY: plain system calls on our descriptor; the lock falls with the unlock, or with the process.
        while unsafe { libc::flock(self.fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0
            && since.elapsed() < Duration::from_secs(2)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        let result = f();
        // SAFETY: as above.
        unsafe { libc::flock(self.fd.as_raw_fd(), libc::LOCK_UN) };
        result
    }

    /// Makes a file under a temporary name, has it filled, and only then gives it its name: `old` says which file may
    /// lose it. False if somebody else's file has the name by now.
    pub(crate) fn create(
        &self,
        name: &str,
        old: Option<FileId>,
        fill: impl FnOnce(RawFd) -> Result<(), OpenError>,
    ) -> Result<bool, OpenError> {
        let path = self.path(name);
        self.remove_leftovers(name);
        let temporary = format!(".{name}.{}.{:x}.tmp", std::process::id(), crate::process::clock::boot_now());
        let fd = openat(self.fd.as_raw_fd(), &temporary, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)
            .map_err(|e| OpenError::io(&path, "create", e))?;
        // SAFETY: plain system call on our descriptor. The umask may have taken bits away.
        unsafe { libc::fchmod(fd.as_raw_fd(), 0o600) };
        let filled = fill(fd.as_raw_fd());
        let named = filled.and_then(|()| {
            if self.identify(name) != old {
                return Ok(false);
            }
            self.rename(&temporary, name, old.is_some()).map_err(|e| OpenError::io(&path, "create", e))
        });
        if !matches!(named, Ok(true)) {
            let temporary = c_name(&temporary);
            // SAFETY: NUL-terminated, outlives the call.
            unsafe { libc::unlinkat(self.fd.as_raw_fd(), temporary.as_ptr(), 0) };
        }
        named
    }

    /// False if the name is taken (`replace` not given).
    fn rename(&self, from: &str, to: &str, replace: bool) -> io::Result<bool> {
        let (from, to, dir) = (c_name(from), c_name(to), self.fd.as_raw_fd());
        if !replace {
            // SAFETY: both names are NUL-terminated and outlive the call.
            #[cfg(target_os = "linux")]
            let r = unsafe {
                libc::syscall(libc::SYS_renameat2, dir, from.as_ptr(), dir, to.as_ptr(), libc::RENAME_NOREPLACE)
            };
            // SAFETY: as above.
            #[cfg(target_os = "macos")]
            let r = unsafe { libc::renameatx_np(dir, from.as_ptr(), dir, to.as_ptr(), libc::RENAME_EXCL) };
            #[cfg(not(any(target_os = "linux", target_os = "macos")))]
            let r = {
                // SAFETY: as above.
                unsafe { libc::renameat(dir, from.as_ptr(), dir, to.as_ptr()) }
            };
            if r == 0 {
                return Ok(true);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EEXIST) => return Ok(false),
                // A file system without it: `with_dir_lock` and the check just before must do.
                Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => {}
                _ => return Err(error),
            }
        }
        // SAFETY: both names are NUL-terminated and outlive the call.
        match unsafe { libc::renameat(dir, from.as_ptr(), dir, to.as_ptr()) } {
            0 => Ok(true),
            _ => last(),
        }
    }

    /// Temporary files of creators that were killed a minute ago or more.
    fn remove_leftovers(&self, name: &str) {
        let prefix = format!(".{name}.");
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let file = entry.file_name();
            let ours = file.to_str().is_some_and(|f| f.starts_with(&prefix) && f.ends_with(".tmp"));
            let old = || {
                entry
                    .metadata()
                    .ok()
                    .and_then(|m| m.modified().ok()?.elapsed().ok())
                    .is_some_and(|age| age.as_secs() >= 60)
            };
            if ours && old() {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Bytes free for this user where the directory lies.
    pub(crate) fn free_bytes(&self) -> u64 {
        // SAFETY: all-zero is a valid statvfs.
        let mut st: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: `st` outlives the call.
        let r = unsafe { libc::fstatvfs(self.fd.as_raw_fd(), &mut st) };
        #[allow(clippy::unnecessary_cast)] // types differ between systems
        if r == 0 {
            (st.f_bavail as u64).saturating_mul(st.f_frsize as u64)
        } else {
            0
        }
    }
}
