//! Time since the machine was started, as the machine itself has it: alike for all its processes, whatever time
//! namespace they are in, and never slower than it.
//!
//! `CLOCK_BOOTTIME` counts suspended time and cannot be set, but it need not be the machine's: in a time namespace (a
//! container that was restored from a checkpoint, `unshare --time`) an offset is added to it. Deadlines on such a clock
//! would mean another moment outside. So the offset is taken off again: the kernel tells it
//! (`/proc/self/timens_offsets`), and it can change under a process only where the process enters another namespace, by
//! `setns`, by a fork after `unshare`, or by being restored elsewhere.
//!
//! **Noticing a change** must cost next to nothing. The difference between `CLOCK_REALTIME`, which no namespace shifts,
//! and `CLOCK_BOOTTIME` is constant: both are slewed alike, and differ anew only when somebody sets the real-time clock,
//! or the namespace changes. So once a millisecond at most the difference is looked at, and where it has changed the
//! kernel is asked again.
//!
//! **Time that would go back** (a process restored on a machine that was started later) goes on from the last reading
//! instead, by as much as the real-time clock has advanced since: a frozen process ages. A forward jump ends lives
//! early, which is always allowed.
//!
//! What is not seen: a machine that is frozen as a whole and whose clocks are, too; and libraries that replace
//! `clock_gettime` in some processes only. Where there is no `/proc`, the offset cannot be known; then `identity` keeps
//! processes apart whose clocks differ.

use crate::clock::at_one_moment;
use crate::fork;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

/// So long (nanoseconds) a check serves.
const SERVES: u64 = 1_000_000;
/// By so much the difference of the two clocks may seem to change because a thread was interrupted between them.
const NOISE: u64 = 1_000_000;
/// Clocks of processes that cannot name their namespace count as alike if they agree to this.
const ALIKE: u64 = 100_000_000;

/// The system's reading at the last check. Release-stored after `OFFSET`; pairs with the acquire in `now`.
static CHECKED: AtomicU64 = AtomicU64::new(u64::MAX);
/// To be taken off the system's readings (wrapping).
static OFFSET: AtomicU64 = AtomicU64::new(0);
// The others are read and written by the one who checks.
/// The real-time clock minus the system's reading, when the offset was last asked for.
static DIFFERENCE: AtomicU64 = AtomicU64::new(u64::MAX);
/// The result of the last check, and the real-time clock then.
static LAST: AtomicU64 = AtomicU64::new(0);
static LAST_REAL: AtomicU64 = AtomicU64::new(0);
/// Not 0: the offset is not known, and this tells the clocks apart that may be alike.
static UNKNOWN: AtomicU64 = AtomicU64::new(0);
/// The `fork::epoch` of the process whose thread is checking; a parent's thread is not here.
static CHECKING: AtomicU64 = AtomicU64::new(0);

#[cfg(target_os = "linux")]
const BOOT: libc::clockid_t = libc::CLOCK_BOOTTIME;
// macOS: mach_continuous_time's clock, suspended time included.
#[cfg(not(target_os = "linux"))]
const BOOT: libc::clockid_t = libc::CLOCK_MONOTONIC;

