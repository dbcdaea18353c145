//! Where entry bytes go: a bitmap of granules, next fit. Derived from the slots; nothing in it can lead a reader
//! anywhere.
//!
//! A bit per granule of 32 bytes: no headers, no links, no size classes that could starve each other, and free
//! neighbours are one run without being merged. At most 31 bytes of an entry are lost to rounding. When no run is long
//! enough the data grows by a reserved segment; at `max_bytes`, or when the disk is full, entries give way
//! (`room::make_room`), in the end those that lie in one stretch, so fragmentation can never refuse an entry that
//! fits into an empty cache.

use crate::file::atomic::Ordering;
use crate::file::layout::{ctl, GRANULE, GRANULES_PER_WORD};
use crate::file::units::{GranuleIndex, Offset};
use crate::process::clock;
use crate::process::lock::WriteGuard;
use crate::table::Table;

/// Granules looked at in one search at most, beside the run's own length: 8192 words of the bitmap.
const SEARCH: u64 = 8192 * GRANULES_PER_WORD;
/// A segment: at least 32 KiB, at most 2 MiB, in between a quarter of what is there. In granules.
const SEGMENT: (u64, u64) = ((32 << 10) / GRANULE, (2 << 20) / GRANULE);
/// After a failed growth the disk is left alone for a while (nanoseconds).
const RETRY_DISK: u64 = 1_000_000_000;

/// The words of the bitmap that hold the granules from `first` to `end`: the first of them in each, and their bits.
fn masks(first: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut at = first;
    std::iter::from_fn(move || {
        let from = at % GRANULES_PER_WORD;
        let len = (GRANULES_PER_WORD - from).min(end - at);
        let index = at;
        at += len;
        (len > 0).then(|| (index, (u64::MAX >> (64 - len)) << from))
    })
}

impl Table {
    /// Granules in use in one word of the bitmap.
    pub(crate) fn ones(&self, word: u64) -> u64 {
        u64::from(self.region.get(self.bits_at(word * GRANULES_PER_WORD)).count_ones())
    }

    pub(crate) fn prefetch_bits(&self, index: GranuleIndex) {
        self.region.prefetch(self.bits_at(index.number()));
    }

    fn bits_at(&self, index: u64) -> Offset {
        self.geo.bitmap + index / GRANULES_PER_WORD * 8
    }

    /// Granules that are reserved, as the file claims and the kernel and the geometry confirm.
    pub(crate) fn data_ready(&self) -> u64 {
        let claimed = self.region.get(ctl!(data_ready)).min(self.geo.granules) / GRANULES_PER_WORD * GRANULES_PER_WORD;
        if claimed == 0 || self.region.covers(self.geo.data + claimed * GRANULE) {
            claimed
        } else {
            0
        }
    }

    /// Sets or clears the bits of `n` granules from `first` on. False (and nothing done) unless all of them were the
    /// opposite.
    pub(crate) fn mark(&self, first: GranuleIndex, n: u64, used: bool) -> bool {
        if !self.are(first, n, !used) {
            return false;
        }
        for (index, mask) in masks(first.number(), first.number() + n) {
            let at = self.bits_at(index);
            self.region.set(at, self.region.get(at) ^ mask);
            let ones = u64::from(mask.count_ones());
            self.note_bits(index / GRANULES_PER_WORD, if used { ones } else { ones.wrapping_neg() });
        }
        let used_now = self.region.get(ctl!(used_granules));
        self.region.set(ctl!(used_granules), if used { used_now.wrapping_add(n) } else { used_now.saturating_sub(n) });
        true
    }

    /// Whether all of `n` granules from `first` on are in use.
    pub(crate) fn is_marked(&self, first: GranuleIndex, n: u64) -> bool {
        self.are(first, n, true)
    }

    fn are(&self, first: GranuleIndex, n: u64, used: bool) -> bool {
        let Some(end) = first.number().checked_add(n).filter(|end| *end <= self.data_ready()) else { return false };
        masks(first.number(), end)
            .all(|(index, mask)| self.region.get(self.bits_at(index)) & mask == if used { mask } else { 0 })
    }

    /// No room was found. If the bitmap says otherwise than the count of what is in use, that is damage, and repaired:
    /// true. It takes some time to see, so it is not looked at each time.
    pub(crate) fn room_was_hidden(&self) -> bool {
        let words = self.data_ready() / GRANULES_PER_WORD;
        let n = self.no_room.fetch_add(1, Ordering::Relaxed);
        if !n.is_multiple_of((words / 256).max(16)) {
            return false;
        }
        let ones: u64 = (0..words).map(|word| self.ones(word)).sum();
        ones != self.region.get(ctl!(used_granules)) && self.mend()
    }

