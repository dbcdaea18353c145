//! Deadlines: lifetimes that uses do not change.
//!
//! Ring 1. An entry stores its deadline, not its birth. In a cache of one lifetime the entries hang in a list sorted by their
//! ends; a new one is placed from the latest end, which is O(1) while all lifetimes are equal. In a cache of varied
//! lifetimes they are in a [`Calendar`].

use super::calendar::Calendar;
use super::windows::Windows;
use super::{is_past, Instant, Lifetime};
use crate::linked_list::List;
use crate::slab::{reserve_one, Token, NIL};

/// See the module's documentation.
#[derive(Debug)]
pub struct Deadlines {
    /// Until when each entry is fresh. Indexed by token; meaningful for tokens in the cache.
    fresh: Vec<Instant>,
    windows: Windows,
    schedule: Schedule,
}

/// How the next entry that ends is found.
#[derive(Debug)]
enum Schedule {
    /// The latest end in front.
    Line(List),
    Calendar(Calendar),
}

impl Deadlines {
    pub fn of_one_lifetime() -> Self {
        Deadlines { fresh: Vec::new(), windows: Windows::default(), schedule: Schedule::Line(List::default()) }
    }

    pub fn of_varied_lifetimes() -> Self {
        Deadlines { fresh: Vec::new(), windows: Windows::default(), schedule: Schedule::Calendar(Calendar::default()) }
    }

    #[inline]
    pub fn insert(&mut self, token: Token, lifetime: Lifetime, limit: usize) {
        while self.fresh.len() <= token as usize {
            reserve_one(&mut self.fresh, limit.saturating_add(1));
            self.fresh.push(0);
        }
        self.fresh[token as usize] = lifetime.fresh;
        self.windows.set(token, lifetime.window(), limit);
        match &mut self.schedule {
            Schedule::Calendar(calendar) => calendar.push(token, lifetime.end, limit),
            Schedule::Line(list) => {
                let latest = list.front(0);
                if latest == NIL || end(&self.fresh, &self.windows, latest) <= lifetime.end {
                    return list.push_front(0, token, limit);
                }
                let mut before = latest;
                let mut at = list.after(latest);
                while at != NIL && end(&self.fresh, &self.windows, at) > lifetime.end {
                    before = at;
                    at = list.after(at);
                }
                list.insert_after(before, token, limit);
            }
        }
    }

    /// Gives an entry another lifetime.
    pub fn renew(&mut self, token: Token, lifetime: Lifetime, limit: usize) {
        self.remove(token);
        self.insert(token, lifetime, limit);
    }

    #[inline(always)]
    pub fn remove(&mut self, token: Token) {
        match &mut self.schedule {
            Schedule::Line(list) => list.remove(token),
            Schedule::Calendar(calendar) => calendar.remove(token),
        }
    }

    /// Whether the entry is no longer fresh.
    ///
    /// # Safety
    /// `token` was inserted and not removed since.
    #[inline(always)]
    pub unsafe fn expired(&self, token: Token, now: Instant) -> bool {
        debug_assert!((token as usize) < self.fresh.len());
        // SAFETY: `insert` made room for the deadline of every token it was given.
        unsafe { is_past(*self.fresh.get_unchecked(token as usize), now) }
    }

    pub fn lifetime(&self, token: Token) -> Lifetime {
        let fresh = self.fresh[token as usize];
        Lifetime { fresh, end: end(&self.fresh, &self.windows, token) }
    }

    /// See [`Expiration::next_ended`](super::Expiration::next_ended).
    #[inline(always)]
    pub fn next_ended(&mut self, now: Instant) -> Token {
        match &mut self.schedule {
            Schedule::Line(list) => {
                let earliest = list.back(0);
                if earliest != NIL && is_past(end(&self.fresh, &self.windows, earliest), now) {
                    earliest
                } else {
                    NIL
                }
            }
            Schedule::Calendar(calendar) => calendar.next(now).map_or(NIL, |(token, _)| token),
        }
    }

    pub fn clear(&mut self) {
        *self = match self.schedule {
            Schedule::Line(_) => Self::of_one_lifetime(),
            Schedule::Calendar(_) => Self::of_varied_lifetimes(),
        };
    }

    pub fn validate(&self) {
        match &self.schedule {
            Schedule::Calendar(calendar) => calendar.validate(|token, at| assert_eq!(self.lifetime(token).end, at)),
            Schedule::Line(list) => {
                list.validate();
                let ends: Vec<_> = list.iter(0).map(|token| self.lifetime(token).end).collect();
                assert!(ends.windows(2).all(|w| w[0] >= w[1]), "deadlines are not sorted");
            }
        }
    }
}

/// The end of an entry that is fresh until `fresh[token]`.
#[inline(always)]
fn end(fresh: &[Instant], windows: &Windows, token: Token) -> Instant {
    fresh[token as usize].saturating_add(windows.get(token))
}
