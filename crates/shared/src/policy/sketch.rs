//! TinyLFU's memory of keys that are not in the cache: a count-min sketch of 4-bit counters with conservative update
//! (Cormode and Muthukrishnan, 2005; Estan and Varghese, 2002), halved as it ages (Einziger, Friedman and Manes, 2017).
//!
//! A key has four counters, all in one line of `history` (as in Caffeine's blocked sketch), in one of its words 1 to 7
//! each. Word 0 is the epoch in which the line was last written: a line is halved when it is next looked at, once for
//! each epoch that has passed, so no moment is ever spent on the whole sketch.

use crate::file::layout::ctl;
use crate::table::Table;
use engine::policy::tuning::tinylfu::MAX_COUNT;

/// What a counter counts up to, here and in a slot's own.
pub(super) const MOST: u64 = MAX_COUNT as u64;
const WORDS: u64 = 7;
/// After so many halvings nothing is left.
const MAX_DECAY: u64 = 4;

/// A count of so many epochs ago.
pub(super) fn decay(count: u64, epochs: u64) -> u64 {
    if epochs < MAX_DECAY {
        count.min(MOST) >> epochs
    } else {
        0
    }
}

/// The four counters of a hash: word of the line and position in it. Each is in a part of its word of its own.
fn counters(hash: u64) -> [(u64, u64); 4] {
    std::array::from_fn(|i| {
        // (The low bits have chosen the line.)
        let own = (hash >> (24 + 10 * i)) & 0x3ff;
        (1 + own / 4 % WORDS, 4 * (4 * i as u64 + own % 4))
    })
}

impl Table {
    /// How often all counts have been halved.
    #[inline(always)]
    pub(super) fn epoch(&self) -> u64 {
        self.region.get_known(ctl!(epoch))
    }

    /// How often a key that is not in the cache was asked for lately, 15 at most. Never too few, but for aging.
    pub(super) fn estimate(&self, hash: u64) -> u64 {
        let Some(line) = self.history_line(hash) else { return 0 };
        let count = |(word, shift)| self.region.get(line + 8 * word) >> shift & MOST;
        let least = counters(hash).into_iter().map(count).min().unwrap_or(0);
        decay(least, self.epoch().wrapping_sub(self.region.get(line)))
    }

    /// A key leaves the cache with this count.
    pub(super) fn remember(&self, hash: u64, count: u64) {
        let Some(line) = self.history_line_to_write(hash) else { return };
        let epochs = self.epoch().wrapping_sub(self.region.get(line));
        if epochs > 0 {
            for at in (1..=WORDS).map(|word| line + 8 * word) {
                // Each counter's bits move within its four.
                let kept = 0x1111_1111_1111_1111 * decay(MOST, epochs);
                let halved = if epochs < MAX_DECAY { self.region.get(at) >> epochs & kept } else { 0 };
                self.region.set(at, halved);
            }
            self.region.set(line, self.epoch());
        }
        for (word, shift) in counters(hash) {
            let counters = self.region.get(line + 8 * word);
            if counters >> shift & MOST < count {
                self.region.set(line + 8 * word, counters & !(MOST << shift) | count.min(MOST) << shift);
            }
        }
    }

    /// All counts, here and in the slots, are those of too long ago.
    pub(super) fn forget_counts(&self) {
        self.region.set(ctl!(epoch), self.epoch().wrapping_add(MAX_DECAY));
    }
}
