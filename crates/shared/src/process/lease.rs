//! Leases: one computation per missing key for all processes, and no wait without an end.
//!
//! A key's lease is a record in one of the eight places of its home, which its hash names. It is given out under the
//! home's own lock and given back by one compare-and-swap, so a leader needs nobody's leave to end. Its state names
//! the owner and this very acquisition. Who waits sleeps on a futex in the record and looks up, every few milliseconds,
//! whether the owner still lives; a dead owner's lease, or one past its deadline, goes to whoever asks next.
//!
//! A waiter learns from the state how its wait ended: from what the owner left of it, or from a mark in the very next
//! acquisition. Given back: if there is no value now, none will come of it, and whoever waited is free at once. Given
//! back *privately*: the same, and what it ended with was the leader's alone, so those who stand behind the waiter in its
//! process need not hope to share what the waiter ends with. (This is assumed as well where several acquisitions have
//! passed.) Left (the callers were cancelled, which says nothing of the computation) or taken over: somebody computes in
//! the first one's place, and may be waited for.
//!
//! A key is absent, or no longer fresh, when its lease is given out. What a computation ends with is stored only if there is
//! no other fresh entry by then: what was set by hand meanwhile, or by whoever took over, stays. A lease is void once its
//! key has been fenced (`table::fences`) or one of the key's tags invalidated: nobody who comes then waits for it. Whoever
//! asks names the call's tags as they stand now; of a refresh in the background they are those of the entry.
//!
//! A refresh of an entry that is there is a computation like any other: the lease is what keeps it the only one.
//!
//! Where no lease can be had (lock busy, all eight places taken) the caller computes alone: a cost, never a wait.

mod waiting;

pub use self::waiting::Ticket;

use crate::file::atomic::Ordering;
use crate::file::layout::{lease_at, lease_state_at, Lease as Record, LEASES, LEASE_WAYS};
use crate::file::units::Offset;
pub(crate) use crate::interface::{Acquired, Purpose, Waited};
use crate::process::clock;
use crate::process::identity::{Identity, IDENTITY_BITS};
use crate::process::lock::{LockAt, STORE_TIMEOUT};
use crate::table::block::ReadBuf;
use crate::table::fences::Began;
use crate::table::head::Freshness;
use crate::table::reading::{Hit, Sought};
use crate::table::tags::Tags;
use crate::table::Table;
use core::mem::offset_of;
use engine::hashing::GOLDEN;
use std::time::Duration;

/// The right, and the duty, to compute a key.
#[derive(Clone, Debug)]
pub struct Lease {
    pub(super) index: u64,
    pub(super) state: u64,
    pub(crate) hash: u64,
    /// How the key's fence stood when the computation began.
    pub(crate) began: Began,
    /// The same with the tags, in one word.
    pub(super) word: u64,
    /// The slot and the word of the entry that was there, not fresh; 0 = there was none.
    pub(crate) seen: (u64, u64),
    /// Whether somebody has asked for a new value: it takes the place of what others have begun to compute before.
    pub(crate) prevails: bool,
}

// A state: `nonce << 34 | predecessor << 32 | owner`, or 0: given back. Nobody is owner 0: such a state is what its last
// owner made of it who left, or who ended privately.
const PREDECESSOR: u64 = 3 << IDENTITY_BITS;
/// The acquisition before was taken over at its bound.
pub(super) const OVERDUE: u64 = 1 << IDENTITY_BITS;
/// It ended privately. Of a state without an owner: this very acquisition did.
const PRIVATE: u64 = 2 << IDENTITY_BITS;
/// It was taken over because it was lost.
pub(super) const LOST: u64 = 3 << IDENTITY_BITS;
const NONCE_AT: u32 = IDENTITY_BITS + 2;

pub(super) const fn owner_of(state: u64) -> Identity {
    state & (OVERDUE - 1)
}

const fn nonce_of(state: u64) -> u64 {
    state >> NONCE_AT
}

/// Whether `next` is the acquisition after that of `state`.
const fn follows(next: u64, state: u64) -> bool {
    nonce_of(next) == (nonce_of(state) + 1) & (u64::MAX >> NONCE_AT)
}

/// What an owner's state becomes when it leaves.
const fn left(state: u64) -> u64 {
    nonce_of(state) << NONCE_AT
}

/// What an owner's state becomes when it ends privately.
const fn ended_privately(state: u64) -> u64 {
    left(state) | PRIVATE
}

pub(super) fn field(index: u64, offset: usize) -> Offset {
    lease_at(index) + offset as u64
}
pub(super) const HASH: usize = offset_of!(Record, hash);
const NONCE: usize = offset_of!(Record, nonce);
const CHANGES: usize = offset_of!(Record, changes);
pub(super) const DEADLINE: usize = offset_of!(Record, deadline);
pub(super) const BEGAN: usize = offset_of!(Record, began);
const WAITERS: usize = offset_of!(Record, waiters);
const SEAL: usize = offset_of!(Record, seal);

