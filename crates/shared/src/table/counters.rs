//! Counters: striped so that no two processes write one line, kept in the file so that they outlive their process.
//!
//! A process counts in its own slot's lines and never takes anything back; the sums over all slots ever used are exact,
//! dead processes included. `clear` notes where the sums stood.

use crate::file::atomic::Ordering;
use crate::file::layout::{ctl, proc_at, Counters, Proc, PAGE, PROCS, STRIPES};
use crate::process::clock::boot_now;
use crate::process::identity::slot_of;
use crate::skip::Skip;
use crate::table::Table;
use core::mem::{offset_of, size_of};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Event {
    Hit = 0,
    Miss = 1,
}
const EVENTS: [Event; 2] = [Event::Hit, Event::Miss];
/// Lines of processes in a page.
const LINES: u64 = PAGE / size_of::<Proc>() as u64;

/// The counter of a skip: they are rare, so all threads of a process share one.
fn skip_at(slot: u64, skip: Skip) -> u64 {
    const EACH: u64 = (size_of::<Counters>() - offset_of!(Counters, skips)) as u64 / 8;
    let (line, at) = (skip as u64 / EACH, skip as u64 % EACH);
    proc_at(slot)
        + offset_of!(Proc, counters) as u64
        + line * size_of::<Counters>() as u64
        + offset_of!(Counters, skips) as u64
        + 8 * at
}

fn base_of_skip(skip: Skip) -> u64 {
    ctl!(base_skips) + 8 * skip as u64
}

fn counter_at(slot: u64, stripe: u64, event: u64) -> u64 {
    let line = size_of::<Counters>() as u64 * (stripe % STRIPES);
    proc_at(slot) + offset_of!(Proc, counters) as u64 + line + 8 * event
}

impl Table {
    /// Counts one event. Relaxed: nothing hangs on a counter but its sum.
    #[inline]
    pub(crate) fn count(&self, stripe: u64, event: Event) {
        self.region.before_store();
        let counter = self.region.known(counter_at(slot_of(self.identity()), stripe, event as u64));
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// As `count`, for a caller who is the only one of its process to count on this stripe (it holds the GIL, say):
    /// cheaper than an atomic addition, and as exact.
    #[inline(always)]
    pub(crate) fn count_alone(&self, stripe: u64, event: Event) {
        let slot = slot_of(self.identity());
        if slot == 0 {
            return self.count_unknown(stripe, event);
        }
        let at = counter_at(slot, stripe, event as u64);
        self.region.set_known(at, self.region.get_known(at).wrapping_add(1));
    }

    /// `count_alone` of a process without a slot, which shares one.
    #[cold]
    fn count_unknown(&self, stripe: u64, event: Event) {
        self.count(stripe, event);
    }

    /// How often it has ever happened, in all processes together.
    pub(crate) fn total_of(&self, event: Event) -> u64 {
        self.total(event as u64)
    }

    /// How far the process table was ever in use.
    fn procs_high(&self) -> u64 {
        // Acquire: pairs with the release in `raise_procs_high`; up to there the table is reserved.
        self.region.load(ctl!(procs_high), Ordering::Acquire).clamp(1, PROCS)
    }

    fn total(&self, event: u64) -> u64 {
        self.sum(|slot| (0..STRIPES).map(move |stripe| counter_at(slot, stripe, event)))
    }

    /// The sum of the counters that each process has at these places.
    fn sum<I: Iterator<Item = u64>>(&self, of: impl Fn(u64) -> I) -> u64 {
        (0..self.procs_high())
            .filter(|slot| self.region.covers(proc_at(slot + 1)))
            .flat_map(of)
            .fold(0, |sum, at| sum.wrapping_add(self.region.get(at)))
    }

    pub(crate) fn base_of(&self, event: Event) -> u64 {
        self.region.get(ctl!(base) + 8 * event as u64)
    }

    /// From now on, counts this event from zero.
    pub(crate) fn set_base(&self, event: Event) {
        self.region.set(ctl!(base) + 8 * event as u64, self.total_of(event));
    }

    /// Counts a result that was not stored.
    pub(crate) fn count_skip(&self, skip: Skip) {
        self.region.add(skip_at(slot_of(self.identity()), skip), 1, Ordering::Relaxed);
    }

    /// How many results were not stored since the last `clear`, in all processes together.
    pub(crate) fn skipped(&self, skip: Skip) -> u64 {
        self.total_skips(skip).saturating_sub(self.region.get(base_of_skip(skip)))
    }

    /// From now on, counts this reason from zero.
    fn set_base_of_skip(&self, skip: Skip) {
        self.region.set(base_of_skip(skip), self.total_skips(skip));
    }

    fn total_skips(&self, skip: Skip) -> u64 {
        self.sum(|slot| std::iter::once(skip_at(slot, skip)))
    }

    /// How often it has happened since the last `clear`, in all processes together.
    pub(crate) fn counted(&self, event: Event) -> u64 {
        self.total_of(event).saturating_sub(self.base_of(event))
    }

    pub(crate) fn zero_counters(&self) {
        EVENTS.into_iter().for_each(|event| self.set_base(event));
        Skip::ALL.into_iter().for_each(|skip| self.set_base_of_skip(skip));
    }

    /// Nothing can have happened more often than once in a nanosecond since the file was made.
    pub(crate) fn most_counted(&self) -> u64 {
        boot_now().saturating_sub(self.header.created).saturating_add(1 << 20)
    }

    /// Numbers that cannot be right begin anew. (What they stood at is gone; `cache_info` alone reads most of them.)
    pub(crate) fn mend_counters(&self) {
        self.mend_procs_high();
        let most = self.most_counted();
        let lines = (0..self.procs_high()).flat_map(|slot| (0..STRIPES).map(move |stripe| (slot, stripe)));
        let counters = lines.flat_map(|(slot, stripe)| EVENTS.map(|event| counter_at(slot, stripe, event as u64)));
        let skips = (0..self.procs_high()).flat_map(|slot| Skip::ALL.map(|skip| skip_at(slot, skip)));
        let own = [ctl!(evictions), ctl!(expirations), ctl!(repairs)];
        for at in counters.chain(skips).filter(|at| self.region.covers(at + 8)).chain(own) {
            if self.region.get(at) > most {
                self.region.set(at, 0);
            }
        }
        EVENTS.into_iter().filter(|event| self.base_of(*event) > self.total_of(*event)).for_each(|e| self.set_base(e));
        let too_high = |skip: &Skip| self.region.get(base_of_skip(*skip)) > self.total_skips(*skip);
        Skip::ALL.into_iter().filter(too_high).for_each(|skip| self.set_base_of_skip(skip));
    }

    /// How far the process table was ever in use, if the file says too little or too much.
    fn mend_procs_high(&self) {
        let seen = self.region.get(ctl!(procs_high));
        let claimed = |slot: &u64| {
            self.region.covers(proc_at(slot + 1))
                && self.region.get(proc_at(*slot) + offset_of!(Proc, ident) as u64) != 0
        };
        let mut high = if seen > PROCS { 1 } else { seen.max(1) };
        // A page further at a time, as what lies beyond may never have been reserved.
        while let Some(slot) = (high..PROCS.min(high + LINES)).rev().find(claimed) {
            high = slot + 1;
        }
        if high != seen {
            // Whoever claims a line meanwhile has raised it.
            let _ = self.region.cas(ctl!(procs_high), seen, high, Ordering::Release);
        }
    }
}