    /// The first run of `n` free granules in `from..to`.
    fn find_run(&self, from: u64, to: u64, n: u64) -> Option<GranuleIndex> {
        let (mut start, mut at) = (from, from);
        while at < to {
            let bits = self.region.get(self.bits_at(at)) >> (at % GRANULES_PER_WORD);
            let left = GRANULES_PER_WORD - at % GRANULES_PER_WORD;
            at += if bits == 0 { left } else { u64::from(bits.trailing_zeros()) };
            if at.min(to) - start >= n {
                return Some(GranuleIndex::new(start));
            }
            if bits != 0 {
                at += u64::from((bits >> bits.trailing_zeros()).trailing_ones());
                start = at;
            }
        }
        None
    }

    /// A free run of `n` granules that holds `index` or begins shortly before it: where an entry has just been taken
    /// away.
    pub(crate) fn find_around(&self, index: GranuleIndex, n: u64) -> Option<GranuleIndex> {
        let (ready, index) = (self.data_ready(), index.number());
        let from = index.saturating_sub(n) / GRANULES_PER_WORD * GRANULES_PER_WORD;
        self.find_run(from, ready.min(index.saturating_add(2 * n)), n)
    }

    /// A free run of `n` granules, from where the last search ended. Takes nothing away from anybody.
    pub(crate) fn find_free(&self, n: u64) -> Option<GranuleIndex> {
        let ready = self.data_ready();
        if self.region.get(ctl!(used_granules)) > ready {
            // Damage: more is used than there is.
            self.mend();
        }
        if ready.saturating_sub(self.region.get(ctl!(used_granules))) < n {
            return None;
        }
        let cursor = self.region.get(ctl!(alloc_cursor));
        let cursor = if cursor < ready { cursor } else { 0 };
        let first = self.find_run(cursor, ready.min(cursor + SEARCH + n), n);
        let found = first.or_else(|| self.find_run(0, ready.min(cursor.min(SEARCH) + n), n))?;
        self.region.set(ctl!(alloc_cursor), found.number() + n);
        Some(found)
    }

    /// Reserves a further segment with room for `n` granules. False at `max_bytes` or without disk.
    pub(crate) fn grow_data(&self, _: &WriteGuard<'_>, n: u64) -> bool {
        let ready = self.data_ready();
        let most = self.geo.granules - ready;
        let mut least = n.div_ceil(GRANULES_PER_WORD) * GRANULES_PER_WORD;
        if n > ready {
            // Only together with what is there: others have to give way.
            least = least.min(most);
        }
        if least == 0 || least > most {
            return false;
        }
        if clock::boot_now() < self.disk_full_until.load(Ordering::Relaxed) {
            self.region.refuse_again();
            return false;
        }
        let usual =
            (ready / 4).clamp(SEGMENT.0, SEGMENT.1).max(least).min(most) / GRANULES_PER_WORD * GRANULES_PER_WORD;
        for more in [usual, least] {
            if self.reserve_data(ready, ready + more) {
                // Release: a process that believes the new size finds it reserved.
                self.region.store(ctl!(data_ready), ready + more, Ordering::Release);
                // The next search begins where there is room for certain.
                self.region.set(ctl!(alloc_cursor), ready);
                return true;
            }
        }
        self.disk_is_full();
        false
    }

    pub(crate) fn disk_is_full(&self) {
        self.disk_full_until.store(clock::boot_now() + RETRY_DISK, Ordering::Relaxed);
    }

    fn reserve_data(&self, from: u64, to: u64) -> bool {
        let bits = (self.bits_at(from), self.bits_at(to));
        let reserved = self.region.reserve(bits.0, bits.1 - bits.0).is_ok()
            && self.region.reserve(self.geo.data + from * GRANULE, (to - from) * GRANULE).is_ok()
            && self.region.covers(self.geo.data + to * GRANULE);
        if reserved {
            // Fresh disk reads as zeros; left-overs of a growth that was cut short need not.
            for at in bits.0.words_to(bits.1) {
                self.region.set(at, 0);
            }
        }
        reserved
    }

    /// For repair: everything free.
    pub(crate) fn free_all(&self) {
        let ready = self.data_ready();
        self.region.set(ctl!(data_ready), ready);
        for at in self.bits_at(0).words_to(self.bits_at(ready)) {
            self.region.set(at, 0);
        }
        self.region.set(ctl!(used_granules), 0);
        self.region.set(ctl!(alloc_cursor), 0);
    }
}
