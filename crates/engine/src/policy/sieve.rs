//! SIEVE: the entries that nobody has used since the hand last came by give way, in the order of their insertion.
//!
//! Zhang, Yang, Yue, Vigfusson & Rashmi, "SIEVE is simpler than LRU" (NSDI '24). Entries stand in a queue by insertion and
//! never move. A hand goes from the oldest to the newest and round again: an entry with a mark loses it and is passed, the
//! first one without leaves. So a new entry is judged soon after it came, while the old and popular ones are not
//! disturbed. A hit sets the mark, which it mostly finds set.

use super::{HitEffect, Policy};
use crate::linked_list::List;
use crate::policy::access_bits::AccessBits;
use crate::slab::{Token, NIL};

#[derive(Clone, Debug, Default)]
pub struct Sieve {
    /// The newest in front.
    queue: List,
    marks: AccessBits<1>,
    /// Where the search for a victim goes on; [`NIL`]: at the oldest.
    hand: Token,
}

impl Sieve {
    /// The hand leaves `token`, if it is there, towards the newer entries.
    fn lift_hand(&mut self, token: Token) {
        if self.hand == token {
            self.hand = self.queue.before(token);
        }
    }

    /// The hand goes to the next newer entry, after the newest to the oldest.
    #[inline(always)]
    fn advance(&mut self) {
        self.hand = match self.queue.before(self.hand) {
            NIL => self.queue.back(0),
            newer => newer,
        };
    }
}

impl Policy for Sieve {
    const HIT: HitEffect = HitEffect::Shared;

    fn new(_capacity: usize) -> Self {
        Self::default()
    }

    fn insert(&mut self, token: Token, _hash: u64, limit: usize) {
        self.queue.push_front(0, token, limit);
        self.marks.admit(token, limit);
    }

    #[inline(always)]
    unsafe fn mark(&self, token: Token) {
        // SAFETY: `insert` made room for the token.
        unsafe { self.marks.increment(token) }
    }

    unsafe fn renew(&mut self, token: Token, _left: u64, _came: u64) {
        self.lift_hand(token);
        // SAFETY: an inserted token is in the queue until it is removed.
        unsafe { self.queue.move_to_front(0, token) };
        self.marks.set(token, 0);
    }

    fn remove(&mut self, token: Token) {
        if self.queue.contains(token) {
            self.lift_hand(token);
            self.queue.remove(token);
        }
    }

    /// O(1) amortized: every mark taken away was set by a hit.
    fn victim(&mut self) -> Token {
        if self.hand == NIL {
            self.hand = self.queue.back(0);
        }
        // Ends within two rounds: the first takes every mark away.
        while self.hand != NIL && self.marks.get(self.hand) != 0 {
            self.marks.set(self.hand, 0);
            self.advance();
        }
        self.hand
    }

    /// The hand passes `kept`.
    fn victim_beside(&mut self, kept: Token) -> Token {
        while self.victim() == kept {
            self.advance();
            if self.hand == kept {
                return NIL;
            }
        }
        self.hand
    }

    fn validate(&self) {
        self.queue.validate();
        assert!(self.hand == NIL || self.queue.contains(self.hand));
    }
}
