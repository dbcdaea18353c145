//! Stamps: how an entry near the reader is known to be what the server has.
//!
//! A value depends on a few keys of the server: its own, its function's generation, its tags'. Each has a [`Stripe`], a
//! counter that only grows; the *stamp* of a value is the sum of them, so one that is unchanged means that none has changed.
//! An entry keeps the [`Pair`] of epoch and stamp, read **before** anything it depends on was read. If a push comes in
//! between, the entry is void by itself.
//!
//! **A near hit**, in this order: the confirmation ([`Words::look`]), the epoch (there, too), the entry and its stripes
//! ([`Words::holds`]). With the epoch or an entry from before the confirmation, what was told in between would pass for
//! valid; so `holds` takes what only `look` gives.

use std::sync::atomic::Ordering;

use concurrency::boottime;
use shared::file::fixed::AtomicU32;

use super::layout::Stripe;
use super::words::Words;

/// What an entry is kept with: the epoch and the sum of its stripes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub epoch: u64,
    pub stamp: u64,
}

impl Pair {
    /// Validates nothing.
    pub const VOID: Pair = Pair { epoch: 0, stamp: 0 };

    pub fn is_void(self) -> bool {
        self.epoch == 0
    }
}

/// The right to judge an entry: the reader's confirmation counts. To be used at once, for one read.
#[derive(Debug)]
pub struct Look {
    epoch: u64,
}

impl Words {
    #[inline(always)]
    pub(super) fn stripe(&self, stripe: Stripe) -> &AtomicU32 {
        self.memory.half(stripe.index())
    }

    /// The sum of stripes; `None` if one of them is 0, which validates nothing.
    #[inline]
    fn sum(&self, stripes: &[Stripe]) -> Option<u64> {
        stripes.iter().try_fold(0, |sum, stripe| {
            // Acquire: what depends on it is read after it. (Pairs with the release in `raise_one`.)
            match self.stripe(*stripe).load(Ordering::Acquire) {
                0 => None,
                value => Some(sum + u64::from(value)),
            }
        })
    }

    /// The pair for what is read, or computed, from now on.
    #[inline]
    pub fn pair(&self, stripes: &[Stripe]) -> Pair {
        let epoch = self.epoch();
        match self.sum(stripes) {
            Some(stamp) if epoch != 0 && !self.is_lost() => Pair { epoch, stamp },
            _ => Pair::VOID,
        }
    }

    /// A pair for more keys, whose stripes are read now and which are read from now on.
    #[inline]
    pub fn with_more(&self, pair: Pair, stripes: &[Stripe]) -> Pair {
        match self.sum(stripes) {
            Some(more) if !pair.is_void() && !self.is_lost() => Pair { stamp: pair.stamp + more, ..pair },
            _ => Pair::VOID,
        }
    }

    /// The first step of a near hit of what the server gave: `None` if what it has told is not known to within
    /// `staleness` (nanoseconds). `now` is the boot clock, read at any moment of the call; it may lag.
    #[inline]
    pub fn look(&self, now: u64, staleness: u64) -> Option<Look> {
        if self.is_confirmed(now, staleness) {
            Some(Look { epoch: self.epoch() })
        } else {
            None
        }
    }

    /// In a model of a fault: without a confirmation.
    #[cfg(loom)]
    pub(super) fn look_unconfirmed(&self) -> Look {
        Look { epoch: self.epoch() }
    }

    /// The first step of a near hit of what no push covers: an entry that counts until a moment of its own.
    #[inline]
    pub fn look_until(&self, now: u64, until: u64) -> Option<Look> {
        if now < until {
            Some(Look { epoch: self.epoch() })
        } else {
            None
        }
    }

    /// Whether all that the server told until `staleness` (nanoseconds) ago is known here.
    #[inline]
    pub fn is_confirmed(&self, now: u64, staleness: u64) -> bool {
        let confirmed = self.confirmed();
        match now.checked_sub(confirmed) {
            Some(age) => age < staleness && confirmed != 0,
            None => later(confirmed, staleness),
        }
    }

    /// The last step: whether an entry that was found after `look` is what the server has.
    #[inline]
    pub fn holds(&self, look: &Look, kept: Pair, stripes: &[Stripe]) -> bool {
        look.epoch != 0 && kept.epoch == look.epoch && self.sum(stripes) == Some(kept.stamp)
    }

    /// The server told of these keys, or this process has changed them there and the answer has come, or none will: whoever
    /// reads here from now on does not take a copy from before for valid. Wakes who waits for them.
    pub fn raise(&self, stripes: &[Stripe]) {
        stripes.iter().for_each(|stripe| self.raise_one(*stripe));
        self.wake(stripes.iter().map(|stripe| stripe.bell()));
    }

    fn raise_one(&self, stripe: Stripe) {
        // Release: pairs with the acquire in `sum`.
        if matches!(self.stripe(stripe).fetch_add(1, Ordering::Release), 0 | u32::MAX) {
            // It is or was 0, and grows from there: sums could come again. (It was 0 by damage, or is so for a moment.)
            self.add_to_epoch();
            // (If it is not 0 any more, somebody else has raised it.)
            let _ = self.stripe(stripe).compare_exchange(0, 1, Ordering::Release, Ordering::Relaxed);
        }
    }
}

/// A confirmation that seems to be of the future: the caller's clock lags, or it is nobody's and counts as none.
#[cold]
fn later(confirmed: u64, staleness: u64) -> bool {
    boottime::now().checked_sub(confirmed).is_some_and(|age| age < staleness)
}
