//! How long something took, at the price of two readings of the processor's time-stamp counter.
//!
//! Ring 2. Ticks become time by the counter's rate, which is measured against the system clock, and again each time that the
//! process has become twice as old. Where the counter is of no use, ticks are nanoseconds of the system clock, which is the
//! machine's in any time namespace: one that goes back as a process enters another would be of no use either.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

use crate::clock::{at_one_moment, system};
use crate::time_stamp;
use engine::expiration::Instant;

/// A moment of the counter, and the same of the system clock.
static ORIGIN: OnceLock<(u64, Instant)> = OnceLock::new();

/// Nanoseconds of a tick, as the bits of an `f64`, and over how many ticks they were measured; 0 = not yet.
static RATE: AtomicU64 = AtomicU64::new(0);
static MEASURED_OVER: AtomicU64 = AtomicU64::new(0);

/// Nanoseconds over which a rate is measured at least, and more ticks than pass in them.
const WHILE: u64 = 1_000_000;
const MOST_TICKS: i64 = 20_000_000;

fn origin() -> (u64, Instant) {
    *ORIGIN.get_or_init(moment)
}

fn moment() -> (u64, Instant) {
    at_one_moment(time_stamp::read, system)
}

/// A moment at which something began.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(u64);

impl Stopwatch {
    #[inline(always)]
    pub fn start() -> Self {
        Stopwatch(reading())
    }

    /// One as `mark` gave it.
    pub fn of(mark: u64) -> Self {
        Stopwatch(mark)
    }

    /// The moment as a number, for `of`.
    pub fn mark(self) -> u64 {
        self.0
    }

    /// How long ago that was, in ticks.
    #[inline(always)]
    pub fn ticks(self) -> u64 {
        // Counters of two cores may differ by little.
        (reading().wrapping_sub(self.0) as i64).max(0) as u64
    }

    /// The nanoseconds that so many ticks take.
    pub fn nanoseconds(ticks: u64) -> u64 {
        if time_stamp::EXISTS && time_stamp::is_invariant() {
            (ticks as f64 * rate()) as u64
        } else {
            ticks
        }
    }
}

fn rate() -> f64 {
    // Acquire: pairs with the release in `measure`, so that there is a rate.
    let over = MEASURED_OVER.load(Ordering::Acquire);
    // (A counter that was set back, by a suspend, has a rate all the same.)
    let passed = time_stamp::read().wrapping_sub(origin().0) as i64;
    if over == 0 || passed / 2 > over as i64 {
        return measure();
    }
    // Relaxed: each that was measured is right, a later one is only closer.
    f64::from_bits(RATE.load(Ordering::Relaxed))
}

#[cold]
#[inline(never)]
fn measure() -> f64 {
    let (first, began) = origin();
    let (mut passed, mut elapsed) = (0, 0);
    // A rate needs a while to be measured in: a millisecond, or as many ticks as surely take one, should the clock stand still.
    while elapsed < WHILE && passed < MOST_TICKS {
        let (ticks, now) = moment();
        passed = (ticks.wrapping_sub(first) as i64).max(1);
        elapsed = now.saturating_sub(began);
    }
    let rate = elapsed as f64 / passed as f64;
    RATE.store(rate.to_bits(), Ordering::Relaxed);
    // Release: pairs with the acquire in `rate`.
    MEASURED_OVER.store(passed as u64, Ordering::Release);
    rate
}

#[inline(always)]
fn reading() -> u64 {
    if time_stamp::EXISTS && time_stamp::is_invariant() {
        time_stamp::read()
    } else {
        system_reading()
    }
}

/// Not inlined: it would swell the frame that stands on the stack while a function computes.
#[cold]
#[inline(never)]
fn system_reading() -> u64 {
    system().saturating_sub(origin().1)
}

/// Begins to measure the counter's rate.
pub fn install() {
    origin();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ticks_are_time() {
        install();
        let (watch, clock) = (Stopwatch::start(), std::time::Instant::now());
        std::thread::sleep(Duration::from_millis(30));
        let (took, real) = (Duration::from_nanos(Stopwatch::nanoseconds(watch.ticks())), clock.elapsed());
        assert!(took.abs_diff(real) < real / 10 + Duration::from_millis(2), "{took:?} {real:?}");
    }

    #[test]
    fn the_rate_is_one_for_all_lengths() {
        install();
        for ticks in [1u64 << 20, 1 << 30, 1 << 40] {
            let (one, two) = (Stopwatch::nanoseconds(ticks), Stopwatch::nanoseconds(2 * ticks));
            assert!(one > 0 && two.abs_diff(2 * one) <= one / 10, "{ticks}: {one} {two}");
        }
    }
}
