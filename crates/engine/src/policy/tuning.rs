//! Tuning: the constants and decisions of S3-FIFO and W-TinyLFU that do not hang on where the entries are.
//!
//! Ring 1. Pure functions, for the policies here and for those of the shared tier's file (`crates/shared/src/policy/`), so that
//! both evict by the same rules; `tests/traces/test_both_tiers.py` holds one against the other. What differs is only how
//! an order is kept: here a hit moves its entry, there it leaves a mark that whoever evicts acts upon.

/// S3-FIFO: see [`s3fifo`](crate::policy::s3fifo).
pub mod s3fifo {
    /// What a frequency counts up to.
    pub const MAX_FREQUENCY: u8 = 3;
    /// With so many uses an entry goes from the small queue to the main one.
    const PROMOTE_AT: u8 = 2;
    /// The small queue's part of the cache is one of so many.
    const PARTS: u64 = 10;

    /// Room of the small queue and of the main one in a cache of `entries`. So many ghosts as the main one has room for are
    /// known.
    #[inline]
    pub fn rooms(entries: u64) -> (u64, u64) {
        let small = (entries / PARTS).max(1);
        (small, entries.saturating_sub(small))
    }

    /// Whether the next to be looked at is the small queue's oldest entry, rather than the main one's: asked anew after each
    /// entry that has gone on. In a full cache the small queue is within its room exactly when the main one is full, so
    /// this is Algorithm 1 of the paper, whose search through the small queue ends where an entry fills the main one.
    #[inline(always)]
    pub fn takes_from_small(small_len: u64, main_len: u64, small_room: u64) -> bool {
        small_len >= small_room || main_len == 0
    }

    /// The frequency with which the oldest entry of a queue goes on to the front of the main one; `None`: it is evicted.
    #[inline(always)]
    pub fn goes_on(is_in_small: bool, frequency: u8) -> Option<u8> {
        if is_in_small {
            (frequency >= PROMOTE_AT).then_some(0)
        } else {
            frequency.checked_sub(1)
        }
    }
}

/// W-TinyLFU: see [`tinylfu`](crate::policy::tinylfu).
pub mod tinylfu {
    /// What a count of uses stops at.
    pub const MAX_COUNT: u8 = 15;
    /// Lookups in a sample, for each entry. At its end all counts are halved and the window changes.
    pub const SAMPLE: u64 = 10;

    /// The window at first. The paper's one per cent takes a large cache long to climb away from, where that is not the best
    /// one; on recorded traffic most of the best are nearer to this.
    const WINDOW: f64 = 0.2;
    /// Probation always: a fifth of what is not the window at first, as in the paper. The rest is protected.
    const PROBATION: f64 = 0.2 * (1.0 - WINDOW);

    /// The climber's step at first, as a share of the cache.
    const STEP: f64 = 0.0625;
    /// How much smaller the next step is.
    const DECAY: f64 = 0.98;
    /// A change of the hit ratio by so much makes the steps large again.
    const RESTART: f64 = 0.05;

    /// A candidate used so often that loses is let in once in a while all the same: nobody can keep everybody out by entries
    /// whose counts he has driven up.
    const WARM: u8 = 6;
    const ONCE_IN: u64 = 128;

    /// The count that a new entry begins with: being asked for is a use.
    #[inline(always)]
    pub fn initial_count(estimate: u8) -> u8 {
        estimate.saturating_add(1).min(MAX_COUNT)
    }

    /// Whether a candidate that has been used so often stays in the place of the main part's victim.
    #[inline(always)]
    pub fn admits(candidate: u8, victim: u8, random: impl FnOnce() -> u64) -> bool {
        candidate > victim || (candidate >= WARM && random().is_multiple_of(ONCE_IN))
    }

    /// A hill climber: how far the window has moved, and how it will. All zeros at the beginning.
    ///
    /// Einziger, Eytan, Friedman & Manes, "Adaptive software cache management" (Middleware '18).
    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    pub struct Climb {
        /// The hit ratio of the last sample.
        pub ratio: f64,
        /// The next step, as a share of the cache: positive if the window grows where the hit ratio has risen. 0: none was made.
        pub step: f64,
        /// By what share of the cache the window is larger than at first.
        pub moved: f64,
    }

    impl Climb {
        /// The state after a sample with this hit ratio. The first step is towards a smaller window; while the ratio rises the
        /// steps go on in their direction, else they turn round.
        pub fn after_sample(self, ratio: f64) -> Climb {
            let change = ratio - self.ratio;
            let last = if self.step == 0.0 { -STEP } else { self.step };
            let step = if change >= 0.0 { last } else { -last };
            let next = if change.abs() >= RESTART { STEP.copysign(step) } else { DECAY * step };
            Climb { ratio, step: next, moved: (self.moved + step).clamp(-WINDOW, 1.0 - PROBATION - WINDOW) }
        }

        /// Room of the window and of the protected part in a cache of `entries`. Steps of less than an entry add up.
        pub fn rooms(self, entries: u64) -> (u64, u64) {
            let probation = (entries as f64 * PROBATION) as u64;
            let window = (entries as f64 * (WINDOW + self.moved)).max(0.0) as u64;
            let window = window.clamp(1, (entries - probation).max(1));
            (window, (entries - probation).saturating_sub(window))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tinylfu::Climb;

    proptest! {
        #[test]
        fn rooms_fit_into_the_cache(entries: u64, ratios in prop::collection::vec(0.0..=1.0, 0..200)) {
            let (small, main) = s3fifo::rooms(entries);
            prop_assert!(small >= 1 && small + main == entries.max(1));
            let climb = ratios.into_iter().fold(Climb::default(), Climb::after_sample);
            let (window, protected) = climb.rooms(entries);
            prop_assert!(window >= 1 && window.checked_add(protected).unwrap() <= entries.max(1));
        }

        #[test]
        fn one_entry_leaves_for_one(frequencies in prop::collection::vec(0..=s3fifo::MAX_FREQUENCY, 1..60)) {
            // However an entry was used, it is evicted after it has gone on as often as that.
            for frequency in frequencies {
                let mut left = Some(frequency);
                let rounds = std::iter::from_fn(|| { left = s3fifo::goes_on(false, left?); left }).count();
                prop_assert_eq!(rounds, frequency as usize);
            }
        }
    }

    #[test]
    fn the_first_step_makes_the_window_smaller_and_a_loss_turns_it_round() {
        let first = Climb::default().after_sample(0.5);
        assert!(first.moved < 0.0 && first.step < 0.0);
        let second = first.after_sample(0.49);
        assert!(second.moved == 0.0 && second.step > 0.0 && second.step < 0.0625);
        assert_eq!(second.after_sample(0.9).step, 0.0625);
    }

    #[test]
    fn a_warm_loser_is_admitted_once_in_a_while() {
        assert!(tinylfu::admits(3, 2, || unreachable!()) && !tinylfu::admits(5, 5, || unreachable!()));
        assert!(tinylfu::admits(6, 15, || 0) && !tinylfu::admits(6, 15, || 1));
    }
}
