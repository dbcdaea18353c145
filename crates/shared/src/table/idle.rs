//! Time to idle: an entry that has not been used for so long is gone.
//!
//! It is a parameter of the cache. Where there is one, each slot has a word with the moment of its entry's last use, in an
//! area of its own; other caches have none. A hit writes there only once what is there is older than a thousandth of the
//! time to idle and a millisecond, so a hot entry's line stays in everybody's cache. It writes by compare-and-swap,
//! without a lock: a hit that comes late, when the slot is another entry's, finds another moment there and changes nothing.
//!
//! A moment in the future is damage: the entry counts as gone, and the audit puts the word right.

use crate::file::atomic::Ordering;
use crate::file::units::Slot;
use crate::table::reading::NEVER;
use crate::table::Table;

const MILLISECOND: u64 = 1_000_000;
/// Clocks of two readers are no further apart.
const APART: u64 = 10 * MILLISECOND;

impl Table {
    /// Whether entries may end for want of use.
    #[inline(always)]
    pub(crate) fn idles(&self) -> bool {
        self.header.idle != 0
    }

    /// Whether the slot's entry has not been used for too long.
    #[inline]
    pub(crate) fn is_idle(&self, slot: Slot, now: u64) -> bool {
        self.idles() && now >= self.idle_end(slot, now)
    }

    /// When the slot's entry will have been idle for too long.
    pub(crate) fn idle_end(&self, slot: Slot, now: u64) -> u64 {
        if !self.idles() {
            return NEVER;
        }
        let last = self.region.known(self.geo.idle_word(slot)).load(Ordering::Relaxed);
        if last > now.saturating_add(APART) {
            return 0;
        }
        last.saturating_add(self.header.idle)
    }

    /// Notes a use, now.
    #[inline]
    pub(crate) fn note_use(&self, slot: Slot, now: u64) {
        if !self.idles() {
            return;
        }
        let word = self.region.known(self.geo.idle_word(slot));
        let last = word.load(Ordering::Relaxed);
        if now.saturating_sub(last) >= (self.header.idle / 1000).max(MILLISECOND) {
            self.region.before_store();
            // Relaxed: nothing hangs on it but when the entry ends.
            let _ = word.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Under the lock, before an entry is published: it has just been used. When it will have been idle for too long.
    pub(crate) fn begin_use(&self, slot: Slot) -> u64 {
        if !self.idles() {
            return NEVER;
        }
        let now = self.now();
        self.region.set(self.geo.idle_word(slot), now);
        now.saturating_add(self.header.idle)
    }

    /// For the audit, under the lock: a moment in the future is now.
    pub(crate) fn mend_use(&self, slot: Slot) {
        if self.idles() {
            let now = self.now();
            if self.idle_end(slot, now) == 0 {
                self.region.set(self.geo.idle_word(slot), now);
            }
        }
    }
}
