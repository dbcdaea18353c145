//! The names of `descriptors` where no process is forked: whoever has a socket has opened it.

use std::os::windows::io::{AsSocket, BorrowedSocket, OwnedSocket};

/// A socket of this process.
#[derive(Debug)]
pub struct Owned(OwnedSocket);

/// Runs what opens a socket.
pub fn open<E>(f: impl FnOnce() -> Result<OwnedSocket, E>) -> Result<Owned, E> {
    f().map(Owned)
}

impl Owned {
    /// Always.
    #[inline]
    pub fn is_ours(&self) -> bool {
        true
    }
}

impl AsSocket for Owned {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        self.0.as_socket()
    }
}
