//! Hill climbing: finds how large the window of W-TinyLFU had best be, by trying.
//!
//! Counts the lookups of a sample and, at its end, makes the step that [`Climb`] says. Steps become smaller as time goes by,
//! and large again when the hit ratio shows that the workload has changed.

use super::tuning::tinylfu::{Climb, SAMPLE};

#[derive(Clone, Debug)]
pub struct Climber {
    hits: u64,
    misses: u64,
    climb: Climb,
    capacity: u64,
}

impl Climber {
    pub fn new(capacity: usize) -> Self {
        Climber { hits: 0, misses: 0, climb: Climb::default(), capacity: capacity as u64 }
    }

    /// Goes on in a cache of another size.
    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity as u64;
    }

    /// Room of the window and of the protected part.
    pub fn rooms(&self) -> (usize, usize) {
        let (window, protected) = self.climb.rooms(self.capacity);
        (window as usize, protected as usize)
    }

    #[inline(always)]
    pub fn hit(&mut self) {
        self.hits += 1;
    }

    /// Counts a miss; true at the end of a sample, when the rooms have changed. O(1).
    pub fn miss(&mut self) -> bool {
        self.misses += 1;
        let lookups = self.hits + self.misses;
        if lookups < self.capacity.saturating_mul(SAMPLE) {
            return false;
        }
        self.climb = self.climb.after_sample(self.hits as f64 / lookups as f64);
        (self.hits, self.misses) = (0, 0);
        true
    }
}