/// The lock of a home, in the record of its first place.
pub(super) fn home_lock(places: &std::ops::Range<u64>) -> LockAt {
    LockAt::home(places.start / LEASE_WAYS, field(places.start, offset_of!(Record, lock)))
}

pub(super) fn places(hash: u64) -> std::ops::Range<u64> {
    let home = (hash >> 40) * LEASE_WAYS % LEASES;
    home..home + LEASE_WAYS
}

/// Spreads a sum's bits, so that no two changes of what is added make up for each other by chance.
fn checked(sum: u64) -> u64 {
    (sum ^ sum >> 29).wrapping_mul(GOLDEN).rotate_left(31)
}

impl Table {
    /// `acquire_to` for a miss.
    pub(crate) fn acquire(&self, key: &[u8], bound: Duration, force: bool) -> Acquired {
        self.acquire_to(Purpose::Miss, key, &Tags::NONE, bound, force)
    }

    /// `acquire_sought` of a key that was not looked for.
    pub(crate) fn acquire_to(
        &self,
        purpose: Purpose,
        key: &[u8],
        tags: &Tags,
        bound: Duration,
        force: bool,
    ) -> Acquired {
        let sought = Sought { key, hash: self.hash(key), absent_since: None };
        self.acquire_sought(purpose, &sought, tags, bound, force)
    }

    /// Asks for the lease of a key, whose tags are these. `bound`: after so long, others may take it over. `force`: take it
    /// even from a living owner whose deadline has not come (the caller has waited enough).
    pub(crate) fn acquire_sought(
        &self,
        purpose: Purpose,
        sought: &Sought<'_>,
        tags: &Tags,
        bound: Duration,
        force: bool,
    ) -> Acquired {
        let Sought { key, hash, absent_since } = *sought;
        let home = home_lock(&places(hash));
        self.region.prefetch(home.word());
        self.region.prefetch(lease_state_at(places(hash).start));
        // Before the lock, which is no place to ask the time in.
        let now = clock::boot_now();
        let Ok((held, _)) = self.hold(home, STORE_TIMEOUT) else { return Acquired::Alone };
        let me = held.owner();
        let began = self.begin(hash);
        let of_tags = if purpose == Purpose::Refresh {
            self.find(hash, key, &mut ReadBuf::new()).map_or(0, |hit| self.tag_word(&hit))
        } else {
            tags.word()
        };
        let word = began.word().wrapping_add(of_tags);
        let bound = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let mut free = None;
        let mut predecessor = 0;
        for index in places(hash) {
            // Acquire: pairs with the releases in `take` and `give_back`.
            let state = self.region.load(lease_state_at(index), Ordering::Acquire);
            if state == 0 {
                free = free.or(Some((index, state)));
                continue;
            }
            if self.region.get(field(index, HASH)) != hash {
                continue;
            }
            let deadline = self.region.get(field(index, DEADLINE));
            let outdated = self.region.get(field(index, BEGAN)) != word;
            let lost = outdated || self.is_void(index, state);
            if force || lost || now >= deadline {
                free = Some((index, state));
                predecessor = if lost { LOST } else { OVERDUE };
                break;
            }
            let deadline = deadline.min(now.saturating_add(bound));
            let mine = owner_of(state) == me;
            return Acquired::Follower(Ticket { index, state, deadline, hash, began, tags: *tags, mine });
        }
        // Between the caller's miss and now a leader may have stored the value and ended. (Both happen before we see no
        // lease.)
        // Not if no slot's word has changed since that miss. (Where damage says so, the value is computed once more, and the
        // store finds the other one.)
        let found = match absent_since {
            Some(changes) if changes == self.changes() => None,
            _ => self.find(hash, key, &mut ReadBuf::new()),
        };
        let freshness = found.as_ref().map_or(Freshness::Gone, |hit| self.freshness(hit));
        let is_due = match (purpose, freshness) {
            (Purpose::Anew, _) | (Purpose::Miss, Freshness::Stale | Freshness::Gone) => true,
            (Purpose::Refresh, Freshness::Stale) => {
                let now = self.now();
                found.as_ref().is_some_and(|hit| self.failures(hit, now).not_before <= now)
            }
            (Purpose::Miss | Purpose::Refresh, Freshness::Fresh) | (Purpose::Refresh, Freshness::Gone) => false,
        };
        if !is_due {
            return Acquired::Present;
        }
        let seen = found.map_or((0, 0), |hit| (hit.slot, hit.word));
        let places = || places(hash).map(|index| (index, self.region.load(lease_state_at(index), Ordering::Acquire)));
        let free = free.or_else(|| places().find(|(index, state)| self.is_void(*index, *state)));
        let Some((index, old)) = free else { return Acquired::Alone };
        if old == ended_privately(old) {
            predecessor = PRIVATE;
        }
        let state = self.next_state(index, me) | predecessor;
        let prevails = force && purpose == Purpose::Anew;
        self.take(index, old, Lease { index, state, hash, began, word, seen, prevails }, now.saturating_add(bound))
    }

