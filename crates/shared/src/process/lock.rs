//! The locks: one word that names its owner, bounded waits, and takeover after the owner's death.
//!
//! The writers' lock guards what is derived; a small one at each home of leases (see `lease`) guards its records, so that
//! a miss contends for the writers' lock once, to store, and not for its lease as well. Nobody takes one with another held.
//!
//! **One writers' lock, not one per shard.** Capacity is exact and a small cache's victim is exact: both are statements about
//! the whole table, so shards would have to trade room with each other under a second lock, and a death in the middle
//! of such a trade would need its own repair. What a lock guards here takes well under a microsecond, readers never
//! take it, and a miss has computed something before. With one lock, capacity, order, `clear`, allocation and repair
//! are each one plain paragraph. What shards would have bought, that a stopped owner blocks only some of the keys, is
//! bought otherwise: who has waited in vain for an owner does not wait for that same acquisition again
//! (`Account::last_timeout`).
//!
//! **A word** is 0 (free), or `nonce << 32 | identity`: who has the lock, and which of its acquisitions it is. So whoever
//! exchanges a word that it has validated exchanges that very acquisition and no later one. `POISONED` says that what
//! the lock guards must be repaired before anything else.
//!
//! **One thread of a process at a time** stands at the door of a lock: it has the process's own account of it. So a word
//! that names this process, found by the thread at the door, is no sibling's; and others see from the process's line (in
//! the file) whether it is in the lock or at its door. Whoever finds a word whose owner is dead, or whose owner is not in
//! the lock by its own account (damage), exchanges it for its own, in one compare-and-swap, and repairs everything the lock
//! guards before anything else. (Leases need no repair: their states are right at any moment.) If it dies in there, the
//! next one does the same: repair starts from the slots alone and may be run any number of times.
//!
//! **A guard that is ousted**, which only damage can bring about, writes nothing more that others rely on (`owns`), and
//! leaves `POISONED` in the word, whoever has it by then.

use crate::error::Busy;
use crate::file::atomic::{pause, AtomicU64, Ordering};
use crate::file::layout::{ctl, Geometry, Proc, GRANULE, LEASE_HOMES};
use crate::file::units::Offset;
use crate::process::identity::{field, slot_of, Identity, IDENTITY_BITS};
use crate::table::storing::Stored;
use crate::table::Table;
use core::mem::offset_of;
use core::sync::atomic::AtomicU64 as PlainU64;
use std::time::Duration;

/// What the lock guards must be repaired before it is used.
const POISONED: u64 = 1 << 63;

const fn owner_of(word: u64) -> Identity {
    word & ((1 << IDENTITY_BITS) - 1)
}

/// How long a store waits for the lock before it is skipped.
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_millis(200);
/// How long `clear` and `remove`, which must not be skipped silently, wait.
pub(crate) const CLEAR_TIMEOUT: Duration = Duration::from_secs(2);

/// Which lock, and where its word lies in the file.
#[derive(Clone, Copy)]
pub(crate) struct LockAt {
    word: Offset,
    /// `None` = the writers' lock.
    home: Option<u64>,
}

const WRITERS: LockAt = LockAt { word: ctl!(lock), home: None };
const _: () = assert!(LEASE_HOMES <= 64, "a line has a bit for each");

impl LockAt {
    /// The lock of a home of leases.
    pub(crate) fn home(number: u64, word: Offset) -> LockAt {
        LockAt { word, home: Some(number) }
    }

    pub(crate) fn word(self) -> Offset {
        self.word
    }
}

/// What a process keeps of one lock, outside the mapping.
struct Account {
    /// The word of the thread that is in the lock or at its door; 0 = none of ours.
    taken: AtomicU64,
    nonce: PlainU64,
    /// The word, thus the acquisition, that a thread of this process timed out on last.
    last_timeout: PlainU64,
}

/// An account of each lock.
pub(crate) struct Accounts {
    writers: Account,
    homes: [Account; LEASE_HOMES as usize],
}