fn read(clock: libc::clockid_t) -> u64 {
    // SAFETY: all-zero is a valid timespec.
    let mut t: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: a valid timespec, which outlives the call. The clock exists on every supported system; otherwise `t` stays zero.
    unsafe { libc::clock_gettime(clock, &mut t) };
    (t.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(t.tv_nsec as u64)
}

/// Nanoseconds since the machine was started, suspended time included.
#[inline]
pub fn now() -> u64 {
    let reading = read(BOOT);
    if reading.wrapping_sub(CHECKED.load(Ordering::Acquire)) < SERVES {
        reading.wrapping_sub(OFFSET.load(Ordering::Relaxed))
    } else {
        check(reading)
    }
}

/// 0 where time is the machine's own. Else processes with other numbers must not share deadlines.
pub fn identity() -> u64 {
    now();
    known_identity()
}

/// `identity`, as the last reading has found it.
#[inline]
pub fn known_identity() -> u64 {
    UNKNOWN.load(Ordering::Relaxed)
}

#[cold]
fn check(reading: u64) -> u64 {
    fork::watch();
    let (epoch, seen) = (fork::epoch(), CHECKING.load(Ordering::Relaxed));
    // Acquire and, below, release: checks follow each other.
    let alone = seen != epoch && CHECKING.compare_exchange(seen, epoch, Ordering::Acquire, Ordering::Relaxed).is_ok();
    if !alone && CHECKED.load(Ordering::Acquire) != u64::MAX {
        return reading.wrapping_sub(OFFSET.load(Ordering::Relaxed));
    }
    // (Threads that meet at the very first reading each find the offset for themselves.)
    let (reading, real) = both();
    let difference = real.wrapping_sub(reading);
    let known = DIFFERENCE.load(Ordering::Relaxed);
    let mut offset = OFFSET.load(Ordering::Relaxed);
    if CHECKED.load(Ordering::Relaxed) == u64::MAX || difference.abs_diff(known) > NOISE {
        let found = namespace_offset();
        offset = found.unwrap_or(0);
        // (Never 0.)
        let unknown = if found.is_some() { 0 } else { difference.wrapping_add(ALIKE / 2) / ALIKE + 1 };
        UNKNOWN.store(unknown, Ordering::Relaxed);
        DIFFERENCE.store(difference, Ordering::Relaxed);
    }
    let last = LAST.load(Ordering::Relaxed);
    let mut result = reading.wrapping_sub(offset);
    if alone && (result as i64) < last as i64 {
        let passed = real.wrapping_sub(LAST_REAL.load(Ordering::Relaxed)) as i64;
        result = last.wrapping_add(passed.max(0) as u64);
        offset = reading.wrapping_sub(result);
    }
    OFFSET.store(offset, Ordering::Relaxed);
    CHECKED.store(reading, Ordering::Release);
    if alone {
        LAST.store(result, Ordering::Relaxed);
        LAST_REAL.store(real, Ordering::Relaxed);
        CHECKING.store(0, Ordering::Release);
    }
    result
}

/// Both clocks at one moment.
fn both() -> (u64, u64) {
    at_one_moment(|| read(BOOT), || read(libc::CLOCK_REALTIME))
}

/// What this process's time namespace adds to the time since the start; `None` where that cannot be known.
#[cfg(target_os = "linux")]
fn namespace_offset() -> Option<u64> {
    use std::ffi::CStr;
    /// The inode of the namespace that all others are relative to (PROC_TIME_INIT_INO).
    const FIRST: &[u8] = b"time:[4026531834]";
    // (Reading a link takes no descriptor.)
    fn link(path: &CStr, to: &mut [u8; 64]) -> Option<usize> {
        // SAFETY: the path is NUL-terminated; at most as many bytes as there are are written.
        let n = unsafe { libc::readlink(path.as_ptr(), to.as_mut_ptr().cast(), to.len()) };
        usize::try_from(n).ok()
    }
    let (mut mine, mut childrens) = ([0; 64], [0; 64]);
    let Some(n) = link(c"/proc/self/ns/time", &mut mine) else {
        // A kernel without such namespaces, if it shows the others.
        return link(c"/proc/self/ns/mnt", &mut mine).map(|_| 0);
    };
    if &mine[..n] == FIRST {
        return Some(0);
    }
    // The kernel tells the offsets of the namespace that children will be in.
    if link(c"/proc/self/ns/time_for_children", &mut childrens)? != n || mine != childrens {
        return None;
    }
    parse_offset(&std::fs::read_to_string("/proc/self/timens_offsets").ok()?)
}

#[cfg(not(target_os = "linux"))]
fn namespace_offset() -> Option<u64> {
    Some(0)
}

#[cfg(target_os = "linux")]
fn parse_offset(text: &str) -> Option<u64> {
    let mut words = text.lines().find_map(|line| line.trim_start().strip_prefix("boottime"))?.split_ascii_whitespace();
    let (seconds, nanoseconds): (i64, i64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)? as u64)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_the_kernel_writes_them() {
        assert_eq!(
            parse_offset("monotonic           0         0\nboottime           10         5\n"),
            Some(10_000_000_005)
        );
        assert_eq!(parse_offset("monotonic 1 1\nboottime -1 999999999\n"), Some(-1i64 as u64));
        assert_eq!(parse_offset("monotonic 1 1\n"), None);
        assert_eq!(parse_offset("boottime 99999999999999 0\n"), None);
    }

    #[test]
    fn time_goes_on() {
        let mut last = now();
        assert!(last > 0 && identity() == 0);
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 20 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
        assert!(namespace_offset() != Some(0) || read(BOOT).abs_diff(now()) < 1_000_000_000);
    }
}

#[cfg(target_os = "linux")]
fn boot_text() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
}

#[cfg(target_os = "macos")]
fn boot_text() -> Option<String> {
    let mut text = [0u8; 64];
    let mut len = text.len();
    // SAFETY: the name is NUL-terminated; the kernel writes at most `len` bytes into `text`.
    let r = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            text.as_mut_ptr().cast(),
            &mut len,
            std::ptr::null_mut(),
            0,
        )
    };
    (r == 0).then(|| String::from_utf8_lossy(&text[..len]).into_owned())
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn boot_text() -> Option<String> {
    None
}

/// This boot's identity; zeros where it cannot be read. Once read it is kept: to read it takes a descriptor, and there
/// may be none left.
pub fn boot_id() -> [u64; 2] {
    static KNOWN: OnceLock<[u64; 2]> = OnceLock::new();
    if let Some(id) = KNOWN.get() {
        return *id;
    }
    let digits: String = boot_text().unwrap_or_default().chars().filter(char::is_ascii_hexdigit).take(32).collect();
    match u128::from_str_radix(&digits, 16) {
        Ok(id) => *KNOWN.get_or_init(|| [(id >> 64) as u64, id as u64]),
        Err(_) => [0, 0],
    }
}
