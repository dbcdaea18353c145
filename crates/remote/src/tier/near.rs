//! What keeps a copy near the reader honest, and which computation under way a caller may join.

use concurrency::boottime;

use super::{Call, Tier};
use crate::coherence::{Look, Pair, Stripe, Words};

/// What a near copy is kept with: the pair from before it was read or computed, and for how long it counts where no push
/// covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    pub pair: Pair,
    /// 0: the listener's pushes cover it. Else the boot clock until which it counts.
    pub until: u64,
}

impl Cover {
    /// Of what is not to be kept.
    pub const VOID: Cover = Cover { pair: Pair::VOID, until: 0 };

    pub fn is_void(self) -> bool {
        self.pair.is_void()
    }
}

/// The first step of a near hit: what counts now. To be used at once, for copies that are looked up after it was made.
pub struct Near<'a> {
    words: &'a Words,
    now: u64,
    look: Option<Look>,
}

impl Near<'_> {
    /// Whether a copy that was found after this was made is what the server has, as far as it has told.
    #[inline]
    pub fn holds(&self, cover: Cover, stripes: &[Stripe]) -> bool {
        if cover.until == 0 {
            self.look.as_ref().is_some_and(|look| self.words.holds(look, cover.pair, stripes))
        } else {
            self.words
                .look_until(self.now, cover.until)
                .is_some_and(|look| self.words.holds(&look, cover.pair, stripes))
        }
    }
}

impl Tier {
    /// Begins a near hit. `now`: the boot clock, read at any moment of the call; it may lag.
    #[inline]
    pub fn near(&self, now: u64) -> Near<'_> {
        let words: &Words = self.coherence.words();
        Near { words, now, look: words.look(now, self.staleness) }
    }

    /// Whether a copy was what the server has until so many nanoseconds ago, and nothing has been told of a change since: it may
    /// serve where computing fails.
    pub fn is_spare(&self, cover: Cover, stripes: &[Stripe], window: u64) -> bool {
        let (words, now): (&Words, u64) = (self.coherence.words(), boottime::now());
        let look = match cover.until {
            0 => words.look(now, self.staleness.saturating_add(window)),
            until => words.look_until(now, until.saturating_add(window)),
        };
        window != 0 && look.is_some_and(|look| words.holds(&look, cover.pair, stripes))
    }

    /// The pair for what is computed from now on: that of a flight, to be read before anything else of it.
    #[inline]
    pub fn pair(&self, call: &Call) -> Pair {
        self.coherence.words().pair(call.stripes())
    }

    /// The cover of what is computed from now on without the server.
    pub fn alone(&self, call: &Call) -> Cover {
        let until = boottime::now().saturating_add(self.staleness);
        Cover { pair: self.pair(call), until }
    }

    /// The cover of whatever is computed from now on while the server is not asked, and what it depends on: it is void as soon
    /// as any process of this host changes something, of whatever key. So it needs no key, and may serve many calls.
    pub fn here(&self) -> (Cover, Stripe) {
        let until = boottime::now().saturating_add(self.staleness);
        (Cover { pair: self.coherence.words().pair(&[self.here]), until }, self.here)
    }

    /// Whether a caller may join a flight (of the process or of the host) that began at `began` (boot clock) with this
    /// pair. If not, [`Tier::look_at_flight`] may know better.
    pub fn may_join(&self, call: &Call, pair: Pair, began: u64) -> bool {
        // In the order of a near hit.
        let (words, now) = (self.coherence.words(), boottime::now());
        let young = now.checked_sub(began).is_some_and(|age| age < self.staleness);
        let confirmed = words.is_confirmed(now, self.staleness);
        (young || confirmed) && !pair.is_void() && words.pair(call.stripes()) == pair
    }
}