impl Accounts {
    pub(crate) fn new() -> Accounts {
        let nonce = || PlainU64::new(first_nonce());
        let account = || Account { taken: AtomicU64::new(0), nonce: nonce(), last_timeout: PlainU64::new(0) };
        Accounts { writers: account(), homes: std::array::from_fn(|_| account()) }
    }

    fn of(&self, at: LockAt) -> &Account {
        at.home.map_or(&self.writers, |home| &self.homes[home as usize])
    }

    /// No thread of this process is in any lock.
    pub(crate) fn reset(&self) {
        self.writers.taken.store(0, Ordering::Relaxed);
        self.homes.iter().for_each(|home| home.taken.store(0, Ordering::Relaxed));
    }
}

/// Anything: what damage puts into a word must not be the word of an acquisition to come.
fn first_nonce() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    if cfg!(loom) {
        100
    } else {
        std::collections::hash_map::RandomState::new().build_hasher().finish()
    }
}

impl Account {
    fn next_word(&self, me: Identity) -> u64 {
        let nonce = self.nonce.fetch_add(1, Ordering::Relaxed);
        nonce << IDENTITY_BITS & !POISONED | me
    }

    fn timed_out_before(&self, seen: u64, timeout: Duration) -> bool {
        seen != 0 && timeout <= STORE_TIMEOUT && self.last_timeout.load(Ordering::Relaxed) == seen
    }
}

/// Holds a lock; given back when it is dropped.
pub(crate) struct LockGuard<'a> {
    door: Door<'a>,
    /// What a death has left to do is not done.
    leaves_work: bool,
}

/// This thread is the one of its process that may take the lock.
struct Door<'a> {
    table: &'a Table,
    at: LockAt,
    word: u64,
}

/// Holds the writers' lock: all that is derived (index, bitmap, counts, free slots) may be read and changed.
pub(crate) struct WriteGuard<'a> {
    _held: LockGuard<'a>,
}

/// The backoff of one wait, up to its timeout.
struct Backoff {
    steps: u32,
    #[cfg(not(loom))]
    since: Option<std::time::Instant>,
}

impl Backoff {
    fn new() -> Backoff {
        Backoff {
            steps: 0,
            #[cfg(not(loom))]
            since: None,
        }
    }

    /// Waits a little; false once `timeout` is used up.
    fn more(&mut self, timeout: Duration) -> bool {
        pause(self.steps);
        self.steps += 1;
        #[cfg(loom)]
        return self.steps < 4 + timeout.subsec_nanos();
        #[cfg(not(loom))]
        if self.steps < 6 {
            true
        } else {
            self.since.get_or_insert_with(std::time::Instant::now).elapsed() < timeout
        }
    }

    /// Whether it is time to ask the kernel about the owner: not for the first few microseconds.
    fn suspicious(&self) -> bool {
        cfg!(loom) || (self.steps >= 12 && self.steps % 8 == 4)
    }
}

