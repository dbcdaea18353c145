//! A descriptor that is only used while it is still that of its file.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A descriptor, and the file that it was opened for. Somebody may close it under us (who becomes a daemon closes all
/// descriptors), and its number may then be that of a file of theirs, which we must neither lengthen nor close.
pub(crate) struct Descriptor {
    pub(super) fd: ManuallyDrop<OwnedFd>,
    pub(super) file: Option<(u64, u64)>,
}

impl Descriptor {
    pub(crate) fn new(fd: OwnedFd) -> Descriptor {
        let file = file_id(fd.as_fd());
        Descriptor { fd: ManuallyDrop::new(fd), file }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.file.is_some() && file_id(self.fd.as_fd()) == self.file
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: taken once, here, and never used after.
            drop(unsafe { ManuallyDrop::take(&mut self.fd) });
        }
    }
}

/// Length of the file behind a descriptor.
pub(crate) fn file_len(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_size as u64)
}

/// Whether both descriptors are of one file.
#[cfg(target_os = "linux")]
pub(crate) fn is_same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    file_id(one).is_some() && file_id(one) == file_id(other)
}

#[allow(clippy::unnecessary_cast)] // types differ between systems
pub(super) fn file_id(fd: BorrowedFd<'_>) -> Option<(u64, u64)> {
    rustix::fs::fstat(fd).ok().map(|st| (st.st_dev as u64, st.st_ino as u64))
}
