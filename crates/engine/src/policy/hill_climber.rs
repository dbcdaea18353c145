//! Hill climbing: finds how large the window of W-TinyLFU had best be, by trying.
//!
//! Einziger, Eytan, Friedman & Manes, "Adaptive software cache management" (Middleware '18). After each sample of accesses
//! the window is changed by a step, at first towards a smaller one; while the hit ratio rises the steps go on in that
//! direction, else they turn round. They become smaller as time goes by, and large again when the hit ratio shows that the
//! workload has changed.

/// A step at first, as a share of the capacity.
const STEP: f64 = 0.0625;
/// How much smaller the next step is.
const DECAY: f64 = 0.98;
/// A change of the hit ratio by so much makes the steps large again.
const RESTART: f64 = 0.05;
/// Accesses to a sample, for each entry that the cache has room for.
const SAMPLE: usize = 10;

#[derive(Clone, Debug)]
pub struct Climber {
    hits: usize,
    misses: usize,
    ratio: f64,
    /// The next step, in entries; it grows the window if it is positive and the hit ratio has risen.
    step: f64,
    capacity: usize,
}

impl Climber {
    pub fn new(capacity: usize) -> Self {
        Climber { hits: 0, misses: 0, ratio: 0.0, step: -STEP * capacity as f64, capacity }
    }

    #[inline(always)]
    pub fn hit(&mut self) {
        self.hits += 1;
    }

    /// Counts a miss. At the end of a sample: by how many entries to change the window. O(1).
    pub fn miss(&mut self) -> Option<isize> {
        self.misses += 1;
        let accesses = self.hits + self.misses;
        if accesses < self.capacity.saturating_mul(SAMPLE) {
            return None;
        }
        let ratio = self.hits as f64 / accesses as f64;
        let change = ratio - std::mem::replace(&mut self.ratio, ratio);
        let step = if change >= 0.0 { self.step } else { -self.step };
        self.step = if change.abs() >= RESTART { (STEP * self.capacity as f64).copysign(step) } else { DECAY * step };
        (self.hits, self.misses) = (0, 0);
        // A small cache's step is less than an entry, and must lead somewhere.
        Some(step.signum() as isize * step.abs().ceil() as isize)
    }
}
