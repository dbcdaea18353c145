//! Time: one clock for deadlines that all processes of a host share, the identity of this boot, and ticks that order
//! uses.
//!
//! *Deadlines* are nanoseconds since boot (`boottime`): suspended time counts, the clock cannot be set, and it is one for
//! all containers of a host. A file of an earlier boot is recognised by the boot id and replaced.
//!
//! *Ticks* order uses for eviction. A counter in shared memory would be exact, but its line would travel at each hit.
//! Where the processor's time stamp counter is invariant and the kernel itself trusts it, that one orders just as well:
//! two uses of which one caused the other are further apart than its skew. The creator decides (`Ident::tick_mode`),
//! everybody follows. It may jump back over a suspend; `tick_offset` lifts it then (see `ordering::now`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

/// Nanoseconds since boot, suspended time included: the machine's own time, in whatever namespace.
pub use crate::shm::boottime::now as boot_now;

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

/// The processor's time stamp counter, where there is one that all processes may order by.
#[inline]
pub fn time_stamp() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// Whether the time stamp counter runs evenly, never stops, agrees between processors, and is what the kernel keeps
/// time by.
pub fn time_stamp_is_good() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        use core::arch::x86_64::__cpuid;
        // Invariant TSC: leaf 8000_0007, EDX bit 8.
        #[allow(unused_unsafe)] // __cpuid became a safe function in a later Rust
        // SAFETY: every x86-64 processor has cpuid; the highest extended leaf is asked first.
        let invariant = unsafe { __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & 1 << 8 != 0 };
        let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
        invariant && source.is_ok_and(|s| matches!(s.trim(), "tsc" | "kvm-clock"))
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// `boot_now` to about a millisecond, for the price of the time stamp counter: lags, never leads.
#[derive(Default)]
pub struct CoarseClock {
    now: AtomicU64,
    /// The time stamp up to which `now` is fresh. Release-stored after it; pairs with the acquire load in `read`.
    fresh_until: AtomicU64,
    /// When whoever reads is to be told `LATE` instead; 0 = never.
    wake: AtomicU64,
}

/// Later than any deadline.
const LATE: u64 = u64::MAX;

/// Ticks of the time stamp counter for which a reading stays fresh: under a millisecond from 1 GHz on.
const FRESH: u64 = 1_000_000;

impl CoarseClock {
    #[inline]
    pub fn read(&self, stamp: u64) -> u64 {
        let until = self.fresh_until.load(Ordering::Acquire);
        if until.wrapping_sub(stamp).wrapping_sub(1) < FRESH {
            return self.now.load(Ordering::Relaxed);
        }
        let now = boot_now();
        // Never back: a thread that was held up here must not undo what another one has read since.
        let now = self.now.fetch_max(now, Ordering::Relaxed).max(now);
        if self.wakes() {
            // Not fresh, so the next one comes here, too, until another time is set.
            return LATE;
        }
        self.fresh_until.store(stamp.wrapping_add(FRESH), Ordering::Release);
        now
    }

    /// `read` of a time that was read elsewhere.
    pub fn note(&self, now: u64) -> u64 {
        let wake = self.wake.load(Ordering::Relaxed);
        if wake != 0 && wake <= now {
            self.now.fetch_max(now, Ordering::Relaxed);
            return LATE;
        }
        now
    }

    /// See `SharedCache::wake_at`. Relaxed, as all of it: a moment early or late does no harm.
    pub fn wake_at(&self, time: u64) {
        self.wake.store(time, Ordering::Relaxed);
    }

    /// Whether the time to wake has come, as far as is known here.
    pub fn wakes(&self) -> bool {
        let wake = self.wake.load(Ordering::Relaxed);
        wake != 0 && wake <= self.now.load(Ordering::Relaxed)
    }
}
