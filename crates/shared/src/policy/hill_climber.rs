//! How large TinyLFU's window is: a hill climber on the hit ratio, and the epochs of its counts.
//!
//! As Caffeine's: over samples of ten times as many lookups as entries, the window grows or shrinks by a step; if the
//! hit ratio has become worse since the last sample, the other way next. Steps begin at a sixteenth of the cache and
//! become shorter by 2 % each time; a change of the ratio by a twentieth or more begins anew. What the window gains, the
//! protected part loses.
//!
//! Lookups are counted by each process in its own lines (`table::counters`); their sum is taken now and
//! then, by whoever evicts.
//! The climber's words are all zeros at the beginning; whatever they hold, the shares stay within their limits.

use crate::file::layout::ctl;
use crate::table::counters::Event;
use crate::table::Table;

/// Lookups in a sample, for each entry.
const SAMPLE: u64 = 10;
/// Evictions between two looks at the counters, as a part of the entries; and at least.
const LOOKS: (u64, u64) = (64, 16);
/// The window at first, and probation always, as parts of the cache. (Four fifths of the rest is protected at first.)
const WINDOW: f64 = 0.2;
const PROBATION: f64 = 0.2 * (1.0 - WINDOW);
const STEP: f64 = 0.0625;
const DECAY: f64 = 0.98;
const RESTART: f64 = 0.05;

impl Table {
    fn number(&self, at: u64) -> f64 {
        let number = f64::from_bits(self.region.get(at));
        if number.is_finite() {
            number.clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }

    fn set_number(&self, at: u64, number: f64) {
        self.region.set(at, number.to_bits());
    }

    /// Room of the window and of the protected part, in a cache of `all` entries.
    pub(super) fn shares(&self, all: u64) -> (u64, u64) {
        let probation = (all as f64 * PROBATION) as u64;
        let window = (all as f64 * (WINDOW + self.number(ctl!(window_moved)))).max(0.0) as u64;
        let window = window.clamp(1, (all - probation).max(1));
        (window, (all - probation).saturating_sub(window))
    }

    /// Once per eviction: at the end of a sample, the next epoch and another window.
    pub(super) fn adapt(&self) {
        let (entries, look) =
            (self.region.get(ctl!(count)).min(self.max_entries()), self.region.get(ctl!(sample_look)));
        let between = (entries / LOOKS.0).max(LOOKS.1);
        if (1..=between).contains(&look) {
            return self.region.set(ctl!(sample_look), look - 1);
        }
        self.region.set(ctl!(sample_look), between);
        let (hits, misses) = (self.total_of(Event::Hit), self.total_of(Event::Miss));
        let all = hits.wrapping_add(misses).wrapping_sub(self.region.get(ctl!(sample_accesses)));
        if all < entries * SAMPLE {
            return;
        }
        let ratio = hits.wrapping_sub(self.region.get(ctl!(sample_hits))) as f64 / all as f64;
        self.climb(ratio.clamp(0.0, 1.0));
        self.region.set(ctl!(sample_hits), hits);
        self.region.set(ctl!(sample_accesses), hits.wrapping_add(misses));
        self.region.set(ctl!(epoch), self.epoch().wrapping_add(1));
    }

    fn climb(&self, ratio: f64) {
        let change = ratio - self.number(ctl!(hit_ratio));
        // Before the first step the way is towards a smaller window.
        let last = self.number(ctl!(climb));
        let last = if last == 0.0 { -STEP } else { last };
        let step = if change >= 0.0 { last } else { -last };
        let next = if change.abs() >= RESTART { STEP.copysign(step) } else { DECAY * step };
        let most = 1.0 - PROBATION - WINDOW;
        let moved = (self.number(ctl!(window_moved)) + step).clamp(-WINDOW, most);
        self.set_number(ctl!(hit_ratio), ratio);
        self.set_number(ctl!(climb), next);
        self.set_number(ctl!(window_moved), moved);
    }
}
