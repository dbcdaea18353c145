//! The mapped file: what is in it and where, how it comes to be, and the only way to touch it.
//!
//! All `unsafe` of this crate is in here.

#[cfg(not(loom))]
pub(crate) mod astray;
pub(crate) mod atomic;
#[cfg(not(loom))]
pub(crate) mod directory;
#[cfg(not(loom))]
pub(crate) mod disk;
/// A file of one size for others than caches, and the atomics that its words are.
pub mod fixed {
    pub use super::atomic::{fence, AtomicU32, AtomicU64};
    pub use super::mapping::fixed::{Content, FixedFile};
    #[cfg(not(loom))]
    pub use super::mapping::fixed::{Shape, HEAD};
}
pub mod geometry;
#[cfg(not(loom))]
pub(crate) mod header;
pub mod layout;
#[cfg(not(loom))]
pub(crate) mod life;
pub(crate) mod mapping;
pub(crate) mod memory;
#[cfg(not(loom))]
pub(crate) mod places;
#[cfg(not(loom))]
pub(crate) mod sigbus;
pub(crate) mod system;
pub mod units;
#[cfg(not(loom))]
pub(crate) mod validation;
pub(crate) mod words;
