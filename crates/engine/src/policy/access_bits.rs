//! A byte for each entry that counts its uses up to a few, and that many readers may raise at the same time.
//!
//! Ring 1. What a hit of SIEVE and S3-FIFO writes: nothing once the byte stands at its most. So readers of a hot entry
//! share its cache line instead of taking it from each other.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::slab::{reserve_one, Token};

/// The uses of each entry, counted up to `MAX_FREQ`.
#[derive(Debug, Default)]
pub struct AccessBits<const MAX_FREQ: u8> {
    /// Indexed by token. Relaxed and without a partner: a mark says nothing of other memory, two readers that raise it at
    /// once may count as one, and whoever has `&mut` has excluded them by a lock that orders their writes before.
    uses: Vec<AtomicU8>,
}

impl<const MAX_FREQ: u8> Clone for AccessBits<MAX_FREQ> {
    fn clone(&self) -> Self {
        AccessBits { uses: self.uses.iter().map(|uses| AtomicU8::new(uses.load(Ordering::Relaxed))).collect() }
    }
}

impl<const MAX_FREQ: u8> AccessBits<MAX_FREQ> {
    /// Makes room for `token`, with no uses. O(1) amortized.
    pub fn admit(&mut self, token: Token, limit: usize) {
        while self.uses.len() <= token as usize {
            reserve_one(&mut self.uses, limit.saturating_add(1));
            self.uses.push(AtomicU8::new(0));
        }
        self.set(token, 0);
    }

    /// Counts a use.
    ///
    /// # Safety
    /// There is room for `token`.
    #[inline(always)]
    pub unsafe fn increment(&self, token: Token) {
        debug_assert!((token as usize) < self.uses.len());
        // SAFETY: the caller's promise; room is never taken away.
        let uses = unsafe { self.uses.get_unchecked(token as usize) };
        let seen = uses.load(Ordering::Relaxed);
        if seen < MAX_FREQ {
            uses.store(seen + 1, Ordering::Relaxed);
        }
    }

    pub fn get(&mut self, token: Token) -> u8 {
        *self.uses[token as usize].get_mut()
    }

    pub fn set(&mut self, token: Token, uses: u8) {
        *self.uses[token as usize].get_mut() = uses;
    }
}
