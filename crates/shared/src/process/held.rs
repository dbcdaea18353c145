//! A lock of a file that one process has until it ends: what is elected by it dies with it.
//!
//! It is one byte far beyond the file's end, locked as a process's line is (`life`): by an open file description that only
//! a mapping keeps, so no fork inherits it and nobody can close it; else, where that cannot be had, by the process itself.
//! That one falls, too, when the process closes any descriptor of the file. So two may hold it at once for a while:
//! it serves to have one where two do no harm.

#[cfg(target_os = "linux")]
use crate::file::life::{is_locked, open_anew, Page};
use crate::file::life::{Locks, Owner};
#[cfg(target_os = "linux")]
use crate::file::mapping::is_same_file;
use concurrency::fork;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// The byte.
pub(crate) const BYTE: u64 = 1 << 42;

/// The lock, given back when this is dropped. In a fork's child it is the parent's still, and dropping it does nothing.
pub struct Held {
    by: By,
    epoch: u64,
}

enum By {
    Nothing,
    #[cfg(target_os = "linux")]
    Page(Page),
    /// A copy of the file's descriptor, to give it back by.
    Process(OwnedFd),
}

impl Held {
    pub(crate) fn nothing() -> Held {
        Held { by: By::Nothing, epoch: fork::epoch() }
    }

    pub(crate) fn try_take(fd: BorrowedFd<'_>, path: &Path) -> Result<Option<Held>, i32> {
        // Forks wait: see `life`.
        let by = fork::exclusive(|| -> Result<Option<By>, i32> {
            #[cfg(target_os = "linux")]
            match by_description(fd, path) {
                Ok(taken) => return Ok(taken.map(By::Page)),
                // Another process's way may be this one, and its lock is not to be passed over.
                Err(_) if is_locked(fd, BYTE) => return Ok(None),
                Err(_) => {}
            }
            #[cfg(not(target_os = "linux"))]
            let _ = path;
            let error = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::EBADF);
            match (Locks { fd, owner: Owner::Process }).take(BYTE)? {
                true => Ok(Some(By::Process(fd.try_clone_to_owned().map_err(error)?))),
                false => Ok(None),
            }
        })?;
        Ok(by.map(|by| Held { by, epoch: fork::epoch() }))
    }
}

#[cfg(target_os = "linux")]
fn by_description(fd: BorrowedFd<'_>, path: &Path) -> Result<Option<Page>, i32> {
    let error = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::EBADF);
    let file = open_anew(fd, Some(path), |other| is_same_file(fd, other)).map_err(error)?;
    if !(Locks { fd: file.as_fd(), owner: Owner::Description }).take(BYTE)? {
        return Ok(None);
    }
    let page = Page::default();
    page.hold(file.as_fd())?;
    drop(file);
    // (A file system may let go of the description with the descriptor: `life`.)
    if is_locked(fd, BYTE) {
        return Ok(Some(page));
    }
    page.let_go();
    Err(libc::EOPNOTSUPP)
}

impl Drop for Held {
    fn drop(&mut self) {
        fork::exclusive(|| {
            if self.epoch != fork::epoch() {
                return;
            }
            match &self.by {
                By::Nothing => {}
                #[cfg(target_os = "linux")]
                By::Page(page) => page.let_go(),
                By::Process(fd) => {
                    use std::os::fd::AsFd;
                    Locks { fd: fd.as_fd(), owner: Owner::Process }.give_back(BYTE);
                }
            }
        });
    }
}
