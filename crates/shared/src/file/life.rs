//! The locks by which the kernel knows that a process lives, and tells others.
//!
//! A living process holds two bytes of the cache file, far beyond its data: that of its *line* in the process table, so
//! that nobody else takes it, and that of its *identity*, which is asked for when somebody wants to know whether an
//! owner still lives. No two processes ever lock one identity's byte. So nothing in the file decides who lives, and no
//! damage to it can make a dead process live or a living one dead.
//!
//! **What holds them is a mapping** (Linux). The file is opened anew, the bytes are locked for that open file
//! description (`F_OFD_SETLK`), one page of it is mapped without any access, kept from children
//! (`MADV_DONTFORK`), and the descriptor is closed. The mapping keeps the description, and with it the locks, until the
//! process ends or becomes another program: `exec` gives the mapping up, and `fork` does not hand it on. Nothing is left
//! that somebody could close or inherit. A stopped process holds them still; one that has ended and was not waited for
//! does not.
//!
//! *Fork in between.* A child that was forked while the descriptor is open would hold the description as well, and its
//! parent would seem to live as long as the child. So all of it happens within `fork::exclusive`, for which forks wait.
//! The child of a `vfork`, which no handler sees, has the descriptor until its exec closes it.
//!
//! *File systems that map another file* (overlayfs maps the one underneath) let go of the description when the descriptor
//! is closed. So the identity's byte is asked for afterwards; if it is free, the other way is taken.
//!
//! **The other way**, where the first cannot be had: the locks are the process's own (`F_SETLK`, on the descriptor that
//! the cache has anyway). They fall with `exec`, too, and are not inherited; but they also fall when the process closes
//! *any* descriptor of the file, which somebody who reads the file causes. So there is a second witness where pids can be
//! compared (`witness`), and the process's line says that it counts.
//!
//! Where neither can be had, a process has no identity: it reads, counts, computes, and stores nothing.

use crate::file::layout::PROCS;
use crate::process::identity::Identity;
use crate::table::Table;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use std::os::fd::{AsRawFd, BorrowedFd};
#[cfg(target_os = "linux")]
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Where the bytes of lines lie: beyond any file.
const LINES_AT: u64 = 1 << 40;
/// Where those of identities lie.
const IDENTITIES_AT: u64 = 1 << 41;

pub(crate) fn line_byte(slot: u64) -> u64 {
    LINES_AT + slot
}
pub(crate) fn identity_byte(identity: Identity) -> u64 {
    IDENTITIES_AT + identity
}

// These are of different types on different systems.
#[allow(clippy::unnecessary_cast)]
const WRITE: libc::c_int = libc::F_WRLCK as libc::c_int;
#[cfg(target_os = "linux")]
#[allow(clippy::unnecessary_cast)]
const READ: libc::c_int = libc::F_RDLCK as libc::c_int;
#[allow(clippy::unnecessary_cast)]
const UNLOCK: libc::c_int = libc::F_UNLCK as libc::c_int;

fn byte(kind: libc::c_int, at: u64) -> libc::flock {
    // SAFETY: all-zero is a valid `flock`, and what the kernel wants of a lock of an open file description.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = at as libc::off_t;
    lock.l_len = 1;
    lock
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Whose locks are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The open file description's.
    #[cfg(target_os = "linux")]
    Description,
    /// The process's.
    Process,
}

/// Locks on a descriptor of the file, while they are being taken.
pub(crate) struct Locks<'a> {
    pub(crate) fd: BorrowedFd<'a>,
    pub(crate) owner: Owner,
}

impl Locks<'_> {
    fn set(&self, kind: libc::c_int, at: u64) -> Result<bool, i32> {
        #[cfg(test)]
        if let Some(error) = crate::testing::refused(self.owner == Owner::Process) {
            return Err(error);
        }
        let command = match self.owner {
            #[cfg(target_os = "linux")]
            Owner::Description => libc::F_OFD_SETLK,
            Owner::Process => libc::F_SETLK,
        };
        let lock = byte(kind, at);
        loop {
            // SAFETY: the command reads a valid `flock` that outlives the call.
            if unsafe { libc::fcntl(self.fd.as_raw_fd(), command, &lock) } == 0 {
                return Ok(true);
            }
            match errno() {
                libc::EINTR => continue,
                libc::EAGAIN | libc::EACCES => return Ok(false),
                error => return Err(error),
            }
        }
    }

    /// Whether the byte is ours now; false if somebody else has it. An error is the system's number for it.
    pub(crate) fn take(&self, at: u64) -> Result<bool, i32> {
        self.set(WRITE, at)
    }

    /// The same of a byte that others may have as well, if they share it, too.
    #[cfg(target_os = "linux")]
    pub(crate) fn share(&self, at: u64) -> Result<bool, i32> {
        self.set(READ, at)
    }

    pub(crate) fn give_back(&self, at: u64) {
        let _ = self.set(UNLOCK, at);
    }
}

/// What the kernel says of an identity's byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Byte {
    Held,
    Free,
    /// It cannot be asked, or answers with the lock of somebody who locks whole files.
    Unknown,
}

impl Table {
    /// A descriptor of a description of its own, for the same file, whatever it is called by now.
    #[cfg(target_os = "linux")]
    pub(crate) fn open_anew(&self, path: Option<&PathBuf>) -> std::io::Result<OwnedFd> {
        open_anew(self.region.fd(), path.map(PathBuf::as_path), |fd| self.region.is_file_of(fd))
    }

