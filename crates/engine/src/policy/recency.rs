//! LRU, MRU and FIFO: one list in the order of uses or of coming, and one of its ends gives way.
//!
//! LRU is the default, and right wherever what was used lately will be used again: a hit moves its entry to the front, and
//! the entry whose last use is longest ago leaves. MRU evicts the entry used last. It is for cyclic scans over more than
//! fits (Chou & DeWitt, VLDB 1985): there LRU never hits, and MRU keeps a part of the cycle. The victim is chosen before the
//! new entry is in, so a new entry never evicts itself. FIFO evicts the oldest entry, however often it was used; its hit
//! writes nothing.

use super::{HitEffect, Policy};
use crate::linked_list::List;
use crate::slab::Token;

/// Least recently used.
pub type Lru = Recency<true, false>;
/// Most recently used.
pub type Mru = Recency<true, true>;
/// First in, first out.
pub type Fifo = Recency<false, false>;

/// A policy whose order is one list, the latest in front. `HIT_MOVES`: a hit makes its entry the latest; else it writes
/// nothing. `LATEST_LEAVES`: the latest entry gives way, else the earliest.
#[derive(Clone, Debug, Default)]
pub struct Recency<const HIT_MOVES: bool, const LATEST_LEAVES: bool>(List);

impl<const HIT_MOVES: bool, const LATEST_LEAVES: bool> Policy for Recency<HIT_MOVES, LATEST_LEAVES> {
    const HIT: HitEffect = if HIT_MOVES { HitEffect::Exclusive } else { HitEffect::None };

    fn new(_capacity: usize) -> Self {
        Self::default()
    }

    fn insert(&mut self, token: Token, _hash: u64, limit: usize) {
        self.0.push_front(0, token, limit);
    }

    #[inline(always)]
    unsafe fn hit(&mut self, token: Token) {
        if HIT_MOVES {
            // SAFETY: an inserted token is in the list until it is removed.
            unsafe { self.0.move_to_front(0, token) }
        }
    }

    #[inline(always)]
    unsafe fn renew(&mut self, token: Token, _left: u64, _came: u64) {
        // A latest entry that leaves is in front already.
        if !LATEST_LEAVES {
            // SAFETY: an inserted token is in the list until it is removed.
            unsafe { self.0.move_to_front(0, token) }
        }
    }

    fn remove(&mut self, token: Token) {
        self.0.remove(token);
    }

    #[inline(always)]
    fn victim(&mut self) -> Token {
        if LATEST_LEAVES {
            self.0.front(0)
        } else {
            self.0.back(0)
        }
    }

    fn victim_beside(&mut self, kept: Token) -> Token {
        match self.victim() {
            victim if victim != kept => victim,
            _ if LATEST_LEAVES => self.0.after(kept),
            _ => self.0.before(kept),
        }
    }

    fn validate(&self) {
        self.0.validate();
    }
}
