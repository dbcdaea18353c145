//! The clock of memory caches, stopped and moved by tests: for `warp_cache.testing`.
//!
//! Ring 3.

use pyo3::prelude::*;

use concurrency::clock;

/// Stops the clock.
#[pyfunction]
pub fn _clock_stop() {
    clock::stop();
}

/// Moves the clock, which stands still, by so many nanoseconds.
#[pyfunction]
pub fn _clock_advance(nanos: u64) {
    clock::advance(nanos);
}

/// Lets the clock go on from where it stands.
#[pyfunction]
pub fn _clock_go_on() {
    clock::go_on();
}

/// The clock, in nanoseconds.
#[pyfunction]
pub fn _clock_now() -> u64 {
    clock::exact()
}