    /// Asks for the byte of an identity, through the cache's own descriptor, which holds no locks of its description.
    pub(crate) fn ask(&self, identity: Identity) -> Byte {
        #[cfg(test)]
        if crate::testing::refused(true).is_some() {
            return Byte::Unknown;
        }
        if !self.region.has_descriptor() {
            return Byte::Unknown;
        }
        let at = identity_byte(identity);
        let Some(lock) = look(self.region.fd(), at) else { return Byte::Unknown };
        if lock.l_type != UNLOCK as libc::c_short {
            let of_an_identity = lock.l_start as u64 == at && lock.l_len == 1;
            return if of_an_identity { Byte::Held } else { Byte::Unknown };
        }
        // Had the descriptor become another file's meanwhile, nothing would be locked there.
        if self.region.has_descriptor() {
            Byte::Free
        } else {
            Byte::Unknown
        }
    }
}

/// Opens the file of a descriptor anew: by the descriptor, which needs /proc, or by the file's name.
#[cfg(target_os = "linux")]
pub(crate) fn open_anew(
    fd: BorrowedFd<'_>,
    path: Option<&Path>,
    is_same: impl Fn(BorrowedFd<'_>) -> bool,
) -> std::io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let open = |path: &Path| {
        // NONBLOCK: what has the name by now must not make us wait.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = std::fs::File::options().read(true).write(true).custom_flags(flags).open(path)?;
        match is_same(file.as_fd()) {
            true => Ok(OwnedFd::from(file)),
            false => Err(std::io::Error::from_raw_os_error(libc::ESTALE)),
        }
    };
    let anew = open(format!("/proc/thread-self/fd/{}", fd.as_raw_fd()).as_ref());
    anew.or_else(|error| path.map_or(Err(error), open))
}

/// Whether somebody has a byte locked, as far as the kernel says.
#[cfg(target_os = "linux")]
pub(crate) fn is_locked(fd: BorrowedFd<'_>, at: u64) -> bool {
    look(fd, at).is_some_and(|lock| lock.l_type != UNLOCK as libc::c_short)
}

/// Whether the kernel says that a process has a line of this file's. (One that cannot lock is not seen, nor, where the
/// locks are a process's own, this one.)
pub(crate) fn somebody_lives(fd: BorrowedFd<'_>) -> bool {
    look_at(fd, LINES_AT, PROCS).is_some_and(|lock| lock.l_type != UNLOCK as libc::c_short)
}

/// The lines of the processes that the kernel says to live.
pub(crate) fn living_lines(fd: BorrowedFd<'_>) -> Vec<u64> {
    if !somebody_lives(fd) {
        return Vec::new();
    }
    let is_held = |line: &u64| look(fd, line_byte(*line)).is_some_and(|lock| lock.l_type != UNLOCK as libc::c_short);
    (1..PROCS).filter(is_held).collect()
}

/// The lock that is in the way of one at this byte, if the system says.
fn look(fd: BorrowedFd<'_>, at: u64) -> Option<libc::flock> {
    look_at(fd, at, 1)
}

fn look_at(fd: BorrowedFd<'_>, at: u64, bytes: u64) -> Option<libc::flock> {
    let ask = |command| {
        let mut lock = byte(WRITE, at);
        lock.l_len = bytes as libc::off_t;
        // SAFETY: both commands read and write a valid `flock` that outlives the call.
        (unsafe { libc::fcntl(fd.as_raw_fd(), command, &mut lock) } == 0).then_some(lock)
    };
    #[cfg(target_os = "linux")]
    if let Some(lock) = ask(libc::F_OFD_GETLK) {
        return Some(lock);
    }
    ask(libc::F_GETLK)
}

/// The page that keeps a description.
#[derive(Default)]
pub(crate) struct Page(AtomicPtr<libc::c_void>);

const LEN: usize = crate::file::layout::PAGE as usize;

impl Page {
    /// Maps a page of the file, for nothing but to keep its description. The caller keeps forks away.
    #[cfg(target_os = "linux")]
    pub(crate) fn hold(&self, fd: BorrowedFd<'_>) -> Result<(), i32> {
        // SAFETY: a fresh mapping at an address of the kernel's choice touches no memory of ours.
        let page =
            unsafe { libc::mmap(std::ptr::null_mut(), LEN, libc::PROT_NONE, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if page == libc::MAP_FAILED {
            return Err(errno());
        }
        // SAFETY: exactly the mapping just made, which nobody else knows of.
        if unsafe { libc::madvise(page, LEN, libc::MADV_DONTFORK) } != 0 {
            let error = errno();
            // SAFETY: the whole of the mapping just made, which nobody else knows of and nothing points into.
            unsafe { libc::munmap(page, LEN) };
            return Err(error);
        }
        self.0.store(page, Ordering::Relaxed);
        Ok(())
    }

    /// Lets go of what `hold` has mapped. Only in the process that has mapped it: in another one the address may be
    /// anything's.
    pub(crate) fn let_go(&self) {
        let page = self.0.swap(std::ptr::null_mut(), Ordering::Relaxed);
        if !page.is_null() {
            // SAFETY: exactly the mapping made in `hold`, by this process as the caller promises, and only once.
            unsafe { libc::munmap(page, LEN) };
        }
    }

    /// Forgets a page that another process, the parent, has mapped.
    pub(crate) fn forget(&self) {
        self.0.store(std::ptr::null_mut(), Ordering::Relaxed);
    }
}
