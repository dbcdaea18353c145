//! Time: one clock for deadlines that all processes of a host share, the identity of this boot, and ticks that order
//! uses.
//!
//! *Deadlines* are nanoseconds since boot (`boottime`): suspended time counts, the clock cannot be set, and it is one for
//! all containers of a host. A file of an earlier boot is recognised by the boot id and replaced.
//!
//! *Ticks* order uses for eviction. A counter in shared memory would be exact, but its line would travel at each hit.
//! Where the processor's time stamp counter is invariant and the kernel itself trusts it, that one orders just as well:
//! two uses of which one caused the other are further apart than its skew. The creator decides (`Header::tick_mode`),
//! everybody follows. It may jump back over a suspend; `tick_offset` lifts it then (see `policy::writer_tick`).

use std::sync::atomic::{AtomicU64, Ordering};

pub use concurrency::boottime::boot_id;
/// Nanoseconds since boot, suspended time included: the machine's own time, in whatever namespace.
pub use concurrency::boottime::now as boot_now;
/// What orders uses, where all processes may order by it.
pub use concurrency::time_stamp::{keeps_system_time as time_stamp_is_good, read as time_stamp};

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