    pub(super) fn next_state(&self, index: u64, me: u64) -> u64 {
        let nonce = self.region.get(field(index, NONCE)).wrapping_add(1);
        self.region.set(field(index, NONCE), nonce);
        nonce << NONCE_AT | me
    }

    /// What binds a state to its record.
    fn seal(&self, index: u64, state: u64) -> u64 {
        [HASH, BEGAN, DEADLINE]
            .iter()
            .fold(index ^ state, |sum, offset| checked(sum).wrapping_add(self.region.get(field(index, *offset))))
    }

    /// Whether a state, read under the home's lock, is nobody's: its owner is dead, or it is not what `take` wrote.
    pub(super) fn is_void(&self, index: u64, state: u64) -> bool {
        self.region.get(field(index, SEAL)) != self.seal(index, state) || self.is_dead(owner_of(state))
    }

    pub(super) fn take(&self, index: u64, old: u64, mut lease: Lease, deadline: u64) -> Acquired {
        // Before the state, and only under the home's lock: whoever reads these under it finds those of the state.
        self.region.set(field(index, HASH), lease.hash);
        self.region.set(field(index, BEGAN), lease.word);
        self.region.set(field(index, DEADLINE), deadline);
        // Release: pairs with the acquire in `acquire` and `look_at`. It fails only if the owner has gone meanwhile, and then
        // nothing was taken over from it: it has ended, or left.
        self.region.set(field(index, SEAL), self.seal(index, lease.state));
        let mut taken = self.region.cas(lease_state_at(index), old, lease.state, Ordering::AcqRel);
        if let Err(now) = taken {
            let (gone, predecessor) = match now {
                now if now == left(old) => (now, LOST),
                now if now == ended_privately(old) => (now, PRIVATE),
                _ => (0, 0),
            };
            lease.state = lease.state & !PREDECESSOR | predecessor;
            self.region.set(field(index, SEAL), self.seal(index, lease.state));
            taken = self.region.cas(lease_state_at(index), gone, lease.state, Ordering::AcqRel);
        }
        if old != 0 {
            self.notify(index);
        }
        match taken {
            Ok(_) => Acquired::Leader(lease),
            Err(_) => Acquired::Alone,
        }
    }

    /// Gives a record that is held another end. Only under the home's lock. (A death between the two leaves a dead owner's.)
    pub(super) fn set_end_of(&self, index: u64, state: u64, deadline: u64) {
        self.region.set(field(index, DEADLINE), deadline);
        self.region.set(field(index, SEAL), self.seal(index, state));
    }

    /// Whether nobody has taken a lease over.
    pub(crate) fn is_held(&self, lease: &Lease) -> bool {
        // Acquire: as in `acquire_sought`.
        self.region.load(lease_state_at(lease.index), Ordering::Acquire) == lease.state
    }

    /// Ends a computation's lease, if it is still this one's: whoever waits is free. Needs no lock.
    pub(crate) fn end(&self, lease: &Lease) {
        self.give_back(lease, 0);
    }

    /// The same where what it ended with is its caller's alone.
    pub(crate) fn end_privately(&self, lease: &Lease) {
        self.give_back(lease, ended_privately(lease.state));
    }

    /// The same for a caller who goes before the computation has ended: one of those who wait computes in his place.
    pub(crate) fn leave(&self, lease: &Lease) {
        self.give_back(lease, left(lease.state));
    }

    fn give_back(&self, lease: &Lease, state: u64) {
        // A computation may fork: its copy in the child must not end the parent's.
        if owner_of(lease.state) != self.identity() {
            return;
        }
        // Release: the stored entry is seen before the end of the lease is.
        if self.region.cas(lease_state_at(lease.index), lease.state, state, Ordering::Release).is_ok() {
            self.notify(lease.index);
        }
    }

    /// Whether somebody who lives computes the key of an entry, as far as a look without a lock can tell.
    pub(crate) fn is_computed(&self, hash: u64, entry: &Hit) -> bool {
        let began = self.begin(hash).word().wrapping_add(self.tag_word(entry));
        places(hash).any(|index| {
            // Acquire: pairs with the release in `take`.
            let state = self.region.load(lease_state_at(index), Ordering::Acquire);
            let is_this = |offset, value| self.region.get(field(index, offset)) == value;
            state != 0 && is_this(HASH, hash) && is_this(BEGAN, began) && !self.is_void(index, state)
        })
    }

    /// For repair: the leases of the dead are free.
    pub(crate) fn release_dead_leases(&self) {
        for index in 0..LEASES {
            // Acquire: pairs with the release in `take`, which has sealed the record before.
            let state = self.region.load(lease_state_at(index), Ordering::Acquire);
            // (Where somebody gives this lease out meanwhile, the record is the next one's: then nothing is lost, as `take`
            // takes a free one as well.)
            if state != 0 && self.is_void(index, state) {
                let freed = self.region.cas(lease_state_at(index), state, 0, Ordering::AcqRel);
                freed.into_iter().for_each(|_| self.notify(index));
            }
        }
    }
}
