//! Pieces of this process's address space with the start of the file in them.

use crate::file::sigbus;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Mappings are multiples of this.
pub(super) const STEP: u64 = 1 << 16;
/// Addresses that are left to the program: without any, the next allocation of whoever comes would fail.
const LEFT: u64 = 16 << 20;
/// No address below is asked for.
const LOWEST: u64 = 1 << 32;

/// A piece of address space with the start of the file in it.
pub(super) struct Mapping {
    pub(super) base: *mut libc::c_void,
    bytes: usize,
    watch: Option<sigbus::Watch>,
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // First out of the fault handler's list.
        self.watch = None;
        // SAFETY: exactly a mapping made in `Region::map_file`; no reference into it outlives the region.
        unsafe { libc::munmap(self.base, self.bytes) };
    }
}

// SAFETY: the address is only used to unmap and to lengthen, both of which any thread may do.
unsafe impl Send for Mapping {}

/// Whether the system has so many addresses, and some for others.
pub(super) fn leaves_room(bytes: u64) -> bool {
    let Ok(bytes) = usize::try_from(bytes + LEFT) else { return false };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
    // SAFETY: a fresh mapping at an address of the system's choice, which nobody else knows of, and given back at once.
    unsafe {
        let probe = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0);
        probe != libc::MAP_FAILED && libc::munmap(probe, bytes) == 0
    }
}

impl Mapping {
    /// Maps so many bytes, where they can grow to `most` if there is such a place.
    pub(super) fn new(
        fd: BorrowedFd<'_>,
        bytes: u64,
        most: u64,
        watched: Option<&sigbus::Watched>,
    ) -> io::Result<Mapping> {
        let bytes = usize::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let map = |hint: usize, bytes: usize, protection, flags, fd| {
            // SAFETY: a fresh mapping, where nothing is: the hint is no more than one.
            let base = unsafe { libc::mmap(hint as *mut libc::c_void, bytes, protection, flags, fd, 0) };
            if base == libc::MAP_FAILED {
                Err(io::Error::last_os_error())
            } else {
                Ok(base)
            }
        };
        // The system puts a new mapping right below the others, where it could not grow. Where that would be is
        // found out with a small one, which is given back at once.
        let small = map(0, STEP as usize, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANON, -1)?;
        // SAFETY: the mapping just made.
        unsafe { libc::munmap(small, STEP as usize) };
        let room = usize::try_from(most.div_ceil(STEP) * STEP).unwrap_or(usize::MAX);
        let hint = sigbus::room_below(small as usize, room) & !(STEP as usize - 1);
        let hint = if hint > LOWEST as usize { hint } else { 0 };
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let base = map(hint, bytes, protection, flags, fd.as_raw_fd())?;
        Ok(Mapping { base, bytes, watch: watched.map(|watched| watched.watch(base as usize, bytes)) })
    }

    /// Memory of this process's own in the place of a file's.
    pub(super) fn private(bytes: u64) -> io::Result<Mapping> {
        let bytes = usize::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
        // SAFETY: a fresh mapping at an address of the system's choice touches no memory of ours.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { base, bytes, watch: None })
    }

    /// Takes the addresses behind it as well, if nothing is there.
    #[cfg(target_os = "linux")]
    pub(super) fn lengthen(&mut self, bytes: u64) -> bool {
        let Ok(bytes) = usize::try_from(bytes) else { return false };
        // SAFETY: without MREMAP_MAYMOVE the mapping stays where it is, and nothing else is touched.
        if unsafe { libc::mremap(self.base, self.bytes, bytes, 0) } == libc::MAP_FAILED {
            return false;
        }
        self.bytes = bytes;
        if let Some(watch) = &mut self.watch {
            watch.lengthen(bytes);
        }
        true
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn lengthen(&mut self, _: u64) -> bool {
        false
    }
}
