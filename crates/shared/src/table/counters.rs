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
//!
//! Time is no count: many threads compute at once, and one computation may bring hours. But none has taken longer than the
//! file is old (`longest`), so a line's time has grown by no more than that for each computation that the line has counted.
//! A computation is counted before its time, so that who reads in the other order never finds time without it.

use crate::file::atomic::Ordering;
use crate::file::layout::{ctl, proc_at, Counters, Proc, PAGE, PROCS, RARE, STRIPES};
use crate::file::units::Offset;
pub(crate) use crate::interface::Event;
use crate::load_counter::LoadCounter;
use crate::process::clock::boot_now;
use crate::process::identity::{slot_of, Identity};
use crate::skip::Skip;
use crate::table::Table;
use core::mem::{offset_of, size_of};

const EVENTS: [Event; 2] = [Event::Hit, Event::Miss];
/// Nanoseconds that a count takes at least: of an event or a skip, of what happens under the lock, of a repair.
const FASTEST: [u64; 3] = [4, 16, 1000];
/// Counts that are plausible at any time, since the file was made and since this process has last looked at its own.
const SLACK: [u64; 2] = [1 << 20, 1 << 12];
/// Counters of a line, its time aside.
const OWN: usize = EVENTS.len() * STRIPES as usize + RARE - 1;
/// Nanoseconds that a computation may have taken beyond the age of the file, as it may have begun with another.
const HEAD_START: u64 = 1_000_000_000;

/// What is counted seldom: its place in the row of the rare counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rare(u64);

impl Rare {
    const TIME: Rare = Rare::of_loads(LoadCounter::Nanoseconds);
    const LOADS: Rare = Rare::of_loads(LoadCounter::Loads);

    const fn of_loads(what: LoadCounter) -> Rare {
        Rare(Skip::COUNT as u64 + what as u64)
    }

    fn all() -> impl Iterator<Item = Rare> {
        (0..RARE as u64).map(Rare)
    }
}

impl From<Skip> for Rare {
    fn from(skip: Skip) -> Rare {
        Rare(skip as u64)
    }
}

impl From<LoadCounter> for Rare {
    fn from(what: LoadCounter) -> Rare {
        Rare::of_loads(what)
    }
}

/// What this process's own counters stood at when it last looked.
#[derive(Default)]
pub(crate) struct Tally {
    /// Of which identity these are; 0 = nobody's.
    of: Identity,
    /// When that was (boot time).
    at: u64,
    values: [u64; OWN],
    /// The time that computations took.
    time: u64,
}

/// Lines of processes in a page.
const LINES: u64 = PAGE / size_of::<Proc>() as u64;

/// A rare counter: all threads of a process share one.
pub(crate) fn rare_at(slot: u64, rare: Rare) -> Offset {
    const EACH: u64 = (size_of::<Counters>() - offset_of!(Counters, rare)) as u64 / 8;
    let (line, at) = (rare.0 / EACH, rare.0 % EACH);
    proc_at(slot)
        + offset_of!(Proc, counters) as u64
        + line * size_of::<Counters>() as u64
        + offset_of!(Counters, rare) as u64
        + 8 * at
}

fn base_of_rare(rare: Rare) -> Offset {
    ctl!(base_rare) + 8 * rare.0
}

/// The counters of a line, its time aside.
fn counts_of(slot: u64) -> impl Iterator<Item = Offset> {
    let events = (0..STRIPES).flat_map(move |stripe| EVENTS.map(|event| counter_at(slot, stripe, event as u64)));
    events.chain(Rare::all().filter(|rare| *rare != Rare::TIME).map(move |rare| rare_at(slot, rare)))
}

