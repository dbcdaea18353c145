//! The index: from a key's hash to its slot. Derived from the slots, rebuilt at will, read without a lock.
//!
//! Open addressing over buckets of one cache line: seven cells and a count of the entries that wanted a place here and
//! had to go on (the overflow count of Facebook's F14). So a search ends at the first bucket with count 0, deletion
//! needs no tombstones, and an absent key mostly costs one line. A cell is `upper half of the hash << 32 | slot + 1`.
//!
//! The index grows by levels: each has twice the buckets of the one before and a place of its own in the file, so a
//! reader that is still on the old level finds it as it was left. It can thus miss an entry, never find a wrong one:
//! slot, key and word are checked after.

use crate::file::atomic::Ordering;
use crate::file::layout::{ctl, Geometry, BUCKET_CELLS, BUCKET_LOAD};
use crate::file::units::{Offset, Slot};
use crate::process::lock::WriteGuard;
use crate::table::Table;

const _: () = assert!(BUCKET_CELLS == 7, "a bucket is a line");
/// In an index that is no fuller than it is meant to be, no search passes so many buckets.
const LONGEST: u64 = 128;

/// Why a slot cannot be entered.
pub(crate) enum Unfit {
    Full,
    Damaged,
}

/// Where the buckets are and how many.
#[derive(Clone, Copy)]
pub(crate) struct Level {
    number: u64,
    at: Offset,
    mask: u64,
}

impl Level {
    fn new(number: u64) -> Level {
        Level { number, at: Geometry::level_at(number), mask: Geometry::buckets(number) - 1 }
    }

    fn number_of(&self, hash: u64, probe: u64) -> u64 {
        hash.wrapping_add(probe) & self.mask
    }

    fn bucket(&self, hash: u64, probe: u64) -> Offset {
        self.at + self.number_of(hash, probe) * 64
    }
}

fn cell_at(bucket: Offset, i: u64) -> Offset {
    bucket + 8 * (1 + i)
}

fn cell(hash: u64, slot: Slot) -> u64 {
    hash & !0xffff_ffff | slot.to_link()
}

impl Table {
    /// The level in use; level 0, always there, where the file claims an impossible one.
    #[inline]
    pub(crate) fn level(&self) -> Level {
        // Acquire: pairs with the release in `index_build`.
        let claimed = self.region.load(ctl!(index_level), Ordering::Acquire);
        let possible = claimed <= self.geo.max_level && self.region.covers(Geometry::level_at(claimed + 1));
        Level::new(if possible { claimed } else { 0 })
    }

    /// Calls `found` with each slot that may hold a key of this hash, until it returns something.
    #[inline]
    pub(crate) fn search<R>(&self, hash: u64, mut found: impl FnMut(Slot) -> Option<R>) -> Option<R> {
        let level = self.level();
        let ready = self.slots_ready();
        for probe in 0..=level.mask {
            // Acquire: pairs with the release in `insert_at`. (The slot's word says what is true, not the cell.) The count comes
            // first in a bucket, and is read after the cells.
            let [overflow, cells @ ..] = self.region.line(level.bucket(hash, probe));
            for seen in cells {
                let slot = (seen & 0xffff_ffff).wrapping_sub(1);
                if (seen ^ hash) >> 32 == 0 && slot < ready {
                    if let Some(result) = found(Slot::new(slot)) {
                        return Some(result);
                    }
                }
            }
            if overflow == 0 {
                return None;
            }
        }
        None
    }

    /// Before the lock is taken: brings the line of a hash near.
    pub(crate) fn prefetch_bucket(&self, hash: u64) {
        self.region.prefetch(self.level().bucket(hash, 0));
    }

    /// Buckets of the level in use.
    pub(crate) fn level_number(&self) -> u64 {
        self.level().number
    }

    pub(crate) fn buckets(&self) -> u64 {
        self.level().mask + 1
    }

    /// Enters a slot. `Full` only where the disk kept the index from growing.
    pub(crate) fn index_insert(&self, _: &WriteGuard<'_>, hash: u64, slot: Slot) -> Result<(), Unfit> {
        let level = self.level();
        let crowded = self.may_be_crowded(level);
        let choked = || (0..LONGEST).all(|probe| self.region.get(level.bucket(hash, probe)) != 0);
        if !crowded && choked() {
            return Err(Unfit::Damaged);
        }
        let unfit = if crowded { Unfit::Full } else { Unfit::Damaged };
        self.insert_at(level, hash, slot).then_some(()).ok_or(unfit)
    }

    /// Whether there are more entries than a level is meant for, so that long searches are nothing to wonder at.
    fn may_be_crowded(&self, level: Level) -> bool {
        self.region.get(ctl!(count)) > (level.mask + 1) * (BUCKET_LOAD + 1)
    }

