//! System calls that others than the file make, and what the standard library does with files alone, for descriptors.

#[cfg(not(loom))]
use rustix::io::Errno;
#[cfg(not(loom))]
use std::io;
#[cfg(not(loom))]
use std::os::fd::BorrowedFd;
#[cfg(all(target_os = "linux", not(loom)))]
use std::sync::atomic::AtomicU64;
#[cfg(all(target_os = "linux", not(loom)))]
use std::time::Duration;

/// Who this process is to the file system.
pub(crate) fn my_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether a process of this pid can be named.
#[cfg(not(loom))]
pub(crate) fn exists(pid: u64) -> bool {
    // (Pid 0 would ask for our own group, and is nobody's; so are numbers that no pid can have.)
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(Errno::SRCH))
}

/// Reads all of `buf` at this place of a file, without a second descriptor: closing one would release the locks that this
/// process has on the file.
#[cfg(not(loom))]
pub(crate) fn read_exact_at(fd: BorrowedFd<'_>, mut buf: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match rustix::io::pread(fd, &mut *buf, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                at += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes all of `buf` to this place of a file, likewise.
#[cfg(not(loom))]
pub(crate) fn write_all_at(fd: BorrowedFd<'_>, mut buf: &[u8], mut at: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match rustix::io::pwrite(fd, buf, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                buf = &buf[n..];
                at += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// When a process started, in microseconds; `None` if the system does not say.
#[cfg(all(target_os = "macos", not(loom)))]
pub(crate) fn started(pid: u64) -> Option<u64> {
    // SAFETY: all-zero is a valid proc_bsdinfo; the kernel writes at most `size` bytes into it.
    let (info, n) = unsafe {
        let mut info: libc::proc_bsdinfo = std::mem::zeroed();
        let size = std::mem::size_of::<libc::proc_bsdinfo>() as libc::c_int;
        let n = libc::proc_pidinfo(pid as libc::c_int, libc::PROC_PIDTBSDINFO, 0, (&raw mut info).cast(), size);
        (info, n)
    };
    (n > 0).then(|| info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec)
}

/// The half of a word that changes with each addition: futexes are of 32 bits.
#[cfg(all(target_os = "linux", not(loom)))]
fn low_half(word: &AtomicU64) -> *const u32 {
    let low_half = usize::from(cfg!(target_endian = "big"));
    word.as_ptr().cast::<u32>().wrapping_add(low_half)
}

/// Sleeps while the word is `seen`, until it is woken, for at most `time`. Between processes, if the word is shared.
#[cfg(all(target_os = "linux", not(loom)))]
pub(crate) fn futex_wait(word: &AtomicU64, seen: u64, time: Duration) {
    futex_wait_half(low_half(word), seen as u32, time);
}

/// Wakes all who sleep on the word.
#[cfg(all(target_os = "linux", not(loom)))]
pub(crate) fn futex_wake(word: &AtomicU64) {
    futex_wake_half(low_half(word));
}

/// `futex_wait` on a word of 32 bits.
#[cfg(all(target_os = "linux", not(loom)))]
pub(crate) fn futex_wait_half(word: *const u32, seen: u32, time: Duration) {
    let time = libc::timespec { tv_sec: time.as_secs() as libc::time_t, tv_nsec: time.subsec_nanos() as _ };
    // SAFETY: `time` outlives the call. An address where nothing is, or a page that is gone, gives EFAULT.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, seen, &time) };
}

#[cfg(all(target_os = "linux", not(loom)))]
pub(crate) fn futex_wake_half(word: *const u32) {
    // SAFETY: waking reads no memory.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, i32::MAX) };
}
