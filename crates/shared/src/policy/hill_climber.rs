//! How large TinyLFU's window is: a hill climber on the hit ratio, and the epochs of its counts.
//!
//! As Caffeine's, and as in memory (`engine::policy::tuning`): after samples of ten times as many lookups as entries the
//! counts are halved, and the window grows or shrinks by a step. What it gains, the protected part loses.
//!
//! Lookups are counted by each process in its own lines (`table::counters`); their sum is taken now and
//! then, by whoever evicts.
//! The climber's words are all zeros at the beginning; whatever they hold, the shares stay within their limits.

use crate::file::layout::ctl;
use crate::file::units::Offset;
use crate::table::counters::Event;
use crate::table::Table;
use engine::policy::tuning::tinylfu::{Climb, SAMPLE};

/// Evictions between two looks at the counters, as a part of the entries; and at least.
const LOOKS: (u64, u64) = (64, 16);
impl Table {
    fn number(&self, at: Offset) -> f64 {
        let number = f64::from_bits(self.region.get(at));
        if number.is_finite() {
            number.clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }

    fn set_number(&self, at: Offset, number: f64) {
        self.region.set(at, number.to_bits());
    }

    fn climber(&self) -> Climb {
        Climb {
            ratio: self.number(ctl!(hit_ratio)),
            step: self.number(ctl!(climb)),
            moved: self.number(ctl!(window_moved)),
        }
    }

    /// Room of the window and of the protected part, in a cache of `all` entries.
    pub(super) fn shares(&self, all: u64) -> (u64, u64) {
        self.climber().rooms(all)
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
        let climber = self.climber().after_sample(ratio.clamp(0.0, 1.0));
        self.set_number(ctl!(hit_ratio), climber.ratio);
        self.set_number(ctl!(climb), climber.step);
        self.set_number(ctl!(window_moved), climber.moved);
        self.region.set(ctl!(sample_hits), hits);
        self.region.set(ctl!(sample_accesses), hits.wrapping_add(misses));
        self.region.set(ctl!(epoch), self.epoch().wrapping_add(1));
    }
}
