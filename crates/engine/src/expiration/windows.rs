//! For how long each entry is stale before it ends.
//!
//! Ring 1. Most caches have no such entry: the array begins with the first one.

use crate::slab::{reserve_one, Token};

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Windows {
    /// Indexed by token; beyond the end, 0.
    of: Vec<u64>,
}

impl Windows {
    #[inline(always)]
    pub fn get(&self, token: Token) -> u64 {
        self.of.get(token as usize).copied().unwrap_or(0)
    }

    /// O(1) amortized.
    #[inline(always)]
    pub fn set(&mut self, token: Token, window: u64, limit: usize) {
        match self.of.get_mut(token as usize) {
            Some(own) => *own = window,
            None if window == 0 => (),
            None => self.extend(token, window, limit),
        }
    }

    #[cold]
    fn extend(&mut self, token: Token, window: u64, limit: usize) {
        while self.of.len() <= token as usize {
            reserve_one(&mut self.of, limit.saturating_add(1));
            self.of.push(0);
        }
        self.of[token as usize] = window;
    }
}
