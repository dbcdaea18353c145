//! The handle: what the rest of the program sees of a shared cache. Byte strings in, byte strings out.

mod changing;
mod counting;
mod exchanging;
mod locking;

use crate::error::{Hindrance, OpenError};
use crate::file::header::{self, Options, Share};
use crate::file::layout::ctl;
use crate::file::units::{Slot, Tick};
use crate::policy::Strategy;
use crate::process::lock::CLEAR_TIMEOUT;
use crate::table::block::ReadBuf;
use crate::table::counters::Event;
use crate::table::fences::Began;
use crate::table::head::Freshness;
use crate::table::reading::{Hit, Remembered, NEVER};
use crate::table::tags::Tags;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One cache file, open in this process. Cheap to open again, safe to use from all threads, and after a fork.
pub struct SharedCache {
    table: Share,
    path: PathBuf,
}

impl SharedCache {
    pub fn open(options: &Options) -> Result<SharedCache, OpenError> {
        Self::open_as(options, true)
    }

    /// Opens the cache in the first of these places that has its file, else in the first that can be used. Their parents
    /// are not made, and `Options::dir` does not count. `alone`: no other process will look for it.
    pub fn open_in_first(options: &Options, places: &[PathBuf], alone: bool) -> Result<SharedCache, OpenError> {
        let (table, path) = crate::file::places::open_in_first(options, places, alone)?;
        Ok(SharedCache { table: Share::new(table), path })
    }

    pub(crate) fn open_as(options: &Options, shared: bool) -> Result<SharedCache, OpenError> {
        let (table, path) = header::open(options, shared)?;
        Ok(SharedCache { table: Share::new(table), path })
    }

    /// A handle of a file that was found, not asked for by its parameters.
    pub(crate) fn attached(table: Share, path: PathBuf) -> SharedCache {
        SharedCache { table, path }
    }