impl Table {
    /// Takes the writers' lock, and does first what a death or a clear has left to do.
    pub(crate) fn lock(&self, timeout: Duration) -> Result<WriteGuard<'_>, Busy> {
        let (mut held, after_death) = self.hold(WRITERS, timeout)?;
        if !self.in_reach() {
            // What is in use and cannot be seen would look like damage, and be repaired: others must do it.
            held.leaves_work = after_death;
            return Err(Busy);
        }
        let guard = WriteGuard { _held: held };
        if after_death {
            self.repair();
        }
        self.finish_clear();
        self.audit_if_due();
        Ok(guard)
    }

    /// The writers' lock for a process that cannot map all that is in use, and does nothing under it that needs that.
    #[cold]
    pub(crate) fn lock_out_of_reach(&self) -> Option<WriteGuard<'_>> {
        if self.region.truncated() || self.in_reach() {
            return None;
        }
        let (mut held, after_death) = self.hold(WRITERS, STORE_TIMEOUT).ok()?;
        held.leaves_work = after_death;
        (!after_death).then_some(WriteGuard { _held: held })
    }

    /// Whether the writers' lock is this process's still, asked by the thread that has taken it. If not, what it guards is
    /// another's.
    pub(crate) fn owns(&self) -> bool {
        self.region.get(WRITERS.word) & !POISONED == self.me.accounts.writers.taken.load(Ordering::Relaxed)
    }

    /// Whether somebody has the writers' lock, and keeps it for longer than a change takes. Nothing is waited for but a few
    /// microseconds.
    #[inline]
    pub(crate) fn is_kept_locked(&self) -> bool {
        self.region.get(WRITERS.word) != 0 && self.stays_locked()
    }

    #[cold]
    fn stays_locked(&self) -> bool {
        (0..6).all(|step| {
            pause(step);
            self.region.get(WRITERS.word) != 0
        })
    }

    /// In tests: nobody writes without the lock.
    #[inline(always)]
    pub(crate) fn must_own(&self) {
        #[cfg(any(test, loom))]
        assert!(self.owns() || self.region.truncated() || self.may_be_ousted(), "written without the writers' lock");
    }

    #[cfg(any(test, loom))]
    fn may_be_ousted(&self) -> bool {
        #[cfg(not(loom))]
        return crate::testing::OUSTED.get();
        #[cfg(loom)]
        false
    }

    /// Takes a lock; says whether its last owner died or unwound with it.
    pub(crate) fn hold(&self, at: LockAt, timeout: Duration) -> Result<(LockGuard<'_>, bool), Busy> {
        let me = self.writer_identity();
        if me == 0 || self.region.truncated() {
            return Err(Busy);
        }
        let mut backoff = Backoff::new();
        let door = self.stand_at(at, me, timeout, &mut backoff)?;
        let after_death = self.contend(&door, me, timeout, &mut backoff)?;
        Ok((LockGuard { door, leaves_work: false }, after_death))
    }

    /// Waits for the other threads of this process.
    fn stand_at(&self, at: LockAt, me: Identity, timeout: Duration, backoff: &mut Backoff) -> Result<Door<'_>, Busy> {
        let account = self.me.accounts.of(at);
        let word = account.next_word(me);
        // Acquire: pairs with the release in `Door::drop`.
        while account.taken.compare_exchange(0, word, Ordering::Acquire, Ordering::Relaxed).is_err() {
            let seen = self.region.get(at.word);
            if account.timed_out_before(seen, timeout) {
                return Err(Busy);
            }
            if !backoff.more(timeout) {
                account.last_timeout.store(seen, Ordering::Relaxed);
                return Err(Busy);
            }
        }
        let door = Door { table: self, at, word };
        door.say(true);
        Ok(door)
    }

    /// After `lock` has failed: whether others were in the way, or this process cannot map what is in use.
    #[cold]
    pub(crate) fn why_busy(&self) -> Stored {
        if self.region.truncated() || self.in_reach() {
            Stored::Busy
        } else {
            self.no_memory()
        }
    }

    /// There is no memory for what is to be done, or no addresses.
    #[cold]
    pub(crate) fn no_memory(&self) -> Stored {
        self.region.refuse(libc::ENOMEM);
        Stored::NoSpace
    }

    /// Whether this process can map all that the file says is in use (and has).
    fn in_reach(&self) -> bool {
        let slots = self.region.get(ctl!(slots_ready)).min(self.geo.capacity);
        let level = self.region.get(ctl!(index_level)).min(self.geo.max_level);
        let history = self.region.get(ctl!(history_lines)).min(self.geo.history_lines);
        let data = self.region.get(ctl!(data_ready)).min(self.geo.granules);
        // (The areas lie in this order, and those that are not in use are not in the file.)
        let end = match (data, history) {
            (0, 0) => self.geo.slots_end(slots).max(Geometry::level_at(level + 1)),
            (0, lines) => self.geo.history_line(lines),
            _ => self.geo.data + data * GRANULE,
        };
        self.region.reaches(end)
    }

    fn contend(&self, door: &Door<'_>, me: Identity, timeout: Duration, backoff: &mut Backoff) -> Result<bool, Busy> {
        let (at, account) = (door.at, self.me.accounts.of(door.at));
        loop {
            // Acquire, here and below: pairs with the release in `LockGuard::drop`, so all that the last owner wrote is
            // seen; and with that of the owner's own acquisition, so what it said before is seen, too. Release: the next
            // who judges us sees what we said.
            let seen = match self.region.load(at.word, Ordering::Acquire) {
                0 => match self.region.cas(at.word, 0, door.word, Ordering::AcqRel) {
                    Ok(_) => return Ok(false),
                    Err(_) => continue,
                },
                seen => seen,
            };
            // This very acquisition was waited for in vain before: no second time, unless the caller waits longer than a
            // store.
            let goes_on = !account.timed_out_before(seen, timeout) && backoff.more(timeout);
            // At the bound at the latest: on a busy machine the first few steps may take all of the time.
            let may_ask = !goes_on || backoff.suspicious();
            if owner_of(seen) == me || slot_of(owner_of(seen)) == 0 || (may_ask && !self.is_inside(at, seen)) {
                // What a dead owner had written, the kernel's news of its death has ordered before us.
                if self.region.cas(at.word, seen, door.word, Ordering::AcqRel).is_ok() {
                    return Ok(true);
                }
            } else if !goes_on {
                account.last_timeout.store(seen, Ordering::Relaxed);
                return Err(Busy);
            }
        }
    }

    /// Whether the process that a lock's word names lives and is in that lock, or at its door, as it says itself.
    fn is_inside(&self, at: LockAt, seen: u64) -> bool {
        let owner = owner_of(seen);
        // Acquire: pairs with the releases in `say`. An owner that says that it has left has given the word back before,
        // so an exchange of the word that was seen fails.
        let says = self.has_line(owner)
            && match at.home {
                None => self.region.load(said(owner, at), Ordering::Acquire) == seen & !POISONED,
                Some(home) => self.region.load(said(owner, at), Ordering::Acquire) >> home & 1 == 1,
            };
        says && !self.is_dead(owner)
    }
}

