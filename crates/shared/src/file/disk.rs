//! Disk: reserving it for a file.
//!
//! Memory of a file that has no disk behind it kills whoever writes there (SIGBUS), so every area is reserved before it
//! is touched. Whatever lengthens a file runs within [`unharmed`]: a limit for its size is as ENOSPC to all callers.

use concurrency::signals::unharmed;
use std::io;
use std::os::fd::RawFd;

/// Makes sure that bytes `at..at + len` of a file have disk behind them. Never shrinks, never zeroes.
pub(crate) fn reserve_file(fd: RawFd, at: u64, len: u64) -> io::Result<()> {
    unharmed(|| reserve(fd, at, len))
}

#[cfg(target_os = "linux")]
fn reserve(fd: RawFd, at: u64, len: u64) -> io::Result<()> {
    loop {
        // SAFETY: plain system call on a descriptor we own; no memory is passed.
        if unsafe { libc::fallocate(fd, 0, at as libc::off_t, len as libc::off_t) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            // A file system, or a filter for system calls, without fallocate.
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM) => return write_blocks(fd, at, len),
            _ => return Err(error),
        }
    }
}

/// Writes a zero to each block that may have none on disk yet, as `posix_fallocate` does where there is no better way.
#[cfg(target_os = "linux")]
fn write_blocks(fd: RawFd, at: u64, len: u64) -> io::Result<()> {
    use std::os::fd::FromRawFd;
    use std::os::unix::fs::FileExt;
    const BLOCK: u64 = 4096;
    // SAFETY: the descriptor is open; ManuallyDrop keeps it so.
    let file = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(fd) });
    let mut last = at / BLOCK * BLOCK;
    while last < at + len {
        last += BLOCK;
        let (place, mut byte) = ((last - 1).min(at + len - 1), [0]);
        if file.read_at(&mut byte, place)? == 0 || byte == [0] {
            file.write_all_at(&[0], place)?;
        }
    }
    Ok(())
}

/// Without fallocate: blocks are preallocated at the end of the file as it grows over them.
#[cfg(not(target_os = "linux"))]
fn reserve(fd: RawFd, at: u64, len: u64) -> io::Result<()> {
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
        if unsafe { libc::fcntl(fd, libc::F_PREALLOCATE, &mut store) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: plain system call. It only ever lengthens: growth happens under the writers' lock.
    match unsafe { libc::ftruncate(fd, end as libc::off_t) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn blocks_are_written_where_there_is_no_fallocate_and_nothing_is_lost() {
        use std::os::unix::fs::{FileExt, MetadataExt};
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 5000], 0).unwrap();
        write_blocks(file.as_raw_fd(), 100, 1 << 20).unwrap();
        let mut found = vec![0; 5000];
        file.read_exact_at(&mut found, 0).unwrap();
        assert!(found == [7; 5000]);
        let status = file.metadata().unwrap();
        assert_eq!(status.len(), (1 << 20) + 100);
        assert!(status.blocks() * 512 >= 1 << 20);
    }
}
