//! The names of the other `fixed`, where no file can be mapped: words in memory of this process.

use std::io;
use std::path::Path;

pub use super::atomic::{fence, AtomicU32, AtomicU64};
pub use super::fixed_model::{Content, FixedFile};
use crate::listed::Unneeded;
use crate::process::held::Held;
use crate::OpenError;

pub const HEAD: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub words: usize,
    pub halves: usize,
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
        Ok(FixedFile::model(content))
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

    /// # Errors
    /// Never.
    pub fn remove_unused(
        _: &Path,
        _: impl Fn(&str) -> bool,
        _: impl Fn(&[u64; HEAD]) -> bool,
        _: bool,
    ) -> Result<Vec<Unneeded>, OpenError> {
        Ok(Vec::new())
    }

    pub fn is_truncated(&self) -> bool {
        false
    }

    pub fn give_up(&self) {}

    pub fn is_found(&self, _: impl Fn(&[u64; HEAD]) -> bool) -> bool {
        true
    }

    /// # Errors
    /// Never.
    pub fn try_hold(&self) -> Result<Option<Held>, i32> {
        Ok(Some(Held))
    }
}
