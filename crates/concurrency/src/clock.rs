//! Time for deadlines: nanoseconds that go on while the machine sleeps, at the price of a time-stamp counter.
//!
//! Ring 2. A hit must not pay for a system clock (which takes about as long as the hit itself). So the last reading is kept, with
//! the value of the processor's time-stamp counter at that moment; while the counter has moved by less than a quantum,
//! the kept reading serves. The counter only answers "has next to no time passed?": its frequency needs not be known (an
//! invariant one has between 0.8 and 6 GHz, so a quantum lasts from 17 to 125 µs), and a counter that was reset by a
//! suspend or differs between cores yields a large difference and so a fresh reading. So [`now`] may lag by a quantum, and
//! [`deadline`] is exact: no entry is cut short, and none outlives its deadline by more than a quantum.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time_stamp;
use engine::expiration::{self, Instant};

/// The quantum, in counter ticks.
const QUANTUM_TICKS: u64 = 100_000;

/// The last reading of the system clock; it only grows.
static READING: AtomicU64 = AtomicU64::new(0);
/// The counter at a moment not later than `READING`'s.
static TICKS: AtomicU64 = AtomicU64::new(0);

/// The present moment, or one that is at most a quantum past. It never goes back.
#[inline(always)]
pub fn now() -> Instant {
    recent().unwrap_or_else(read)
}

/// [`now`] where the last reading serves; in it there is no call.
#[inline(always)]
pub fn recent() -> Option<Instant> {
    // Where the counter is of no use `TICKS` stays 0, which no counter is within a quantum of.
    if !time_stamp::EXISTS {
        return None;
    }
    // Acquire: pairs with the release in `read`, so that the reading seen is at least as late as its ticks.
    let fresh = time_stamp::read().wrapping_sub(TICKS.load(Ordering::Acquire)) < QUANTUM_TICKS;
    fresh.then(|| READING.load(Ordering::Relaxed))
}

/// A fresh reading. Of a clock that stands still, nothing is kept.
#[cold]
fn read() -> Instant {
    // The counter first: the reading then belongs to a later moment than its ticks, never to an earlier one.
    let stands_at = STANDS_AT.load(Ordering::Relaxed);
    if stands_at != 0 {
        return stands_at;
    }
    let ticks = time_stamp::is_invariant().then(time_stamp::read);
    let reading = system();
    // Two threads may store at once. The reading only grows, and each stores its ticks after it, so whichever ticks
    // remain, the reading kept is not earlier than theirs.
    let kept = READING.fetch_max(reading, Ordering::Relaxed).max(reading);
    if let Some(ticks) = ticks {
        // Release: pairs with the acquire in `now`.
        TICKS.store(ticks, Ordering::Release);
    }
    kept
}

/// The deadline of an entry that is to live for `ttl` nanoseconds from now on.
pub fn deadline(ttl: u64) -> Instant {
    expiration::deadline(exact(), ttl)
}

/// The present moment, not a quantum past: short lifetimes are not cut.
pub fn exact() -> Instant {
    match STANDS_AT.load(Ordering::Relaxed) {
        0 => system(),
        moment => moment,
    }
}

/// The moment at which the clock stands still, or 0 while it goes. Relaxed, as it is moved by tests alone, which order what
/// they do by other means.
static STANDS_AT: AtomicU64 = AtomicU64::new(0);

/// Stops the clock, for tests: from now on [`advance`] moves it.
pub fn stop() {
    STANDS_AT.store(system(), Ordering::Relaxed);
    forget_reading();
}

/// Moves a clock that stands still, forward; one that goes is left alone.
pub fn advance(nanos: u64) {
    let moved = |moment: u64| (moment != 0).then(|| moment.saturating_add(nanos));
    let _ = STANDS_AT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
}

/// Lets the clock go again: it is the system's, which may be earlier.
pub fn go_on() {
    STANDS_AT.store(0, Ordering::Relaxed);
}

/// Has the next question read the clock.
fn forget_reading() {
    TICKS.store(0, Ordering::Release);
}

/// The clock that counts suspended time too, is the machine's own in any namespace, and never goes back.
#[cfg(all(unix, not(loom)))]
pub(crate) use crate::boottime::now as system;

#[cfg(not(all(unix, not(loom))))]
pub(crate) fn system() -> Instant {
    use std::sync::OnceLock;
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
}

/// What two clocks say, as nearly at one moment as can be had: a thread may be interrupted between two readings, so the
/// closest of a few counts.
pub(crate) fn at_one_moment(one: impl Fn() -> u64, other: impl Fn() -> u64) -> (u64, u64) {
    let (mut best, mut found) = (u64::MAX, (0, 0));
    for _ in 0..4 {
        let (before, between, after) = (one(), other(), one());
        let took = after.wrapping_sub(before);
        if took < best {
            (best, found) = (took, (after, between));
        }
        if best < 10_000 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_lags_by_a_quantum_at_most() {
        let mut last = 0;
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 30 {
            let before = system();
            let now = now();
            let after = system();
            assert!(now <= after && now + 125_000 >= before, "{before} {now} {after}");
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn a_deadline_is_reached_after_the_time_to_live_only() {
        let start = std::time::Instant::now();
        let deadline = deadline(2_000_000);
        while now() < deadline {}
        assert!(start.elapsed().as_micros() >= 2000);
        assert!(self::deadline(u64::MAX) == u64::MAX);
    }
}
