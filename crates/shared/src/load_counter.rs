//! What is counted of computations, in the file's counters.
//!
//! Their order is the order of the counters in the file, so a change of it is one of the layout.

/// See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum LoadCounter {
    /// Computations that have ended.
    Loads = 0,
    /// Those of them that raised.
    Failures,
    /// The nanoseconds that they took, all together.
    Nanoseconds,
    /// Calls that got a value which was no longer fresh.
    StaleHits,
    /// Computations that were begun while there was a value.
    Refreshes,
}

impl LoadCounter {
    pub const COUNT: usize = 5;
    pub const ALL: [LoadCounter; LoadCounter::COUNT] = [
        LoadCounter::Loads,
        LoadCounter::Failures,
        LoadCounter::Nanoseconds,
        LoadCounter::StaleHits,
        LoadCounter::Refreshes,
    ];
}