    pub(crate) fn insert_at(&self, level: Level, hash: u64, slot: Slot) -> bool {
        let probes = level.mask + 1;
        let room =
            |probe: &u64| (0..BUCKET_CELLS).any(|i| self.region.get(cell_at(level.bucket(hash, *probe), i)) == 0);
        let Some(target) = (0..probes).find(room) else { return false };
        for probe in 0..target {
            let count = level.bucket(hash, probe);
            // Release, before the cell: a reader who could find the cell does not stop short of it.
            self.region.store(count, self.region.get(count).wrapping_add(1), Ordering::Release);
            self.note_bucket(level.number_of(hash, probe), 0, 1);
        }
        let bucket = level.bucket(hash, target);
        let Some(i) = (0..BUCKET_CELLS).find(|i| self.region.get(cell_at(bucket, *i)) == 0) else { return false };
        // Release: pairs with the acquire in `search`.
        self.region.store(cell_at(bucket, i), cell(hash, slot), Ordering::Release);
        self.note_bucket(level.number_of(hash, target), 1, 0);
        self.note_passed(slot, target);
        true
    }

    /// An entry has had to pass so many buckets more (or fewer: wrapping).
    fn note_passed(&self, slot: Slot, by: u64) {
        if by != 0 {
            self.add_guarded(ctl!(passed), by);
            self.note_slot(slot, [0, 0, by]);
        }
    }

    /// Where a slot stands: how many buckets are passed on the way, and its cell.
    fn index_find(&self, level: Level, hash: u64, slot: Slot) -> Option<(u64, Offset)> {
        let probes = if self.may_be_crowded(level) { level.mask + 1 } else { LONGEST.min(level.mask + 1) };
        for probe in 0..probes {
            let bucket = level.bucket(hash, probe);
            let found =
                (0..BUCKET_CELLS).map(|i| cell_at(bucket, i)).find(|at| self.region.get(*at) == cell(hash, slot));
            if let Some(at) = found {
                return Some((probe, at));
            }
            if self.region.get(bucket) == 0 {
                return None;
            }
        }
        None
    }

    /// For the audit: how many buckets a search for the slot passes; `None` if it does not find it.
    pub(crate) fn index_place(&self, hash: u64, slot: Slot) -> Option<u64> {
        self.index_find(self.level(), hash, slot).map(|(probe, _)| probe)
    }

    /// For the audit: the cells that are taken in a bucket, and its count of overflow.
    pub(crate) fn audit_bucket(&self, number: u64, sums: &mut [u64; 3]) {
        let bucket = self.level().bucket(number, 0);
        sums[0] += (0..BUCKET_CELLS).filter(|i| self.region.get(cell_at(bucket, *i)) != 0).count() as u64;
        sums[1] = sums[1].wrapping_add(self.region.get(bucket));
    }

    /// Takes a slot out; false if it was not there, which only damage explains.
    pub(crate) fn index_remove(&self, hash: u64, slot: Slot) -> bool {
        let level = self.level();
        let Some((probe, at)) = self.index_find(level, hash, slot) else { return false };
        self.region.store(at, 0, Ordering::Release);
        self.note_bucket(level.number_of(hash, probe), u64::MAX, 0);
        for passed in 0..probe {
            let count = level.bucket(hash, passed);
            self.region.set(count, self.region.get(count).saturating_sub(1));
            self.note_bucket(level.number_of(hash, passed), 0, u64::MAX);
        }
        self.note_passed(slot, probe.wrapping_neg());
        true
    }

    /// Builds the next level when this one is loaded. Where there is no disk for it, this one just gets fuller.
    pub(crate) fn index_grow(&self, _: &WriteGuard<'_>) {
        let n = self.level().number;
        if self.region.get(ctl!(count)) < Geometry::buckets(n) * BUCKET_LOAD || n >= self.geo.max_level {
            return;
        }
        let at = Geometry::level_at(n + 1);
        if self.region.reserve(at, Geometry::level_at(n + 2) - at).is_ok()
            && self.region.covers(Geometry::level_at(n + 2))
        {
            self.index_build(n + 1, |table, level| {
                for slot in table.slots() {
                    if let Some(head) = table.head(table.word(slot).granule()) {
                        table.insert_at(level, head.hash, slot);
                    }
                }
            });
        }
    }

    /// Empties a level, fills it, and makes it the one in use. A death in between leaves the former one in use.
    fn index_build(&self, n: u64, fill: impl FnOnce(&Table, Level)) {
        self.begin_round();
        self.region.set(ctl!(passed), 0);
        for at in Geometry::level_at(n).words_to(Geometry::level_at(n + 1)) {
            if self.region.get(at) != 0 {
                self.region.set(at, 0);
            }
        }
        fill(self, Level::new(n));
        // Release: pairs with the acquire in `level`.
        self.region.store(ctl!(index_level), n, Ordering::Release);
    }

    /// For repair: an empty index for so many entries (readers miss meanwhile).
    pub(crate) fn index_clear(&self, entries: u64) {
        let roomy = |n: &u64| entries < Geometry::buckets(*n) * BUCKET_LOAD;
        let wanted = (0..self.geo.max_level).find(roomy).unwrap_or(self.geo.max_level);
        // (Level 0 is always there.)
        let there = |n: &u64| {
            let (at, end) = (Geometry::level_at(*n), Geometry::level_at(*n + 1));
            *n == 0 || (self.region.reserve(at, end - at).is_ok() && self.region.covers(end))
        };
        let n = (0..=wanted).rev().find(there).unwrap_or(0);
        self.index_build(n, |_, _| {});
    }
}
