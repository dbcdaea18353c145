//! Words without a file in the place of `fixed`: those of a loom model, and of a system where none can be mapped.

use crate::file::atomic::{AtomicU32, AtomicU64};

/// What its words are at first.
pub struct Content {
    pub words: Vec<u64>,
    pub halves: Vec<u32>,
}

pub struct FixedFile {
    words: Vec<AtomicU64>,
    halves: Vec<AtomicU32>,
}

impl FixedFile {
    pub fn model(content: &Content) -> FixedFile {
        FixedFile {
            words: content.words.iter().map(|word| AtomicU64::new(*word)).collect(),
            halves: content.halves.iter().map(|half| AtomicU32::new(*half)).collect(),
        }
    }

    pub fn word(&self, i: usize) -> &AtomicU64 {
        &self.words[i]
    }

    pub fn half(&self, i: usize) -> &AtomicU32 {
        &self.halves[i]
    }
}