fn counter_at(slot: u64, stripe: u64, event: u64) -> Offset {
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

    /// The lines that were ever in use and are there.
    fn lines(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.procs_high()).filter(|slot| self.region.covers(proc_at(slot + 1)))
    }

    /// The sum of the counters that each process has at these places. What cannot be right is nothing.
    fn sum<I: Iterator<Item = Offset>>(&self, of: impl Fn(u64) -> I) -> u64 {
        let most = self.most(0);
        self.lines()
            .flat_map(of)
            .map(|at| self.region.get(at))
            .filter(|count| *count <= most)
            .fold(0, u64::saturating_add)
    }

    /// The time that a line has counted, and the most that it may be.
    fn time_of(&self, slot: u64) -> (u64, u64) {
        // Acquire: pairs with the release in `count_load`. The time is read before the computations that it is of.
        let time = self.region.load(rare_at(slot, Rare::TIME), Ordering::Acquire);
        let loads = self.region.get(rare_at(slot, Rare::LOADS));
        let most = if loads <= self.most(0) { loads.saturating_mul(self.longest()) } else { 0 };
        (time, most)
    }

    /// Nanoseconds that one computation may have taken.
    fn longest(&self) -> u64 {
        boot_now().saturating_sub(self.header.created).saturating_add(HEAD_START)
    }

    pub(crate) fn base_of(&self, event: Event) -> u64 {
        self.region.get(ctl!(base) + 8 * event as u64)
    }

    /// From now on, counts this event from zero.
    pub(crate) fn set_base(&self, event: Event) {
        self.region.set(ctl!(base) + 8 * event as u64, self.total_of(event));
    }

    /// Counts something rare.
    pub(crate) fn count_rare(&self, what: impl Into<Rare>) {
        self.region.add(rare_at(slot_of(self.identity()), what.into()), 1, Ordering::Relaxed);
    }

    /// Counts a computation that has ended. `alone`: the caller is the only one of its process to count, as in `count_alone`.
    pub(crate) fn count_load(&self, nanoseconds: u64, failed: bool, alone: bool) {
        let slot = slot_of(self.identity());
        let alone = alone && slot != 0;
        // (The clock is read for those alone that may have begun before the file was made.)
        let time = if nanoseconds > HEAD_START { nanoseconds.min(self.longest()) } else { nanoseconds };
        let add = |what: LoadCounter, n: u64| {
            let at = rare_at(slot, what.into());
            // Release, for the time: pairs with the acquire in `time_of`.
            if alone {
                self.region.store(at, self.region.get(at).wrapping_add(n), Ordering::Release);
            } else {
                self.region.add(at, n, Ordering::Release);
            }
        };
        add(LoadCounter::Loads, 1);
        if failed {
            add(LoadCounter::Failures, 1);
        }
        add(LoadCounter::Nanoseconds, time);
    }

    /// How often something rare has happened since the last `clear`, in all processes together.
    pub(crate) fn counted_rare(&self, what: impl Into<Rare>) -> u64 {
        let rare = what.into();
        self.total_rare(rare).saturating_sub(self.region.get(base_of_rare(rare)))
    }

    /// From now on, counts this from zero.
    fn set_base_of_rare(&self, rare: Rare) {
        self.region.set(base_of_rare(rare), self.total_rare(rare));
    }

    fn total_rare(&self, rare: Rare) -> u64 {
        if rare == Rare::TIME {
            let plausible = |(time, most): (u64, u64)| if time <= most { time } else { 0 };
            return self.lines().map(|slot| plausible(self.time_of(slot))).fold(0, u64::saturating_add);
        }
        self.sum(|slot| std::iter::once(rare_at(slot, rare)))
    }

    /// How often it has happened since the last `clear`, in all processes together.
    pub(crate) fn counted(&self, event: Event) -> u64 {
        self.total_of(event).saturating_sub(self.base_of(event))
    }

    pub(crate) fn zero_counters(&self) {
        EVENTS.into_iter().for_each(|event| self.set_base(event));
        Rare::all().for_each(|rare| self.set_base_of_rare(rare));
        // (Of a writer that a clear goes past, one may be counted from before.)
        [ctl!(evictions), ctl!(expirations)].into_iter().for_each(|at| self.region.set(at, 0));
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
        let plausible = |at: Offset, kind| Some(self.region.get(at)).filter(|n| *n <= self.most(kind)).unwrap_or(0);
        [plausible(ctl!(evictions), 1), plausible(ctl!(expirations), 1), plausible(ctl!(repairs), 2)]
    }

    /// Numbers that cannot be right begin anew. (`cache_info` alone reads most of them.)
    pub(crate) fn mend_counters(&self) {
        self.mend_procs_high();
        self.mend_own_counters();
        let lines = self.lines().flat_map(counts_of).map(|at| (at, 0));
        let own = [(ctl!(evictions), 1), (ctl!(expirations), 1), (ctl!(repairs), 2)];
        for (at, kind) in lines.chain(own) {
            if self.region.get(at) > self.most(kind) {
                self.region.set(at, 0);
            }
        }
        for slot in self.lines() {
            let (time, most) = self.time_of(slot);
            if time > most {
                self.region.set(rare_at(slot, Rare::TIME), 0);
            }
        }
        EVENTS.into_iter().filter(|event| self.base_of(*event) > self.total_of(*event)).for_each(|e| self.set_base(e));
        let too_high = |rare: &Rare| self.region.get(base_of_rare(*rare)) > self.total_rare(*rare);
        Rare::all().filter(too_high).for_each(|rare| self.set_base_of_rare(rare));
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
        // Before what it is compared with, as in `time_of`.
        let time = self.region.load(rare_at(slot_of(me), Rare::TIME), Ordering::Acquire);
        let mut loads = 0;
        for (at, last) in counts_of(slot_of(me)).zip(&mut tally.values) {
            let (count, before) = (self.region.get(at), *last);
            if same && !(before..=before.saturating_add(fresh)).contains(&count) {
                self.region.set(at, before);
            } else {
                *last = count;
            }
            if at == rare_at(slot_of(me), Rare::LOADS) {
                loads = last.saturating_sub(before);
            }
        }
        let last = tally.time;
        if same && !(last..=last.saturating_add(loads.saturating_mul(self.longest()))).contains(&time) {
            self.region.set(rare_at(slot_of(me), Rare::TIME), last);
        } else {
            tally.time = time;
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
