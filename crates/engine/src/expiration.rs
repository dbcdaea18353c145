//! Deadlines: which entries have outlived their time, the earliest first.
//!
//! Ring 1. An entry stores its deadline, not its birth, so entries may have lifetimes of their own. They hang in a list
//! sorted by deadline; a new one is placed from the latest end, which is O(1) while all lifetimes are equal. Only caches
//! with a TTL have one of these.

use crate::linked_list::List;
use crate::slab::{reserve_one, Token, NIL};

/// A point in time, in nanoseconds of whatever clock the owner uses.
pub type Instant = u64;

/// The deadline of an entry that is stored now and lives for `ttl` nanoseconds. One beyond the end of time is never reached.
#[inline(always)]
pub fn deadline(now: Instant, ttl: u64) -> Instant {
    now.saturating_add(ttl)
}

/// Whether an entry has expired, and so is absent: its deadline is not after `now`.
#[inline(always)]
pub fn is_past(deadline: Instant, now: Instant) -> bool {
    deadline <= now
}

#[derive(Debug, Default)]
pub struct Expiration {
    /// Indexed by token; meaningful for tokens in the list.
    deadlines: Vec<Instant>,
    /// Latest deadline in front.
    list: List,
}

impl Expiration {
    pub fn insert(&mut self, token: Token, deadline: Instant, limit: usize) {
        while self.deadlines.len() <= token as usize {
            reserve_one(&mut self.deadlines, limit.saturating_add(1));
            self.deadlines.push(0);
        }
        self.deadlines[token as usize] = deadline;
        let mut before = NIL;
        let mut at = self.list.front(0);
        while at != NIL && self.deadlines[at as usize] > deadline {
            before = at;
            at = self.list.after(at);
        }
        match before {
            NIL => self.list.push_front(0, token, limit),
            _ => self.list.insert_after(before, token, limit),
        }
    }

    pub fn remove(&mut self, token: Token) {
        self.list.remove(token);
    }

    /// Whether the entry has expired ([`is_past`]).
    ///
    /// # Safety
    /// `token` was inserted and not removed since.
    #[inline(always)]
    pub unsafe fn expired(&self, token: Token, now: Instant) -> bool {
        debug_assert!(self.list.contains(token));
        // SAFETY: `insert` made room for the deadline of every token it was given.
        unsafe { is_past(*self.deadlines.get_unchecked(token as usize), now) }
    }

    /// An entry that has expired at `now`, the earliest first, or `NIL`.
    pub fn next_expired(&self, now: Instant) -> Token {
        let earliest = self.list.back(0);
        if earliest != NIL && is_past(self.deadlines[earliest as usize], now) {
            earliest
        } else {
            NIL
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn validate(&self) {
        self.list.validate();
        let times: Vec<_> = self.list.iter(0).map(|t| self.deadlines[t as usize]).collect();
        assert!(times.windows(2).all(|w| w[0] >= w[1]), "deadlines are not sorted");
    }
}
