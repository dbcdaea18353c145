//! The fence: what was computed before an invalidation is not stored after it.
//!
//! Ring 3. A computation that has a slot of its own is fenced by being taken out of the index. For all others a stamp is
//! compared: a key's invalidation changes the stamp that its hash falls on, and who stores a result finds that it is no
//! longer the one that was there when the computation began. The stamps are made at the first invalidation, and there are so
//! many that one of a key keeps a computation of another key from being stored in one of 4,096 cases.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

use engine::hashing::fold_multiply;

/// Fences that a test can switch off, in builds with debug assertions, to see that what checks them finds it.
#[cfg(debug_assertions)]
pub mod mutants {
    use std::sync::atomic::{AtomicBool, Ordering};

    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;

    static MEMORY: AtomicBool = AtomicBool::new(false);
    static JOINING: AtomicBool = AtomicBool::new(false);

    /// Switches a fence off for the rest of the process: "memory" (stamps, and slots taken out of the index), "file" (what a
    /// store in the file is refused for), "joining" (of computations that another process has fenced). For the tests.
    #[pyfunction]
    pub fn _switch_fence_off(name: &str) -> PyResult<()> {
        match name {
            "memory" => MEMORY.store(true, Ordering::Relaxed),
            "joining" => JOINING.store(true, Ordering::Relaxed),
            "file" => shared::mutant::switch_off(),
            _ => return Err(PyValueError::new_err("memory, file or joining")),
        }
        Ok(())
    }

    pub(crate) fn memory_is_off() -> bool {
        MEMORY.load(Ordering::Relaxed)
    }

    pub(crate) fn joining_is_off() -> bool {
        JOINING.load(Ordering::Relaxed)
    }
}

/// Whether computations under way are fenced: always, but for a test.
#[inline(always)]
pub(crate) fn is_on_in_memory() -> bool {
    #[cfg(debug_assertions)]
    return !mutants::memory_is_off();
    #[cfg(not(debug_assertions))]
    return true;
}

/// Whether nobody joins a computation that another process has fenced: always, but for a test.
#[inline(always)]
pub(crate) fn is_on_for_joining() -> bool {
    #[cfg(debug_assertions)]
    return !mutants::joining_is_off();
    #[cfg(not(debug_assertions))]
    return true;
}

/// The number of stamps, a power of two.
const STAMPS: usize = 4096;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Fences(OnceLock<Box<[AtomicU64]>>);

/// What stood at the moment when a computation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Began {
    /// How often the cache had been cleared, or the generation of a file.
    pub clears: u64,
    /// The stamp of the key.
    pub stamp: u64,
}

impl Fences {
    /// The stamp of a hash.
    #[inline(always)]
    pub fn stamp(&self, hash: u64) -> u64 {
        // Acquire: pairs with the release in `raise`. It is compared under the cache's lock, which orders it as well.
        self.0.get().map_or(0, |stamps| stamps[hash as usize % STAMPS].load(Ordering::Acquire))
    }

    /// The stamps of an entry's tags, added up: it changes where one of them does.
    pub fn stamps(&self, tags: &[String]) -> u64 {
        tags.iter().fold(0, |sum, tag| sum.wrapping_add(self.stamp(hash_of(tag))))
    }

    /// Fences the computations of a hash that are under way. To be called under the cache's lock.
    #[cold]
    pub fn raise(&self, hash: u64) {
        let at = hash as usize % STAMPS;
        self.raise_those(at..=at);
    }

    /// Fences all computations that are under way. To be called under the cache's lock.
    pub fn raise_all(&self) {
        self.raise_those(0..=STAMPS - 1);
    }

    fn raise_those(&self, those: RangeInclusive<usize>) {
        if !is_on_in_memory() {
            return;
        }
        let stamps = self.0.get_or_init(|| (0..STAMPS).map(|_| AtomicU64::new(0)).collect());
        for stamp in &stamps[those] {
            // Release: pairs with the acquire in `stamp`.
            stamp.fetch_add(1, Ordering::Release);
        }
    }
}

/// The hash of a tag.
pub(crate) fn hash_of(tag: &str) -> u64 {
    tag.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| fold_multiply(hash ^ u64::from(byte), 0x9E37_79B9_7F4A_7C15))
}
