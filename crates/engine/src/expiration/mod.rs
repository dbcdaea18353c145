//! Expiration: until when each entry is fresh, when it ends, and which entries have ended.
//!
//! Ring 1. An entry has two moments. Until `fresh` a hit is plain; at `end`, which is not earlier, it is gone. Between the two
//! it is stale: there, for an owner that has a use for it. [`deadlines`] is for caches whose entries have only these,
//! [`idle`] for caches whose entries end as well when nobody has used them for some time. Both know the entries that have
//! ended by a line or by a [`calendar`].

mod calendar;
mod deadlines;
mod heap;
mod idle;
mod node;
mod windows;

pub use deadlines::Deadlines;
pub use idle::Idle;

use crate::slab::{Token, NIL};

/// A point in time, in nanoseconds of whatever clock the owner uses. The last one is never reached.
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

/// The two moments of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Until then a hit is plain.
    pub fresh: Instant,
    /// Until then the entry is there; not before `fresh`.
    pub end: Instant,
}

impl Lifetime {
    /// The lifetime of an entry that is never stale.
    #[inline(always)]
    pub const fn until(deadline: Instant) -> Self {
        Lifetime { fresh: deadline, end: deadline }
    }

    /// How long the entry is stale.
    #[inline(always)]
    fn window(self) -> u64 {
        self.end.saturating_sub(self.fresh)
    }
}

/// What an entry is worth at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// A hit is plain.
    Fresh,
    /// The entry is there, and no longer fresh.
    Stale,
    /// The entry is absent for every lookup.
    Ended,
}

/// Whether the entries of a cache have lifetimes, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expires {
    /// None has.
    #[default]
    No,
    /// All have the same, or nearly.
    OneLifetime,
    /// Each has its own.
    Varied,
}

/// The lifetimes of a cache's entries.
#[derive(Debug)]
pub enum Expiration {
    /// There are none.
    Never,
    Deadlines(Deadlines),
    Idle(Idle),
}

impl Expiration {
    /// `idle`: an entry that was not used for so long has ended.
    pub fn new(expires: Expires, idle: Option<u64>) -> Self {
        match (expires, idle) {
            (_, Some(limit)) => Expiration::Idle(Idle::new(limit, expires != Expires::No)),
            (Expires::No, None) => Expiration::Never,
            (Expires::OneLifetime, None) => Expiration::Deadlines(Deadlines::of_one_lifetime()),
            (Expires::Varied, None) => Expiration::Deadlines(Deadlines::of_varied_lifetimes()),
        }
    }

    #[inline(always)]
    pub fn is_never(&self) -> bool {
        matches!(self, Expiration::Never)
    }

    /// Notes the lifetime of an entry that has none yet. `now` counts as a use. `limit` is the largest token expected; it only
    /// shapes growth.
    #[inline(always)]
    pub fn insert(&mut self, token: Token, lifetime: Lifetime, now: Instant, limit: usize) {
        match self {
            Expiration::Never => (),
            Expiration::Deadlines(deadlines) => deadlines.insert(token, lifetime, limit),
            Expiration::Idle(idle) => idle.insert(token, lifetime, now, limit),
        }
    }

    /// Forgets an entry; nothing happens if it is not known.
    #[inline(always)]
    pub fn remove(&mut self, token: Token) {
        match self {
            Expiration::Never => (),
            Expiration::Deadlines(deadlines) => deadlines.remove(token),
            Expiration::Idle(idle) => idle.remove(token),
        }
    }

    /// Notes the lifetime of a new entry in the place of one that has left.
    #[inline]
    pub fn renew(&mut self, token: Token, lifetime: Lifetime, now: Instant, limit: usize) {
        match self {
            Expiration::Never => (),
            Expiration::Deadlines(deadlines) => deadlines.renew(token, lifetime, limit),
            Expiration::Idle(idle) => {
                idle.remove(token);
                idle.insert(token, lifetime, now, limit);
            }
        }
    }

    /// Gives an entry that has a lifetime another one, which is no use of it.
    pub fn change(&mut self, token: Token, lifetime: Lifetime, limit: usize) {
        match self {
            Expiration::Never => (),
            Expiration::Deadlines(deadlines) => deadlines.renew(token, lifetime, limit),
            Expiration::Idle(idle) => idle.change(token, lifetime),
        }
    }

    /// The lifetime that an entry was given.
    pub fn lifetime(&self, token: Token) -> Lifetime {
        match self {
            Expiration::Never => Lifetime::until(Instant::MAX),
            Expiration::Deadlines(deadlines) => deadlines.lifetime(token),
            Expiration::Idle(idle) => idle.lifetime(token),
        }
    }

    /// When the entry ends if nobody uses it.
    pub fn end(&self, token: Token) -> Instant {
        match self {
            Expiration::Idle(idle) => idle.end(token),
            _ => self.lifetime(token).end,
        }
    }

    pub fn freshness(&self, token: Token, now: Instant) -> Freshness {
        if self.is_never() {
            Freshness::Fresh
        } else if is_past(self.end(token), now) {
            Freshness::Ended
        } else if is_past(self.lifetime(token).fresh, now) {
            Freshness::Stale
        } else {
            Freshness::Fresh
        }
    }

    /// An entry that has ended at `now`, the earliest first, of equals the one whose lifetime was noted first; or [`NIL`]. O(1)
    /// amortized in caches of one lifetime; else see [`calendar`].
    #[inline(always)]
    pub fn next_ended(&mut self, now: Instant) -> Token {
        match self {
            Expiration::Never => NIL,
            Expiration::Deadlines(deadlines) => deadlines.next_ended(now),
            Expiration::Idle(idle) => idle.next_ended(now),
        }
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        match self {
            Expiration::Never => (),
            Expiration::Deadlines(deadlines) => deadlines.clear(),
            Expiration::Idle(idle) => idle.clear(),
        }
    }

    pub fn validate(&self) {
        match self {
            Expiration::Never => (),
            Expiration::Deadlines(deadlines) => deadlines.validate(),
            Expiration::Idle(idle) => idle.validate(),
        }
    }
}
