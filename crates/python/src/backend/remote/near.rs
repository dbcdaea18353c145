//! Copies near the reader of what a server has, and computations under way that are known to it.
//!
//! Ring 3. A copy counts while nothing that it depends on has changed, as far as the server has told, and while that is known
//! to within the staleness. It is looked at under the cache's lock, found first: it never changes, so only the order of
//! what [`remote::tier::Near`] reads matters.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use concurrency::{clock, fork};
use remote::coherence::{Pair, Stripe};
use remote::tier::{Call, Cover, Tier};

use super::answer::Answer;
use super::opened::{asking, Opened};

/// Until when a value is a copy of what the server has.
pub struct Covered {
    tier: Arc<Tier>,
    cover: Cover,
    stripes: Box<[Stripe]>,
}

impl Covered {
    pub(super) fn new(opened: &Opened, cover: Cover, stripes: &[Stripe]) -> Arc<Covered> {
        Arc::new(Covered { tier: Arc::clone(&opened.tier), cover, stripes: stripes.into() })
    }

    /// Whether it is one now.
    #[inline]
    pub fn holds(&self) -> bool {
        self.tier.near(clock::now()).holds(self.cover, &self.stripes)
    }

    /// Until when it counts, where no push covers it.
    pub(super) fn until(&self) -> u64 {
        self.cover.until
    }

    /// Whether it was one until so many nanoseconds ago, and the server has told of no change since.
    pub fn is_spare(&self, window: u64) -> bool {
        self.tier.is_spare(self.cover, &self.stripes, window)
    }
}

impl fmt::Debug for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Covered(…)")
    }
}

/// A computation under way, by which callers know whether they may join it.
pub(crate) struct Flying {
    tier: Arc<Tier>,
    call: Arc<Call>,
    /// The pair from before it, and when that was read.
    began: Mutex<(Pair, u64)>,
    answer: Answer,
    /// The count of forks of the process whose thread computes.
    process: u64,
}

impl fmt::Debug for Flying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flying(…)")
    }
}

impl Flying {
    pub(super) fn new(tier: &Arc<Tier>, call: &Arc<Call>) -> Arc<Flying> {
        let began = Mutex::new((tier.pair(call), clock::exact()));
        let (answer, process) = (Answer::default(), fork::epoch());
        Arc::new(Flying { tier: Arc::clone(tier), call: Arc::clone(call), began, answer, process })
    }

    /// The server has answered what it was asked first, or was not asked.
    pub(super) fn is_answered(&self) {
        self.answer.comes();
    }

    /// Whether a thread of this process computes. One of the parent's brings nothing to a fork's child.
    pub(crate) fn is_ours(&self) -> bool {
        self.process == fork::epoch()
    }

    /// Whether a caller who comes now may have its result, as far as is known here.
    pub(crate) fn is_current(&self) -> bool {
        if !self.is_ours() {
            return false;
        }
        let (pair, began) = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        self.tier.may_join(&self.call, pair, began)
    }

    /// The same, exactly. It may ask the server, as the flight's own lease changes what is compared; where that lease has been
    /// asked for and may not lie there yet, it waits for the answer first.
    pub(crate) fn may_join(&self, py: Python<'_>) -> bool {
        if self.is_current() {
            return true;
        }
        if !self.is_ours() {
            // The answer never comes.
            return false;
        }
        let look = || {
            self.answer.wait(self.tier.timeout());
            let token = self.call.claimed()?;
            let asked = clock::exact();
            let cover = self.tier.look_at_flight(&self.call, &token)?;
            (self.call.claimed() == Some(token)).then_some((cover, asked))
        };
        // SAFETY: the tier knows nothing of Python.
        let Some((cover, asked)) = (unsafe { asking(py, look) }) else { return false };
        if cover.until == 0 {
            *self.began.lock().unwrap_or_else(PoisonError::into_inner) = (cover.pair, asked);
        }
        true
    }
}