    pub(crate) fn table(&self) -> &crate::table::Table {
        &self.table
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
    pub fn strategy(&self) -> Strategy {
        self.table.strategy
    }
    /// The file was cut short by somebody while we had it mapped: everything misses from now on. Open it again.
    pub fn poisoned(&self) -> bool {
        self.table.region.truncated()
    }
    /// Whether the file's path names another file by now, or none: somebody has removed, renamed or replaced it. A system
    /// call.
    pub fn is_astray(&self) -> bool {
        self.table.is_astray(&self.path)
    }
    /// Whether another process says that it may be so.
    pub fn may_be_astray(&self) -> bool {
        self.table.region.get(ctl!(moved)) != 0
    }
    /// Leaves a file that is astray: everything misses from now on, as in one that was cut short, and others who have it
    /// open are told. Open it again.
    pub fn forsake(&self) {
        self.table.forsake();
    }
    /// Why this process stores nothing at all: `Stored::Busy` and `Acquired::Alone` come of it each time. `None` if it can
    /// store; then they come of somebody else who keeps a lock.
    pub fn hindrance(&self) -> Option<Hindrance> {
        self.table.hindrance()
    }
    pub fn generation(&self) -> u64 {
        self.table.generation()
    }
    /// What to remember of the start of a computation without a lease: see `insert`. `hash`: of its key.
    pub fn begin(&self, hash: u64) -> Began {
        self.table.begin(hash)
    }
    /// Whether nothing has fenced a computation that began so, with these tags.
    pub fn is_current(&self, hash: u64, began: Began, tags: &Tags) -> bool {
        self.table.is_current(hash, began, tags)
    }
    /// The tags of a computation that is about to begin, each a hash; more than 16 are none.
    pub fn tags(&self, tags: &[u64]) -> Tags {
        self.table.tags(tags)
    }
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.table.hash(key)
    }
    /// The clock of deadlines: nanoseconds.
    pub fn now(&self) -> u64 {
        self.table.now()
    }
    /// The deadline of something stored now that lives so long.
    pub fn deadline(&self, ttl: Option<Duration>) -> u64 {
        ttl.map_or(u64::MAX, |ttl| self.now().saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Copies the value of `key` into `buf`, as a use, be it fresh or stale. Takes no lock and never waits. Nothing is counted:
    /// see `count`.
    pub fn get(&self, key: &[u8], buf: &mut ReadBuf) -> Option<Hit> {
        self.get_hashed(self.table.hash(key), key, buf)
    }

    /// `get` of a key whose hash is known.
    pub fn get_hashed(&self, hash: u64, key: &[u8], buf: &mut ReadBuf) -> Option<Hit> {
        let hit = self.peek_hashed(hash, key, buf)?;
        self.table.touch_now(Slot::new(hit.slot));
        if self.table.idles() {
            self.table.note_use(Slot::new(hit.slot), self.table.now());
        }
        Some(hit)
    }

    /// `get` that is no use.
    pub fn peek(&self, key: &[u8], buf: &mut ReadBuf) -> Option<Hit> {
        self.peek_hashed(self.table.hash(key), key, buf)
    }

    fn peek_hashed(&self, hash: u64, key: &[u8], buf: &mut ReadBuf) -> Option<Hit> {
        let hit = self.table.find(hash, key, buf)?;
        (self.table.freshness(&hit) != Freshness::Gone).then_some(hit)
    }

    /// How the key's entry stands, and what there is to say of it. No use.
    pub fn look(&self, key: &[u8]) -> (Freshness, Option<Hit>) {
        let hit = self.table.find(self.table.hash(key), key, &mut ReadBuf::new());
        match hit.as_ref().map(|hit| self.table.freshness(hit)) {
            None | Some(Freshness::Gone) => (Freshness::Gone, None),
            Some(freshness) => (freshness, hit),
        }
    }

    /// Whether the key has an entry that is fresh. No use.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.look(key).0 == Freshness::Fresh
    }

    /// For how long the key's entry is fresh: nanoseconds, less than 0 if it is stale, `i64::MAX` without a limit. No use.
    pub fn ttl(&self, key: &[u8]) -> Option<i64> {
        let hit = self.look(key).1?;
        let now = self.table.now();
        let idle_end = self.table.idle_end(Slot::new(hit.slot), now);
        // It may have ended since it was found.
        if hit.end.min(idle_end) <= now {
            return None;
        }
        let end = hit.fresh.min(idle_end);
        let left = |from: u64, to: u64| i64::try_from(to - from).unwrap_or(i64::MAX);
        Some(match end {
            NEVER => i64::MAX,
            end if end < now => -left(end, now),
            end => left(now, end),
        })
    }

    /// Whether what was found as `hit` is still what a lookup would find (deadlines, tags and idleness aside). Two loads.
    #[inline(always)]
    pub fn still_current(&self, hit: &Hit) -> bool {
        self.table.word_again(Slot::new(hit.slot)).bits() == hit.word && self.table.generation() == hit.generation
    }

    /// How what was found as `hit` stands now. No use.
    pub fn freshness(&self, hit: &Hit) -> Freshness {
        if self.still_current(hit) {
            self.table.freshness(hit)
        } else {
            Freshness::Gone
        }
    }

    /// A hit of the decoded level in front of this one: checks that it is current and fresh, and stamps its use.
    /// `last` is the calling thread's own memory of the slot it used last, for this cache; start it with `u64::MAX`.
    #[inline(always)]
    pub fn hit_again(&self, hit: &Remembered, last: &mut u64) -> bool {
        if !self.still_current(hit) {
            return false;
        }
        if hit.until == NEVER && self.use_at_once(hit, last) {
            return true;
        }
        self.hit_again_slowly(hit, last)
    }

    /// The use of an entry, where no moment has to be compared with; false (and nothing done) where one is needed to stamp it.
    #[inline(always)]
    fn use_at_once(&self, hit: &Hit, last: &mut u64) -> bool {
        let slot = Slot::new(hit.slot);
        if self.table.touch_at_once(slot, *last == hit.slot) {
            *last = hit.slot;
            return true;
        }
        self.table.mark_use(slot)
    }

    #[inline(never)]
    fn hit_again_slowly(&self, hit: &Remembered, last: &mut u64) -> bool {
        if hit.is_for_ever_but_for_tags() && !self.table.idles() {
            return self.table.tags_hold_again(hit)
                && (self.use_at_once(hit, last) || self.hit_again_closely(hit, NEVER, 0, self.table.use_tick(), last));
        }
        let tick = self.table.use_tick();
        if hit.until != NEVER {
            let now = self.table.now_coarse(tick.number());
            if now >= hit.until {
                return self.hit_again_closely(hit, hit.fresh, now, tick, last);
            }
        }
        self.table.touch(Slot::new(hit.slot), tick, *last == hit.slot);
        *last = hit.slot;
        true
    }

    /// `hit_again` that finds a stale entry as well, and says which.
    pub fn hit_while_there(&self, hit: &Remembered, last: &mut u64) -> Freshness {
        if !self.still_current(hit) {
            return Freshness::Gone;
        }
        let tick = self.table.use_tick();
        let now = self.table.now_coarse(tick.number());
        if !self.hit_again_closely(hit, hit.end, now, tick, last) {
            Freshness::Gone
        } else if now < hit.fresh {
            Freshness::Fresh
        } else {
            Freshness::Stale
        }
    }

    /// A hit of what has more to it than a deadline, or was perhaps stale.
    #[inline(never)]
    fn hit_again_closely(&self, hit: &Remembered, until: u64, now: u64, tick: Tick, last: &mut u64) -> bool {
        let slot = Slot::new(hit.slot);
        if now >= until || !(hit.is_plain() || self.table.holds_again(hit, now)) {
            return false;
        }
        self.table.note_use(slot, now);
        self.table.touch(slot, tick, *last == hit.slot);
        *last = hit.slot;
        true
    }

    /// Counts. `stripe`: any number; threads that run at the same time had better use different ones.
    #[inline(always)]
    pub fn count(&self, stripe: u64, event: Event) {
        self.table.count(stripe, event);
    }
    /// `count` by a caller who holds something (the GIL) that keeps this process's other threads from counting.
    #[inline(always)]
    pub fn count_alone(&self, stripe: u64, event: Event) {
        self.table.count_alone(stripe, event);
    }

    /// How many changes there have been to what is in the file: see `changes`.
    pub fn changes(&self) -> u64 {
        self.table.changes()
    }

    /// Calls `changed` with the slots that have changed between these two numbers of changes; false if these are not all.
    pub fn changes_since(&self, seen: u64, now: u64, mut changed: impl FnMut(u64)) -> bool {
        self.table.changes_since(seen, now, |slot| changed(slot.number()))
    }

    /// What [`Hit::version`] is of what the slot has now.
    pub fn version(&self, slot: u64) -> u32 {
        self.table.version(Slot::new(slot))
    }

    /// A hit of the decoded level is none once it finds that this time has passed (0: never), until another is set: so
    /// somebody who is called soon can do what is due.
    pub fn wake_at(&self, time: u64) {
        self.table.coarse.wake_at(time);
    }

    /// Whether hits are none for that reason.
    pub fn wakes(&self) -> bool {
        self.table.coarse.wakes()
    }

    /// Empties the cache and zeroes its counters, for all processes, at once and whoever holds the lock. What is being
    /// computed is not stored any more. If the lock cannot be had, the next writer frees the memory (and zeroes the
    /// counters).
    pub fn clear(&self) {
        self.table.begin_clear();
        if self.table.lock(CLEAR_TIMEOUT).is_err() {
            // There may never be a next writer. Whoever does the same meanwhile writes the same, but for a moment.
            self.table.zero_counters_of_clear();
        }
    }

    /// Calls `f` with key, value and deadline of each entry: a look, no snapshot.
    pub fn for_each(&self, mut f: impl FnMut(&[u8], &[u8], u64)) {
        let mut buf = ReadBuf::new();
        for slot in self.table.slots() {
            let live = !self.table.word(slot).is_free();
            let found = if live { self.table.entry(slot, &mut buf) } else { None };
            if found.is_some_and(|hit| self.table.freshness(&hit) != Freshness::Gone) {
                f(buf.key(), buf.value(), buf.deadline());
            }
        }
    }

    /// Makes a fork's child claim its identity now. Never needed: the first operation does it.
    pub fn after_fork_child(&self) {
        self.table.identity();
    }
}
