//! Counters: striped so that no two processes write one line, kept in the file so that they outlive their process.
//!
//! A process counts in its own slot's lines and never takes anything back; the sums over all slots ever used are exact,
//! dead processes included. `clear` notes where the sums stood.

use crate::shm::atomic::Ordering;
use crate::shm::core::Core;
use crate::shm::layout::{ctl, proc_at, Counters, Proc, PROCS, STRIPES};
use crate::shm::process::slot_of;
use core::mem::{offset_of, size_of};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Event {
    Hit = 0,
    Miss = 1,
    Oversize = 2,
}
const EVENTS: u64 = 3;

fn counter_at(slot: u64, stripe: u64, event: u64) -> u64 {
    let line = size_of::<Counters>() as u64 * (stripe % STRIPES);
    proc_at(slot) + offset_of!(Proc, counters) as u64 + line + 8 * event
}

impl Core {
    /// Counts one event. Relaxed: nothing hangs on a counter but its sum.
    #[inline]
    pub(crate) fn count(&self, stripe: u64, event: Event) {
        self.region.add(counter_at(slot_of(self.identity()), stripe, event as u64), 1, Ordering::Relaxed);
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
        self.region.set(at, self.region.get(at).wrapping_add(1));
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

    fn total(&self, event: u64) -> u64 {
        // Acquire: pairs with the release in `raise_procs_high`; up to there the table is reserved.
        let high = self.region.load(ctl!(procs_high), Ordering::Acquire).clamp(1, PROCS);
        (0..high)
            .filter(|slot| self.region.covers(proc_at(slot + 1)))
            .flat_map(|slot| (0..STRIPES).map(move |stripe| counter_at(slot, stripe, event)))
            .fold(0, |sum, at| sum.wrapping_add(self.region.get(at)))
    }

    /// How often it has happened since the last `clear`, in all processes together.
    pub(crate) fn counted(&self, event: Event) -> u64 {
        self.total(event as u64).wrapping_sub(self.region.get(ctl!(base) + 8 * event as u64))
    }

    pub(crate) fn zero_counters(&self) {
        for event in 0..EVENTS {
            self.region.set(ctl!(base) + 8 * event, self.total(event));
        }
    }
}
