//! A count-min sketch of four-bit counters: about how often a key was used that is not in the cache.
//!
//! Cormode & Muthukrishnan, "An improved data stream summary: the count-min sketch and its applications" (2005), raised
//! conservatively (Estan & Varghese, 2002): a counter is lifted to a key's count, never above it. A key's four counters lie
//! in one cache line.

use super::tuning::tinylfu::MAX_COUNT;

/// A line: four rows of two words, sixteen counters to a word.
type Line = [u64; 8];
const ROWS: u32 = 4;

#[derive(Clone, Debug)]
pub struct Sketch {
    /// A power of two of them; none until a first count comes in.
    lines: Vec<Line>,
    entries: usize,
}

impl Sketch {
    /// A sketch beside a cache of `entries` entries. It takes 8 to 16 bytes for each, once there is something to remember.
    pub fn new(entries: usize) -> Self {
        Sketch { lines: Vec::new(), entries }
    }

    /// Goes on beside a cache of `entries` entries; it becomes no smaller. O(n).
    pub fn resize(&mut self, entries: usize) {
        self.entries = entries;
        // A hash's line in the upper half is a copy of the one that it had.
        while !self.lines.is_empty() && self.lines.len() < self.lines_wanted() {
            self.lines.extend_from_within(..);
        }
    }

    fn lines_wanted(&self) -> usize {
        // A cache that has no bound and is told to evict all the same.
        let entries = if self.entries > u32::MAX as usize { 1 << 16 } else { self.entries };
        entries.div_ceil(8).next_power_of_two()
    }

    /// Where a hash's four counters are: the line, and the bits that choose in each row.
    fn place(&self, hash: u64) -> (usize, u64) {
        // The index takes its bits from the lower half of a hash; here, all of them have a say.
        let spread = hash.wrapping_mul(0x9fb2_1c65_1e98_df25);
        ((hash >> 32) as usize & (self.lines.len() - 1), spread ^ spread >> 32)
    }

    /// The word of a row's counter, and how far to shift it.
    fn counter(row: u32, bits: u64) -> (usize, u32) {
        let bits = (bits >> (row * 8)) as u32;
        ((row * 2 + (bits >> 4 & 1)) as usize, (bits & 15) * 4)
    }

    /// How often a key was used: at least as often as it was told, as long as nothing was halved. O(1).
    pub fn estimate(&self, hash: u64) -> u8 {
        if self.lines.is_empty() {
            return 0;
        }
        let (line, bits) = self.place(hash);
        let counts = (0..ROWS).map(|row| {
            let (word, shift) = Self::counter(row, bits);
            (self.lines[line][word] >> shift) as u8 & MAX_COUNT
        });
        counts.min().unwrap_or(0)
    }

    /// A key was used `count` times (at most [`MAX_COUNT`]). O(1).
    pub fn increment(&mut self, hash: u64, count: u8) {
        if self.lines.is_empty() {
            self.lines = vec![[0; 8]; self.lines_wanted()];
        }
        let (line, bits) = self.place(hash);
        for row in 0..ROWS {
            let (word, shift) = Self::counter(row, bits);
            let old = self.lines[line][word];
            let count = u64::from(count.min(MAX_COUNT)).max(old >> shift & 15);
            self.lines[line][word] = old & !(15 << shift) | count << shift;
        }
    }

    /// Halves all counts. O(n).
    pub fn halve(&mut self) {
        for word in self.lines.iter_mut().flatten() {
            *word = *word >> 1 & 0x7777_7777_7777_7777;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn an_estimate_is_never_too_low(counts in prop::collection::vec((any::<u64>(), 0..=MAX_COUNT), 1..200)) {
            let mut sketch = Sketch::new(64);
            let mut most: HashMap<u64, u8> = HashMap::new();
            for (hash, count) in counts {
                sketch.increment(hash, count);
                let own = most.entry(hash).or_default();
                *own = count.max(*own);
            }
            for (hash, count) in &most {
                prop_assert!(sketch.estimate(*hash) >= *count);
            }
            sketch.halve();
            for (hash, count) in &most {
                prop_assert!(sketch.estimate(*hash) >= count / 2);
            }
        }
    }

    #[test]
    fn estimates_stay_when_it_grows() {
        let hash = |i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (i << 40);
        let mut sketch = Sketch::new(16);
        (0..20).for_each(|i| sketch.increment(hash(i), (i % 15) as u8));
        let before: Vec<u8> = (0..40).map(|i| sketch.estimate(hash(i))).collect();
        for entries in [1000, 10, 100_000] {
            sketch.resize(entries);
            assert!((0..40).map(|i| sketch.estimate(hash(i))).eq(before.iter().copied()));
        }
        assert_eq!(sketch.lines.len(), 16_384);
    }

    #[test]
    fn an_estimate_is_mostly_right() {
        let hash = |i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (i << 40);
        let mut sketch = Sketch::new(1000);
        (0..1000).for_each(|i| sketch.increment(hash(i), (i % 15) as u8));
        let wrong = (0..1000).filter(|&i| sketch.estimate(hash(i)) != (i % 15) as u8).count();
        assert!(wrong < 50, "{wrong}");
        assert!((1000..2000).map(|i| u64::from(sketch.estimate(hash(i)))).sum::<u64>() < 1500);
    }
}
