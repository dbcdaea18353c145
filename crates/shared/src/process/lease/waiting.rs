//! Waiting for a lease that another has: the sleep, what a look at the record says, and waking those who sleep.

use super::{field, follows, left, owner_of, CHANGES, LOST, OVERDUE, PREDECESSOR, WAITERS};
use crate::file::atomic::{pause, Ordering};
use crate::file::layout::lease_state_at;
#[cfg(all(target_os = "linux", not(loom)))]
use crate::file::system;
use crate::file::units::Offset;
use crate::interface::Waited;
use crate::process::clock;
use crate::table::fences::Began;
use crate::table::tags::Tags;
use crate::table::Table;
use std::time::Duration;

/// Somebody else's computation.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    pub(super) index: u64,
    pub(super) state: u64,
    /// When the lease may be taken over (nanoseconds of `clock::boot_now`).
    pub deadline: u64,
    pub(super) hash: u64,
    /// How the key's fence stood when the computation began.
    pub(super) began: Began,
    /// And its tags.
    pub(super) tags: Tags,
    /// The computation runs in this very process (which thread's it is, the caller knows).
    pub mine: bool,
}

/// Sleeps between two looks at the owner grow up to this.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);

impl Table {
    pub(in crate::process) fn notify(&self, index: u64) {
        // Release, then look for waiters: pairs with `wait`, which counts itself before it reads `changes`. SeqCst on
        // both sides: either the waiter sees the new number, or we see the waiter.
        self.region.add(field(index, CHANGES), 1, Ordering::SeqCst);
        if self.region.load(field(index, WAITERS), Ordering::SeqCst) != 0 {
            self.wake(field(index, CHANGES));
        }
    }

    /// Sleeps until the lease ends, its owner is dead, its deadline has come, or `slice` has passed. With no slice at
    /// all this is a look.
    pub(crate) fn wait(&self, ticket: &Ticket, slice: Duration) -> Waited {
        if slice.is_zero() {
            return self.look_at(ticket, clock::boot_now(), true);
        }
        let started = clock::boot_now();
        let until = started.saturating_add(u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX));
        self.region.add(field(ticket.index, WAITERS), 1, Ordering::SeqCst);
        let mut sleep = Duration::from_millis(1);
        let mut steps = 0;
        let result = loop {
            let changes = self.region.load(field(ticket.index, CHANGES), Ordering::SeqCst);
            let now = clock::boot_now();
            // Asking the kernel about the owner costs more than a short computation.
            let waited = self.look_at(ticket, now, steps > 0 || cfg!(loom));
            if waited != Waited::NotYet || now >= until || (cfg!(loom) && steps > 2) {
                break waited;
            }
            let left = Duration::from_nanos((until - now).min(ticket.deadline - now));
            if cfg!(loom) {
                pause(steps);
            } else {
                self.sleep_on(field(ticket.index, CHANGES), changes, sleep.min(left));
            }
            sleep = (sleep * 2).min(LONGEST_SLEEP);
            steps += 1;
        };
        // A waiter that is killed in there leaves its count behind: then somebody is woken who is not there.
        self.region.add(field(ticket.index, WAITERS), u64::MAX, Ordering::Relaxed);
        result
    }

    /// How the computation stands. `thoroughly`: ask after its owner, too.
    fn look_at(&self, ticket: &Ticket, now: u64, thoroughly: bool) -> Waited {
        // Acquire: pairs with the release in `give_back`.
        let state = self.region.load(lease_state_at(ticket.index), Ordering::Acquire);
        let is_left = state != 0 && state == left(ticket.state);
        let predecessor = if follows(state, ticket.state) { state & PREDECESSOR } else { 0 };
        let is_succeeded = predecessor == OVERDUE || predecessor == LOST;
        if self.region.truncated() {
            return Waited::Ended;
        }
        if !(state == ticket.state || is_left || is_succeeded) {
            // Given back, and maybe given out again: by whom, is no matter.
            let is_told = state == 0 || (follows(state, ticket.state) && owner_of(state) != 0 && predecessor == 0);
            return if is_told { Waited::Ended } else { Waited::EndedPrivately };
        }
        let is_fenced = !self.is_current(ticket.hash, ticket.began, &ticket.tags);
        let is_lost = is_left || predecessor == LOST || is_fenced;
        if is_lost || ((is_succeeded || thoroughly) && self.is_dead(owner_of(ticket.state))) {
            Waited::Lost
        } else if is_succeeded || now >= ticket.deadline {
            Waited::Overdue
        } else {
            Waited::NotYet
        }
    }

    #[cfg(all(target_os = "linux", not(loom)))]
    fn sleep_on(&self, at: Offset, seen: u64, time: Duration) {
        system::futex_wait(self.region.word(at), seen, time);
    }

    #[cfg(all(target_os = "linux", not(loom)))]
    fn wake(&self, at: Offset) {
        system::futex_wake(self.region.word(at));
    }

    /// Without a futex that works between processes: a short sleep, over and over.
    #[cfg(any(not(target_os = "linux"), loom))]
    fn sleep_on(&self, _at: Offset, _seen: u64, time: Duration) {
        std::thread::sleep(time.min(Duration::from_millis(2)));
    }

    #[cfg(any(not(target_os = "linux"), loom))]
    fn wake(&self, _at: Offset) {}
}