/// Where a process says that it is in a lock.
fn said(owner: Identity, at: LockAt) -> Offset {
    let offset = if at.home.is_none() { offset_of!(Proc, in_writers) } else { offset_of!(Proc, in_homes) };
    field(slot_of(owner), offset)
}

impl Door<'_> {
    /// Says in this process's line that it is in the lock or at its door, or that it is not.
    fn say(&self, inside: bool) {
        let (region, said) = (&self.table.region, said(owner_of(self.word), self.at));
        // Release: pairs with the acquire in `is_inside`.
        match self.at.home {
            None => region.store(said, if inside { self.word } else { 0 }, Ordering::Release),
            Some(home) if inside => region.raise(said, 1 << home, Ordering::Release),
            Some(home) => region.lower(said, 1 << home, Ordering::Release),
        }
    }
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        self.say(false);
        // Release: pairs with the acquire in `stand_at`.
        self.table.me.accounts.of(self.at).taken.store(0, Ordering::Release);
    }
}

impl LockGuard<'_> {
    /// The identity under which the lock was taken.
    pub(crate) fn owner(&self) -> Identity {
        owner_of(self.door.word)
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        let Door { table, at, word } = self.door;
        let after = if self.leaves_work || std::thread::panicking() { POISONED } else { 0 };
        let mut seen = word;
        loop {
            let next = match seen {
                _ if seen == word => after,
                _ if seen == word | POISONED => POISONED,
                // Only damage to the file can have given the lock to somebody else. It is not ours to free, but what we
                // did meanwhile must be looked through.
                _ => seen | POISONED,
            };
            // Release: pairs with the acquire in `contend`.
            match table.region.cas(at.word, seen, next, Ordering::Release) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        #[cfg(any(test, loom))]
        assert!(
            seen & !POISONED == word || table.region.truncated() || table.may_be_ousted() || std::thread::panicking(),
            "the lock was taken from a guard that lives"
        );
        // The door is left after the word is given back: the field is dropped after this.
    }
}
