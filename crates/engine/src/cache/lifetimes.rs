//! How long an entry is worth what: expired, stale, idle; and what a use of it notes.
//!
//! Ring 1. On the hit path: [`Cache::expired`] in caches without an idle time, [`Cache::use_if_fresh`] in those with one.

use super::Cache;
use crate::expiration::{Expiration, Expires, Freshness, Idle, Instant, Lifetime};
use crate::slab::Token;

impl<K, V> Cache<K, V> {
    /// Whether the published entry is no longer fresh at `now`, or has been idle for too long. Always false in a cache
    /// whose entries have neither.
    ///
    /// # Safety
    /// `token` names a published entry.
    #[inline(always)]
    pub unsafe fn expired(&self, token: Token, now: Instant) -> bool {
        // One question where entries have deadlines and nothing else.
        if let Expiration::Deadlines(deadlines) = &self.expiration {
            // SAFETY: `publish` inserts the token, and only what ends the entry removes it.
            unsafe { deadlines.expired(token, now) }
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.expired_or_idle_far(token, now) }
        }
    }

    /// [`expired_or_idle`](Self::expired_or_idle), as a call of its own: it takes no room in the hit path of caches without an
    /// idle time.
    ///
    /// # Safety
    /// As for [`expired`](Self::expired).
    #[cold]
    #[inline(never)]
    unsafe fn expired_or_idle_far(&self, token: Token, now: Instant) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.expired_or_idle(token, now) }
    }

    #[inline(always)]
    fn idle(&self) -> Option<&Idle> {
        match &self.expiration {
            Expiration::Idle(idle) => Some(idle),
            _ => None,
        }
    }

    /// [`expired`](Self::expired), for caches with an idle time; in others false.
    ///
    /// # Safety
    /// As for `expired`.
    #[inline(always)]
    pub unsafe fn expired_or_idle(&self, token: Token, now: Instant) -> bool {
        // SAFETY: as in `expired`.
        self.idle().is_some_and(|idle| unsafe { idle.expired(token, now) })
    }

    /// Whether the published entry has been idle for too long at `now`; it may have other reasons to have ended.
    ///
    /// # Safety
    /// As for [`expired`](Self::expired).
    #[inline(always)]
    pub unsafe fn idle_expired(&self, token: Token, now: Instant) -> bool {
        // SAFETY: as in `expired`.
        self.idle().is_some_and(|idle| unsafe { idle.is_idle(token, now) })
    }

    /// Notes that a published entry was used at `now`, in a cache with an idle time. Many readers may do so at the same time. The
    /// policy is told by [`hit`](Self::hit).
    ///
    /// # Safety
    /// As for [`expired`](Self::expired).
    #[inline(always)]
    pub unsafe fn used_at(&self, token: Token, now: Instant) {
        if let Some(idle) = self.idle() {
            // SAFETY: as in `expired`.
            unsafe { idle.used_at(token, now) };
        }
    }

    /// The hit path of a cache with an idle time: notes a use, as [`used_at`](Self::used_at) does, unless the published entry has
    /// [`expired`](Self::expired). Whether it has not. In a cache without an idle time false, and nothing is noted.
    ///
    /// # Safety
    /// As for `expired`.
    #[inline(always)]
    pub unsafe fn use_if_fresh(&self, token: Token, now: Instant) -> bool {
        // SAFETY: as in `expired`.
        self.idle().is_some_and(|idle| unsafe { idle.use_if_fresh(token, now) })
    }

    /// Whether entries have lifetimes.
    pub fn has_deadlines(&self) -> bool {
        self.features.expires != Expires::No
    }

    /// How long an entry may be idle, where that is bounded.
    pub fn idle_limit(&self) -> Option<u64> {
        self.features.idle
    }

    /// What the published entry is worth at `now`.
    pub fn freshness(&self, token: Token, now: Instant) -> Freshness {
        self.expiration.freshness(token, now)
    }

    /// The lifetime that the published entry was given; without an end where entries have none.
    pub fn lifetime(&self, token: Token) -> Lifetime {
        self.expiration.lifetime(token)
    }

    /// When the published entry ends if nobody uses it: its lifetime's end, or earlier if it will have been idle for too long.
    pub fn end(&self, token: Token) -> Instant {
        self.expiration.end(token)
    }

    /// Gives a published entry another lifetime, which is no use of it. Nothing happens in a cache whose entries have none.
    pub fn set_lifetime(&mut self, token: Token, lifetime: Lifetime) {
        let slots = self.slots();
        self.expiration.change(token, lifetime, slots);
    }
}
