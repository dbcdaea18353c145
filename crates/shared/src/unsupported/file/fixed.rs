//! The names of the other `fixed`, where no file can be mapped: words in memory of this process.

use std::io;
use std::path::Path;

pub use super::atomic::{fence, AtomicU32, AtomicU64};
use crate::process::held::Held;
use crate::OpenError;

pub const HEAD: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub words: usize,
    pub halves: usize,
}

pub struct Content {
    pub words: Vec<u64>,
    pub halves: Vec<u32>,
}

pub struct FixedFile {
    words: Box<[AtomicU64]>,
    halves: Box<[AtomicU32]>,
}

impl FixedFile {
    /// # Errors
    /// Always.
    pub fn open(
        _: &Path,
        _: &str,
        _: Shape,
        _: impl Fn() -> Content,
        _: impl Fn(&[u64; HEAD]) -> bool,
    ) -> Result<FixedFile, OpenError> {
        Err(OpenError)
    }

    /// # Errors
    /// Never.
    pub fn private(shape: Shape, content: &Content) -> io::Result<FixedFile> {
        assert!(
            content.words.len() == shape.words && content.halves.len() == shape.halves,
            "a content of another shape"
        );
        Ok(FixedFile {
            words: content.words.iter().map(|word| AtomicU64::new(*word)).collect(),
            halves: content.halves.iter().map(|half| AtomicU32::new(*half)).collect(),
        })
    }

    pub fn word(&self, i: usize) -> &AtomicU64 {
        &self.words[i]
    }

    pub fn half(&self, i: usize) -> &AtomicU32 {
        &self.halves[i]
    }

    pub fn is_shared(&self) -> bool {
        false
    }

    pub fn id(&self) -> Option<(u64, u64)> {
        None
    }

    pub fn identify(_: &Path, _: &str) -> Option<(u64, u64)> {
        None
    }

    pub fn is_truncated(&self) -> bool {
        false
    }

    /// # Errors
    /// Never.
    pub fn try_hold(&self) -> Result<Option<Held>, i32> {
        Ok(Some(Held))
    }
}
