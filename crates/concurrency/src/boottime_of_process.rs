//! The names of `boottime` where no clock is the machine's: time since this process first asked, which no other one shares.

/// Nanoseconds since this process first asked.
pub fn now() -> u64 {
    crate::clock::system()
}

/// Not 0: deadlines are this process's own.
pub fn identity() -> u64 {
    u64::from(std::process::id()) + 1
}

/// [`identity`].
pub fn known_identity() -> u64 {
    identity()
}

/// Zeros: it cannot be read.
pub fn boot_id() -> [u64; 2] {
    [0, 0]
}
