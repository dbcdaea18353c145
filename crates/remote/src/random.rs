//! Random bytes from the system: a fork's child never repeats its parent's.

use ring::rand::{SecureRandom, SystemRandom};

/// Fills the bytes. Panics if the system has no random numbers, as the standard library's hash maps do.
pub fn fill(bytes: &mut [u8]) {
    SystemRandom::new().fill(bytes).expect("the system's random numbers");
}

pub fn u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}
