//! Disk: reserving it for a file.
//!
//! Memory of a file that has no disk behind it kills whoever writes there (SIGBUS), so every area is reserved before it
//! is touched. Whatever lengthens a file runs within [`unharmed`]: a limit for its size is as ENOSPC to all callers.

#[cfg(target_os = "linux")]
use crate::file::system::write_all_at;
use concurrency::signals::unharmed;
#[cfg(target_os = "linux")]
use rustix::fs::FallocateFlags;
#[cfg(target_os = "linux")]
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;

/// Makes sure that bytes `at..at + len` of a file have disk behind them. Never shrinks, never zeroes.
pub(crate) fn reserve_file(fd: BorrowedFd<'_>, at: u64, len: u64) -> io::Result<()> {
    unharmed(|| reserve(fd, at, len))
}

#[cfg(target_os = "linux")]
fn reserve(fd: BorrowedFd<'_>, at: u64, len: u64) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(fd, FallocateFlags::empty(), at, len) {
            Err(Errno::INTR) => {}
            // A file system, or a filter for system calls, without fallocate.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => return write_blocks(fd, at, len),
            result => return Ok(result?),
        }
    }
}

/// Writes a zero to each block that may have none on disk yet, as `posix_fallocate` does where there is no better way.
#[cfg(target_os = "linux")]
fn write_blocks(fd: BorrowedFd<'_>, at: u64, len: u64) -> io::Result<()> {
    const BLOCK: u64 = 4096;
    let mut last = at / BLOCK * BLOCK;
    while last < at + len {
        last += BLOCK;
        let (place, mut byte) = ((last - 1).min(at + len - 1), [0]);
        if rustix::io::pread(fd, &mut byte, place)? == 0 || byte == [0] {
            write_all_at(fd, &[0], place)?;
        }
    }
    Ok(())
}

/// Without fallocate: blocks are preallocated at the end of the file as it grows over them.
#[cfg(not(target_os = "linux"))]
fn reserve(fd: BorrowedFd<'_>, at: u64, len: u64) -> io::Result<()> {
    let (old, end) = (crate::file::mapping::file_len(fd)?, at + len);
    if end <= old {
        return Ok(());
    }
    #[cfg(target_os = "macos")]
    {
        let mut store = libc::fstore_t {
            fst_flags: libc::F_ALLOCATEALL,
            fst_posmode: libc::F_PEOFPOSMODE,
            fst_offset: 0,
            fst_length: (end - old) as libc::off_t,
            fst_bytesalloc: 0,
        };
        // SAFETY: `store` outlives the call.
        if unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&fd), libc::F_PREALLOCATE, &mut store) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    // It only ever lengthens: growth happens under the writers' lock.
    Ok(rustix::fs::ftruncate(fd, end)?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn blocks_are_written_where_there_is_no_fallocate_and_nothing_is_lost() {
        use std::os::unix::fs::{FileExt, MetadataExt};
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 5000], 0).unwrap();
        write_blocks(file.as_fd(), 100, 1 << 20).unwrap();
        let mut found = vec![0; 5000];
        file.read_exact_at(&mut found, 0).unwrap();
        assert!(found == [7; 5000]);
        let status = file.metadata().unwrap();
        assert_eq!(status.len(), (1 << 20) + 100);
        assert!(status.blocks() * 512 >= 1 << 20);
    }
}
