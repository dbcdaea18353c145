//! Sleeping until the server tells of a key.
//!
//! Who waits sleeps on the *bell* of the key's stripe, not on the stripe: an epoch must wake all, and there are many more
//! stripes than bells. Nobody rings while nobody waits. A waiter says until when it waits at most (`awaited`), so one that
//! was killed costs calls of the system until then and no longer.
//!
//! **No wake is lost.** The waiter says that it waits, then reads the bell, then compares the stripe with what it has
//! seen; the raiser raises the stripe, then looks whether somebody waits, then rings. A fence on either side stands between
//! the first and the second step: so the waiter sees the raise, or the raiser the waiter, and then the bell has changed since
//! it was read, or the waiter sleeps already.

use std::sync::atomic::Ordering;
use std::time::Duration;

use concurrency::boottime;
use shared::file::fixed::fence;
use shared::process::futex;

use super::layout::{at, Stripe, BELLS};
use super::stamp::Pair;
use super::words::Words;

/// The longest sleep, after which a waiter says again that it waits.
const LONGEST: Duration = Duration::from_secs(10);

impl Words {
    /// Sleeps until the pair of a stripe is another one than `seen` (as [`Words::pair`] gave it), for at most `time`; says
    /// whether it is. To be called with a pair that was read before the key was.
    pub fn wait(&self, stripe: Stripe, seen: Pair, time: Duration) -> bool {
        let end = boottime::now().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        loop {
            let left = Duration::from_nanos(end.saturating_sub(boottime::now())).min(LONGEST);
            let Some(bell) = self.may_sleep(stripe, seen, left) else { return true };
            if left.is_zero() {
                return false;
            }
            futex::wait(self.memory.half(stripe.bell()), bell, left);
        }
    }

    /// Says that somebody waits; the bell's value to sleep on, unless the pair has changed.
    pub(super) fn may_sleep(&self, stripe: Stripe, seen: Pair, left: Duration) -> Option<u32> {
        let until = boottime::now().saturating_add(left.as_nanos() as u64);
        self.word(at::AWAITED).fetch_max(until, Ordering::Relaxed);
        // Pairs with the one in `wake`.
        self.fence();
        // Acquire: the pair is read after it. (Pairs with the release in `wake`.)
        let bell = self.memory.half(stripe.bell()).load(Ordering::Acquire);
        (self.pair(&[stripe]) == seen).then_some(bell)
    }

    fn fence(&self) {
        #[cfg(loom)]
        if self.mutant != super::words::Mutant::None {
            return;
        }
        fence(Ordering::SeqCst);
    }

    /// Rings bells, if somebody waits. What they are rung for has been raised.
    pub(super) fn wake(&self, bells: impl Iterator<Item = usize>) {
        // Pairs with the one in `may_sleep`.
        self.fence();
        let until = self.word(at::AWAITED).load(Ordering::Relaxed);
        if until == 0 || until < boottime::now() {
            return;
        }
        self.ring(bells);
    }

    fn ring(&self, bells: impl Iterator<Item = usize>) {
        for bell in bells {
            // Release: pairs with the acquire in `may_sleep`: who reads the new value sees the raise.
            self.memory.half(bell).fetch_add(1, Ordering::Release);
            futex::wake(self.memory.half(bell));
        }
    }

    pub(super) fn wake_all(&self) {
        self.wake(0..BELLS);
    }

    /// The same where the file does not say rightly whether somebody waits.
    #[cfg(not(loom))]
    pub(super) fn ring_all(&self) {
        self.ring(0..BELLS);
    }
}
