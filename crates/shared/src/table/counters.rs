//! Counters: striped so that no two processes write one line, kept in the file so that they outlive their process.
//!
//! A process counts in its own slot's lines and never takes anything back; the sums over all slots ever used are exact,
//! dead processes included. `clear` notes where the sums stood.
//!
//! **What is plausible.** A counter is one word that nothing else in the file can be compared with. So two bounds decide
//! whether it is damaged. No counter has gone faster than `FASTEST` since the file was made: what stands beyond counts as
//! nothing in a sum, and begins anew at the next audit, clear or `info`. And each process remembers what its own counters
//! stood at when it last looked (at each audit and `info`): since nobody else counts there, what has gone back since, or
//! ahead faster than that, is put back. Damage within both bounds cannot be told from counting; it stays until a clear.

use crate::file::atomic::Ordering;
use crate::file::layout::{ctl, proc_at, Counters, Proc, PAGE, PROCS, STRIPES};
use crate::process::clock::boot_now;
use crate::process::identity::{slot_of, Identity};
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
/// Nanoseconds that a count takes at least: of an event or a skip, of what happens under the lock, of a repair.
const FASTEST: [u64; 3] = [4, 16, 1000];
/// Counts that are plausible at any time, since the file was made and since this process has last looked at its own.
const SLACK: [u64; 2] = [1 << 20, 1 << 12];
/// Counters of a line.
const OWN: usize = EVENTS.len() * STRIPES as usize + Skip::COUNT;

/// What this process's own counters stood at when it last looked.
#[derive(Default)]
pub(crate) struct Tally {
    /// Of which identity these are; 0 = nobody's.
    of: Identity,
    /// When that was (boot time).
    at: u64,
    values: [u64; OWN],
}

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

/// The counters of a line.
fn counters_of(slot: u64) -> impl Iterator<Item = u64> {
    let events = (0..STRIPES).flat_map(move |stripe| EVENTS.map(|event| counter_at(slot, stripe, event as u64)));
    events.chain(Skip::ALL.map(|skip| skip_at(slot, skip)))
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

    /// The sum of the counters that each process has at these places. What cannot be right is nothing.
    fn sum<I: Iterator<Item = u64>>(&self, of: impl Fn(u64) -> I) -> u64 {
        let most = self.most(0);
        (0..self.procs_high())
            .filter(|slot| self.region.covers(proc_at(slot + 1)))
            .flat_map(of)
            .map(|at| self.region.get(at))
            .filter(|count| *count <= most)
            .fold(0, u64::saturating_add)
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

    /// What a counter of this kind may stand at.
    fn most(&self, kind: usize) -> u64 {
        boot_now().saturating_sub(self.header.created) / FASTEST[kind] + SLACK[0]
    }

    /// Evictions, expirations and repairs.
    pub(crate) fn happened(&self) -> [u64; 3] {
        let plausible = |at: u64, kind| Some(self.region.get(at)).filter(|n| *n <= self.most(kind)).unwrap_or(0);
        [plausible(ctl!(evictions), 1), plausible(ctl!(expirations), 1), plausible(ctl!(repairs), 2)]
    }

    /// Numbers that cannot be right begin anew. (`cache_info` alone reads most of them.)
    pub(crate) fn mend_counters(&self) {
        self.mend_procs_high();
        self.mend_own_counters();
        let lines = (0..self.procs_high()).flat_map(counters_of).map(|at| (at, 0));
        let own = [(ctl!(evictions), 1), (ctl!(expirations), 1), (ctl!(repairs), 2)];
        for (at, kind) in lines.filter(|(at, _)| self.region.covers(at + 8)).chain(own) {
            if self.region.get(at) > self.most(kind) {
                self.region.set(at, 0);
            }
        }
        EVENTS.into_iter().filter(|event| self.base_of(*event) > self.total_of(*event)).for_each(|e| self.set_base(e));
        let too_high = |skip: &Skip| self.region.get(base_of_skip(*skip)) > self.total_skips(*skip);
        Skip::ALL.into_iter().filter(too_high).for_each(|skip| self.set_base_of_skip(skip));
    }

    /// This process's own counters are what they were, and what can have come since. (A count of another thread at the
    /// same moment may be lost with the damage.)
    pub(crate) fn mend_own_counters(&self) {
        let me = self.identity_so_far();
        // Whoever has it does just this; in a fork's child perhaps nobody, and then it is left.
        let Ok(mut tally) = self.tally.try_lock() else { return };
        if slot_of(me) == 0 {
            return;
        }
        let now = boot_now();
        let (same, since) = (tally.of == me, now.saturating_sub(tally.at));
        let fresh = since / FASTEST[0] + SLACK[1];
        for (at, last) in counters_of(slot_of(me)).zip(&mut tally.values) {
            let count = self.region.get(at);
            if same && !(*last..=last.saturating_add(fresh)).contains(&count) {
                self.region.set(at, *last);
            } else {
                *last = count;
            }
        }
        (tally.of, tally.at) = (me, now);
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
