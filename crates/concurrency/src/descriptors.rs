//! Descriptors that belong to one process: a fork's child closes its copies at once.
//!
//! Ring 2. A socket that a child keeps open does not tell the peer when the parent has died, and a child that used it
//! would write into its parent's conversation. So whoever opens one does it within [`open`], which notes the descriptor;
//! the child's handler ([`crate::fork`]) closes all that are noted, by plain `close`: nothing is sent and the
//! parent's connection goes on. What the child has inherited as objects must not close the number again, which may be
//! somebody else's by then: [`Owned`] compares the count of forks.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use crate::fork;

/// The open descriptors of this process. Locked within `fork::exclusive` and by the child's handler only, so nobody ever
/// waits for it.
static OPEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// A descriptor of the process that opened it. In a fork's child it is closed already, and dropping it does nothing.
#[derive(Debug)]
pub struct Owned {
    fd: ManuallyDrop<OwnedFd>,
    /// The count of forks of the process that opened it.
    epoch: u64,
}

/// Runs what opens a descriptor, and notes it. `f` must be short: forks wait for it.
pub fn open<E>(f: impl FnOnce() -> Result<OwnedFd, E>) -> Result<Owned, E> {
    fork::exclusive(|| {
        let fd = f()?;
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).push(fd.as_raw_fd());
        Ok(Owned { fd: ManuallyDrop::new(fd), epoch: fork::epoch() })
    })
}

impl Owned {
    /// Whether this process is the one that opened it. Otherwise the number is not to be used.
    #[inline]
    pub fn is_ours(&self) -> bool {
        self.epoch == fork::epoch()
    }
}

impl AsFd for Owned {
    /// Panics in a child of the process that opened it: there the number may be another file's.
    fn as_fd(&self) -> BorrowedFd<'_> {
        assert!(self.is_ours(), "a descriptor of the parent's");
        self.fd.as_fd()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // No fork comes in between: a child would keep one that is not noted.
        fork::exclusive(|| {
            if self.is_ours() {
                let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(at) = open.iter().position(|fd| *fd == self.fd.as_raw_fd()) {
                    open.swap_remove(at);
                }
                // SAFETY: the field is not used after this; it is dropped once, as the value is.
                unsafe { ManuallyDrop::drop(&mut self.fd) }
            }
        });
    }
}

/// Closes them all. Called by the child's handler, before the count of forks changes and with its lock held.
pub(crate) fn close_after_fork_in_child() {
    // (The only thread of the process; the parent's other threads were kept out by the fork's lock.)
    let Ok(mut open) = OPEN.try_lock() else { return };
    for fd in open.drain(..) {
        // SAFETY: the descriptor was noted by its owner, which never uses or closes it in this process (`is_ours`).
        unsafe { libc::close(fd) };
    }
}
