//! Whole hashes: the upper halves, for strategies that know keys after they have left.
//!
//! Ring 1. A slot keeps the lower half of its key's hash, which is all that a lookup needs. Among a million keys some share
//! it; to be taken for a key that has left, all 64 bits must agree.

use crate::slab::{reserve_one, Token};

/// The upper half of each entry's hash.
#[derive(Debug, Default)]
pub struct UpperHashes {
    /// Indexed by token.
    upper: Vec<u32>,
}

impl UpperHashes {
    /// Notes the hash of an entry. O(1) amortized.
    #[inline(always)]
    pub fn set(&mut self, token: Token, hash: u64, limit: usize) {
        while self.upper.len() <= token as usize {
            reserve_one(&mut self.upper, limit.saturating_add(1));
            self.upper.push(0);
        }
        self.upper[token as usize] = (hash >> 32) as u32;
    }

    /// The whole hash of an entry whose lower half is `lower`.
    #[inline(always)]
    pub fn whole(&self, token: Token, lower: u32) -> u64 {
        u64::from(self.upper[token as usize]) << 32 | u64::from(lower)
    }
}
