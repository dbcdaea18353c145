//! Idle time: entries that end when nobody has used them for so long, or at their deadline.
//!
//! Ring 1. A use writes the moment at which the entry will have been idle for too long beside its deadline, so a hit
//! touches one line; and only if the moment noted is off by more than a thousandth of the idle time, so readers that share
//! a popular entry seldom write. The calendar is not told of uses: an entry that it meets and that was used since is scheduled
//! anew.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::calendar::Calendar;
use super::windows::Windows;
use super::{is_past, Instant, Lifetime};
use crate::slab::{reserve_one, Token, NIL};

/// The idle time over this is how much earlier than exactly an entry may end.
const PRECISION: u64 = 1024;

/// An entry's moments, in one cache line.
#[derive(Debug)]
#[repr(align(16))]
struct Moments {
    fresh: Instant,
    /// When it will have been idle for too long. Written by readers beside each other: one of their moments stays. Relaxed, as
    /// nothing else is learned from it; its partners are the loads of this module.
    idle_end: AtomicU64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Idle {
    /// Whether the entries have lifetimes as well.
    expires: bool,
    limit: u64,
    /// What a use must find the noted moment beyond, from now, to leave it.
    enough: u64,
    /// Indexed by token; meaningful for tokens in the cache.
    moments: Vec<Moments>,
    windows: Windows,
    /// An entry is in it at its end as known when it was scheduled, which is not after its end.
    calendar: Calendar,
}

impl Idle {
    /// `expires`: entries have lifetimes as well; else those given are ignored.
    pub fn new(limit: u64, expires: bool) -> Self {
        let enough = limit - limit / PRECISION;
        Idle { expires, limit, enough, moments: Vec::new(), windows: Windows::default(), calendar: Calendar::default() }
    }

    pub fn insert(&mut self, token: Token, lifetime: Lifetime, now: Instant, limit: usize) {
        while self.moments.len() <= token as usize {
            reserve_one(&mut self.moments, limit.saturating_add(1));
            self.moments.push(Moments { fresh: 0, idle_end: AtomicU64::new(0) });
        }
        *self.moments[token as usize].idle_end.get_mut() = now.saturating_add(self.limit);
        self.schedule(token, lifetime, limit);
    }

    pub fn remove(&mut self, token: Token) {
        self.calendar.remove(token);
    }

    /// See [`Expiration::change`](super::Expiration::change).
    pub fn change(&mut self, token: Token, lifetime: Lifetime) {
        self.calendar.remove(token);
        let limit = self.moments.len();
        self.schedule(token, lifetime, limit);
    }

    fn schedule(&mut self, token: Token, lifetime: Lifetime, limit: usize) {
        let lifetime = if self.expires { lifetime } else { Lifetime::until(Instant::MAX) };
        self.moments[token as usize].fresh = lifetime.fresh;
        self.windows.set(token, lifetime.window(), limit);
        self.calendar.push(token, self.end(token), limit);
    }

    /// The entry's moments.
    ///
    /// # Safety
    /// `token` was inserted and not removed since.
    #[inline(always)]
    unsafe fn moments(&self, token: Token) -> &Moments {
        debug_assert!((token as usize) < self.moments.len());
        // SAFETY: `insert` made room for every token it was given.
        unsafe { self.moments.get_unchecked(token as usize) }
    }

    /// Whether nobody has used the entry for too long.
    ///
    /// # Safety
    /// `token` was inserted and not removed since.
    #[inline(always)]
    pub unsafe fn is_idle(&self, token: Token, now: Instant) -> bool {
        // SAFETY: the caller's promise.
        unsafe { is_past(self.moments(token).idle_end.load(Relaxed), now) }
    }

    /// Whether the entry is no longer fresh, or has been idle for too long.
    ///
    /// # Safety
    /// As for [`is_idle`](Self::is_idle).
    #[inline(always)]
    pub unsafe fn expired(&self, token: Token, now: Instant) -> bool {
        // SAFETY: the caller's promise.
        unsafe { is_past(self.moments(token).fresh, now) || self.is_idle(token, now) }
    }

    /// Notes a use.
    ///
    /// # Safety
    /// As for [`is_idle`](Self::is_idle).
    #[inline(always)]
    pub unsafe fn used_at(&self, token: Token, now: Instant) {
        // SAFETY: the caller's promise.
        let idle_end = unsafe { &self.moments(token).idle_end };
        if idle_end.load(Relaxed) < now.saturating_add(self.enough) {
            idle_end.store(now.saturating_add(self.limit), Relaxed);
        }
    }

    /// Notes a use if the entry has not [`expired`](Self::expired); whether it was so.
    ///
    /// # Safety
    /// As for [`is_idle`](Self::is_idle).
    #[inline(always)]
    pub unsafe fn use_if_fresh(&self, token: Token, now: Instant) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let is_fresh = !self.expired(token, now);
            if is_fresh {
                self.used_at(token, now);
            }
            is_fresh
        }
    }

    pub fn lifetime(&self, token: Token) -> Lifetime {
        let fresh = self.moments[token as usize].fresh;
        Lifetime { fresh, end: fresh.saturating_add(self.windows.get(token)) }
    }

    /// When the entry ends if nobody uses it.
    pub fn end(&self, token: Token) -> Instant {
        self.lifetime(token).end.min(self.moments[token as usize].idle_end.load(Relaxed))
    }

    /// See [`Expiration::next_ended`](super::Expiration::next_ended).
    pub fn next_ended(&mut self, now: Instant) -> Token {
        while let Some((token, at)) = self.calendar.next(now) {
            let end = self.end(token);
            if end <= at {
                return token;
            }
            self.calendar.remove(token);
            self.calendar.push(token, end, self.moments.len());
        }
        NIL
    }

    pub fn clear(&mut self) {
        *self = Idle::new(self.limit, self.expires);
    }

    pub fn validate(&self) {
        self.calendar.validate(|token, at| assert!(at <= self.end(token)));
    }
}
