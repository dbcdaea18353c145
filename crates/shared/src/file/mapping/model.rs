//! The memory of a model: loom's words, without a file.

use crate::file::atomic::{AtomicU64, Ordering};
use crate::file::units::Offset;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Loom's memory: a word comes into being when it is first named. Leaked per model run, which loom's runs can
/// afford.
pub(crate) struct Region {
    words: Mutex<HashMap<u64, Arc<AtomicU64>>>,
}

impl Region {
    pub(crate) fn new() -> Region {
        Region { words: Mutex::new(HashMap::new()) }
    }
    pub(crate) fn word(&self, at: Offset) -> Arc<AtomicU64> {
        let mut words = self.words.lock().unwrap();
        words.entry(at.bytes() / 8).or_insert_with(|| Arc::new(AtomicU64::new(0))).clone()
    }
    pub(crate) fn known(&self, at: Offset) -> Arc<AtomicU64> {
        self.word(at)
    }
    pub(crate) fn line(&self, at: Offset) -> [u64; 8] {
        let word = |i: u64| self.word(at + 8 * i).load(Ordering::Acquire);
        let mut line = [0; 8];
        (1..8).for_each(|i| line[i as usize] = word(i));
        line[0] = word(0);
        line
    }
    pub(crate) fn copy_out(&self, at: Offset, to: &mut [u64]) {
        for (k, word) in to.iter_mut().enumerate() {
            *word = self.get(at + 8 * k as u64);
        }
    }
    pub(crate) fn copy_in(&self, at: Offset, from: &[u64]) {
        for (k, word) in from.iter().enumerate() {
            self.set(at + 8 * k as u64, *word);
        }
    }
    pub(crate) fn prefetch(&self, _at: Offset) {}
    pub(crate) fn covers(&self, _end: Offset) -> bool {
        true
    }
    pub(crate) fn reaches(&self, _end: Offset) -> bool {
        true
    }
    pub(crate) fn truncated(&self) -> bool {
        false
    }
    pub(crate) fn give_up(&self) {}
    pub(crate) fn refuse(&self, _number: i32) {}
    pub(crate) fn reserve(&self, _at: Offset, _len: u64) -> std::io::Result<()> {
        Ok(())
    }
    pub(crate) fn before_store(&self) {}
    /// Never: a model has disk enough.
    pub(crate) fn refused(&self) -> i32 {
        0
    }
    pub(crate) fn forget_refusal(&self) {}
    pub(crate) fn refuse_again(&self) {}
}
