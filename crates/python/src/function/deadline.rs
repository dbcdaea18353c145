//! Where a `ttl` becomes a deadline: until when an entry that is stored now is fresh, and when it ends.
//!
//! Ring 3. Nanoseconds go in (of the options, or of what the user said of one entry), shortened by `jitter` and followed by
//! the time in which the entry is stale; moments come out, in memory those of [`concurrency::clock`], in a file those of its
//! own clock.

use concurrency::clock;
use engine::cache::Lifetime;
use engine::hashing::split_mix;
use shared::{Kind as FileKind, Tags as FileTags, Terms as FileTerms, NEVER};

use super::control::{Control, Terms};
use super::state::CacheState;

/// How an entry is kept in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    /// Nanoseconds that it is fresh; `None` is no limit.
    pub ttl: Option<u64>,
    /// Nanoseconds for which it is stale then.
    pub window: u64,
    pub kind: FileKind,
    pub tags: FileTags,
}

impl CacheState {
    /// The deadline of an entry made now.
    #[inline(always)]
    pub(crate) fn deadline(&self) -> u64 {
        if self.ttl != 0 {
            clock::deadline(self.ttl)
        } else {
            u64::MAX
        }
    }

    /// The moments of an entry that is stored now.
    pub(crate) fn lifetime_of(&self, terms: &Terms) -> Lifetime {
        match &self.control {
            Some(control) => control.lifetime(terms),
            None => Lifetime::until(terms.ttl.map_or(u64::MAX, clock::deadline)),
        }
    }

    /// The moments of an entry that is to live for so many nanoseconds from now on.
    pub(crate) fn lifetime_for(&self, ttl: Option<u64>) -> Lifetime {
        match &self.control {
            Some(control) => control.lifetime_for(ttl, true),
            None => Lifetime::until(ttl.map_or(u64::MAX, clock::deadline)),
        }
    }

    /// The moments of an entry that is fresh for so many nanoseconds from now on, not one less, or no longer is since as many.
    pub(crate) fn lifetime_left(&self, left: i64) -> Lifetime {
        let fresh = self.now().saturating_add_signed(left);
        let window = self.control.as_ref().map_or(0, |control| control.window(true));
        Lifetime { fresh, end: fresh.saturating_add(window) }
    }
}

impl Control {
    /// Nanoseconds that an entry which is stored now is fresh, less its part of `jitter`; `None` is no limit.
    pub fn shortened(&self, terms: &Terms) -> Option<u64> {
        self.shorten(terms.ttl)
    }

    /// The same of so many nanoseconds.
    pub fn shorten(&self, ttl: Option<u64>) -> Option<u64> {
        let shortened = |ttl| match self.jitter {
            0.0 => ttl,
            jitter => (ttl as f64 * (1.0 - jitter * fraction())) as u64,
        };
        ttl.map(|ttl| shortened(ttl).max(1))
    }

    /// The moments of an entry that is stored now.
    pub fn lifetime(&self, terms: &Terms) -> Lifetime {
        match terms.moments {
            Some(moments) => moments,
            None => self.lifetime_for(terms.ttl, terms.goes_stale),
        }
    }

    /// The moments of an entry that lives for so many nanoseconds from now on.
    pub fn lifetime_for(&self, ttl: Option<u64>, goes_stale: bool) -> Lifetime {
        let Some(ttl) = self.shorten(ttl) else {
            return Lifetime::until(u64::MAX);
        };
        let fresh = clock::deadline(ttl);
        Lifetime { fresh, end: fresh.saturating_add(self.window(goes_stale)) }
    }

    /// For how many nanoseconds an entry is fresh in a file, and then stale.
    pub fn span(&self, ttl: Option<u64>) -> (Option<u64>, u64) {
        (self.shorten(ttl), self.window(true))
    }

    /// Nanoseconds for which an entry is stale before it ends.
    pub fn window(&self, goes_stale: bool) -> u64 {
        if goes_stale {
            self.revalidate.max(self.spare)
        } else {
            0
        }
    }

    /// How an entry is kept in a file that is stored now. `tags`: its tags as they stood.
    pub fn keeping(&self, terms: &Terms, tags: FileTags) -> Keeping {
        let kind = match terms.value.as_special() {
            Some(special) if special.is_exception => FileKind::Exception,
            _ => FileKind::Value,
        };
        Keeping { ttl: self.shortened(terms), window: self.window(terms.goes_stale), kind, tags }
    }
}

impl Keeping {
    /// The same from a moment on.
    pub fn terms(&self, now: u64) -> FileTerms {
        let fresh = self.ttl.map_or(NEVER, |ttl| now.saturating_add(ttl));
        FileTerms { fresh, end: fresh.saturating_add(self.window), kind: self.kind, tags: self.tags }
    }
}

/// A number in [0, 1), the next one of a sequence of this thread.
fn fraction() -> f64 {
    thread_local! {
        static STATE: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }
    STATE.with(|state| {
        let last = state.get();
        let seed = if last == 0 { split_mix(clock::exact() ^ concurrency::thread_id::current() as u64) } else { last };
        let next = split_mix(seed) | 1;
        state.set(next);
        (next >> 11) as f64 / (1u64 << 53) as f64
    })
}
