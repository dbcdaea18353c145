//! Weights: how heavy each entry is, and how heavy all may be.
//!
//! Ring 1. It keeps the accounts; who has to leave is the policy's to say.

use crate::slab::{reserve_one, Token};

/// How many entries a cache that knows its bound only as a weight is taken to have room for at first.
const FIRST_ROOM: usize = 16;

/// The weights of a cache's entries.
#[derive(Debug)]
pub struct Weights {
    /// Indexed by token; 0 for tokens of no published entry.
    of: Vec<u64>,
    /// The sum; never more than `max`.
    total: u64,
    max: u64,
    /// How many entries fit, about.
    room: usize,
}

impl Weights {
    pub fn new(max: u64, capacity: usize) -> Self {
        Weights { of: Vec::new(), total: 0, max, room: capacity.min(FIRST_ROOM) }
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    #[inline]
    pub fn get(&self, token: Token) -> u64 {
        self.of.get(token as usize).copied().unwrap_or(0)
    }

    /// Whether there is room for `new` in the place of what weighs `old`, which is in.
    #[inline]
    pub fn has_room(&self, old: u64, new: u64) -> bool {
        new <= self.max - (self.total - old)
    }

    /// Notes the weight of an entry, for which there is room. O(1) amortized.
    pub fn set(&mut self, token: Token, weight: u64, limit: usize) {
        while self.of.len() <= token as usize {
            reserve_one(&mut self.of, limit.saturating_add(1));
            self.of.push(0);
        }
        let old = std::mem::replace(&mut self.of[token as usize], weight);
        debug_assert!(self.has_room(old, weight));
        self.total = self.total - old + weight;
    }

    /// Forgets an entry; nothing happens if it is not known.
    pub fn remove(&mut self, token: Token) {
        if let Some(weight) = self.of.get_mut(token as usize) {
            self.total -= std::mem::take(weight);
        }
    }

    /// How many entries fit, about. A policy shares out its cache by it.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Tells how many entries there are: `is_full`, if more would not fit. Returns how many fit where that is known to be
    /// otherwise by more than an eighth, so that this costs O(1) amortized if a change is made in O(n).
    pub fn learn(&mut self, entries: usize, is_full: bool) -> Option<usize> {
        let near = self.room / 8;
        let is_off = entries > self.room + near || (is_full && entries + near < self.room && entries > 0);
        is_off.then(|| {
            self.room = entries;
            entries
        })
    }

    pub fn clear(&mut self) {
        *self = Weights { of: Vec::new(), total: 0, ..*self };
    }

    pub fn validate(&self) {
        assert_eq!(self.of.iter().sum::<u64>(), self.total);
        assert!(self.total <= self.max);
    }
}
