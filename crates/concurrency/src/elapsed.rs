//! How long something took, at the price of two readings of the processor's time-stamp counter.
//!
//! Ring 2. Ticks are added up and become time when somebody asks: the counter's rate is measured against the system clock over
//! the life of the process. Where the counter is of no use, ticks are nanoseconds of the system clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::time_stamp;

/// A moment of the counter, and the same of the system clock.
static ORIGIN: OnceLock<(u64, Instant)> = OnceLock::new();

fn origin() -> (u64, Instant) {
    *ORIGIN.get_or_init(|| (time_stamp::read(), Instant::now()))
}

/// A moment at which something began.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(u64);

impl Stopwatch {
    #[inline(always)]
    pub fn start() -> Self {
        Stopwatch(reading())
    }

    /// How long ago that was, in ticks.
    #[inline(always)]
    pub fn ticks(self) -> u64 {
        // Counters of two cores may differ by little.
        (reading().wrapping_sub(self.0) as i64).max(0) as u64
    }

    /// The time that so many ticks take.
    pub fn time(ticks: u64) -> Duration {
        if !time_stamp::is_invariant() {
            return Duration::from_nanos(ticks);
        }
        let (first, began) = origin();
        // A rate needs a while to be measured in.
        while began.elapsed() < Duration::from_millis(1) {
            std::hint::spin_loop();
        }
        let passed = time_stamp::read().wrapping_sub(first).max(1);
        Duration::from_secs_f64(began.elapsed().as_secs_f64() * ticks as f64 / passed as f64)
    }
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
    origin().1.elapsed().as_nanos() as u64
}

/// Begins to measure the counter's rate.
pub fn install() {
    origin();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_time() {
        install();
        let (watch, clock) = (Stopwatch::start(), Instant::now());
        std::thread::sleep(Duration::from_millis(30));
        let (took, real) = (Stopwatch::time(watch.ticks()), clock.elapsed());
        assert!(took.abs_diff(real) < real / 10 + Duration::from_millis(2), "{took:?} {real:?}");
    }
}
