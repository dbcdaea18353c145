//! Of the handle: changes of an entry by what it is, and walks over all.

use super::SharedCache;
use crate::error::Busy;
use crate::file::atomic::Ordering;
use crate::file::layout::ctl;
use crate::file::units::Offset;
use crate::table::block::ReadBuf;
use crate::table::exchange::{Change, Present};
use crate::table::head::Freshness;
use crate::table::reading::{Hit, Sought};
use crate::table::storing::Stored;
use std::time::Duration;

impl SharedCache {
    /// Changes a key's entry as `decide` says, which is given what is there (fresh or stale) and the present moment, and runs
    /// under the lock: no other process or thread changes anything meanwhile. What became of a store; `None` where nothing was to
    /// be stored. An error where the lock could not be had for so long: then nothing was done. `buf`: memory for the entry.
    pub fn change<'a>(
        &self,
        sought: &Sought<'_>,
        buf: &mut ReadBuf,
        wait: Duration,
        decide: &mut dyn FnMut(Option<Present<'_>>, u64) -> Change<'a>,
    ) -> Result<Option<Stored>, Busy> {
        self.table.change(sought, buf, wait, decide)
    }

    /// Takes the next victim of the policy out, of those that `take` says yes to, which is given key, value and place. Whether
    /// there was one. An error as in `change`.
    pub fn pop(&self, take: impl FnMut(&[u8], &[u8], &Hit) -> bool) -> Result<bool, Busy> {
        self.table.pop(take)
    }

    /// Calls `f` with key, value and place of each entry, the victims first where the policy tells by stamps: a look, no
    /// snapshot. O(n log n).
    pub fn for_each_by_use(&self, mut f: impl FnMut(&[u8], &[u8], &Hit)) {
        let mut buf = ReadBuf::new();
        for slot in self.table.by_use() {
            let found = self.table.entry(slot, &mut buf);
            if let Some(hit) = found.filter(|hit| self.table.freshness(hit) != Freshness::Gone) {
                f(buf.key(), buf.value(), &hit);
            }
        }
    }

    /// Whether `len` counts what `for_each_by_use` finds: no entry is apart, and none void by a tag.
    pub fn len_is_plain(&self) -> bool {
        // Acquire: pairs with the releases of whoever sets them.
        let is_zero = |at: Offset| self.table.region.load(at, Ordering::Acquire) == 0;
        is_zero(ctl!(tags_ready)) && is_zero(ctl!(apart))
    }

    /// Notes, for good, that there are entries which are not for all who walk over them.
    pub fn note_apart(&self) {
        if self.table.region.load(ctl!(apart), Ordering::Acquire) == 0 {
            // Release: who finds such an entry finds this.
            self.table.region.store(ctl!(apart), 1, Ordering::Release);
        }
    }

    /// Frees the entries that have ended, those that were idle for too long or are void by a tag included: how many. O(n).
    /// An error as in `change`.
    pub fn purge(&self) -> Result<u64, Busy> {
        self.table.purge()
    }
}
