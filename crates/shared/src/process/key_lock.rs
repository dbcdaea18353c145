//! Locks on keys: a record in the table of leases that stands for no computation.
//!
//! It is given out and given back as a lease is, and falls free with its owner's death; but no fence and no clear concerns it,
//! and it ends by itself only where whoever took it said when. Its hash is that of its bytes behind a mark, so it is no key's
//! lease. Where all places of its home are taken nobody gets it now, and is told so: that nobody has it is known only
//! under the home's lock, so no caller can find it out by a look and an attempt.
//!
//! **A death** of its owner makes it void. One between the words of the record and its state leaves a record that is nobody's.

use crate::error::Busy;
use crate::file::atomic::Ordering;
use crate::file::layout::lease_state_at;
use crate::interface::Asked;
use crate::process::clock;
use crate::process::lease::{
    field, home_lock, owner_of, places, Acquired, Lease, BEGAN, DEADLINE, HASH, LOST, OVERDUE,
};
use crate::process::lock::CLEAR_TIMEOUT;
use crate::table::fences::Began;
use crate::table::Table;
use engine::hashing::GOLDEN;
use std::time::Duration;

/// In the place of how a key's fence stood: no lock is ever outdated.
const LOCK: u64 = GOLDEN ^ 0x4C4F_434B;
/// Before the bytes of what is locked.
const MARK: &[u8] = b"\xfflock ";

/// A lock that was taken, by this process and whoever has this.
#[derive(Clone, Debug)]
pub struct KeyLock {
    lease: Lease,
    /// When it falls free (nanoseconds of `clock::boot_now`).
    deadline: u64,
}

/// When a lock falls free that is given out now.
fn end_of(now: u64, lease: Option<Duration>) -> u64 {
    lease.map_or(u64::MAX, |lease| now.saturating_add(u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX)))
}

impl Table {
    fn lock_hash(&self, key: &[u8]) -> u64 {
        let mut bytes = MARK.to_vec();
        bytes.extend_from_slice(key);
        self.hash(&bytes)
    }

    /// Takes the lock of a key, unless somebody has it or there is no room. `lease`: after so long others may take it.
    pub(crate) fn lock_key(&self, key: &[u8], lease: Option<Duration>) -> Result<Asked, Busy> {
        let hash = self.lock_hash(key);
        let now = clock::boot_now();
        let deadline = end_of(now, lease);
        let (held, _) = self.hold(home_lock(&places(hash)), CLEAR_TIMEOUT)?;
        let me = held.owner();
        let (mut free, mut predecessor) = (None, 0);
        for index in places(hash) {
            // Acquire: pairs with the releases in `take` and `unlock_key`.
            let state = self.region.load(lease_state_at(index), Ordering::Acquire);
            if self.is_lock(index, state, hash) {
                let is_void = self.is_void(index, state);
                if !is_void && now < self.region.get(field(index, DEADLINE)) {
                    return Ok(Asked::Held);
                }
                free = Some((index, state));
                predecessor = if is_void { LOST } else { OVERDUE };
                break;
            }
            if free.is_none() && (state == 0 || self.is_void(index, state)) {
                free = Some((index, state));
            }
        }
        let Some((index, old)) = free else { return Ok(Asked::Full) };
        let state = self.next_state(index, me) | predecessor;
        let began = Began::of(0, 0);
        let lease = Lease { index, state, hash, began, word: LOCK, seen: (0, 0), prevails: false };
        match self.take(index, old, lease, deadline) {
            Acquired::Leader(lease) => Ok(Asked::Taken(KeyLock { lease, deadline })),
            Acquired::Follower(_) | Acquired::Present | Acquired::Alone => Ok(Asked::Held),
        }
    }

    /// Has a lock end so long after now, or never: the lock as it is from then on; `None` if it was this one's no more.
    pub(crate) fn prolong_key(&self, lock: &KeyLock, lease: Option<Duration>) -> Result<Option<KeyLock>, Busy> {
        let Lease { index, hash, state, .. } = lock.lease;
        // Nobody takes it over meanwhile.
        let (_held, _) = self.hold(home_lock(&places(hash)), CLEAR_TIMEOUT)?;
        let now = clock::boot_now();
        // In a fork's child it is the parent's.
        let is_ours = owner_of(state) == self.identity() && self.is_held(&lock.lease);
        if !is_ours || now >= lock.deadline || self.is_void(index, state) {
            return Ok(None);
        }
        let deadline = end_of(now, lease);
        self.set_end_of(index, state, deadline);
        Ok(Some(KeyLock { lease: lock.lease.clone(), deadline }))
    }

    /// Gives a lock back; whether it was this one's still.
    pub(crate) fn unlock_key(&self, lock: &KeyLock) -> bool {
        let lease = &lock.lease;
        // In a fork's child it is the parent's.
        if owner_of(lease.state) != self.identity() {
            return false;
        }
        let in_time = clock::boot_now() < lock.deadline;
        // Release: what was done under the lock is seen by who takes it next.
        let given = self.region.cas(lease_state_at(lease.index), lease.state, 0, Ordering::Release).is_ok();
        if given {
            self.notify(lease.index);
        }
        given && in_time
    }

    /// Whether somebody has the lock of a key. No lock is taken, but where a record's words are of no one moment.
    pub(crate) fn is_key_locked(&self, key: &[u8]) -> bool {
        let (hash, now) = (self.lock_hash(key), clock::boot_now());
        let at = |index| {
            // Acquire: pairs with the release in `take`.
            let state = self.region.load(lease_state_at(index), Ordering::Acquire);
            let counts = self.is_lock(index, state, hash) && now < self.region.get(field(index, DEADLINE));
            (state, counts, counts && !self.is_void(index, state))
        };
        places(hash).any(|index| {
            let (state, counts, is_taken) = at(index);
            if is_taken || !counts || self.is_dead(owner_of(state)) {
                return is_taken;
            }
            // It may be taken or prolonged in this moment; who does that has the home's lock.
            self.hold(home_lock(&places(hash)), CLEAR_TIMEOUT).is_ok_and(|_held| at(index).2)
        })
    }

    fn is_lock(&self, index: u64, state: u64, hash: u64) -> bool {
        let is_this = |offset, value| self.region.get(field(index, offset)) == value;
        state != 0 && owner_of(state) != 0 && is_this(HASH, hash) && is_this(BEGAN, LOCK)
    }
}
