//! The entries of the file, and all that is derived from them.

pub(crate) mod audit;
pub(crate) mod bitmap;
pub(crate) mod block;
pub(crate) mod changes;
pub(crate) mod counters;
pub(crate) mod entries;
pub(crate) mod expiration;
pub(crate) mod index;
pub(crate) mod repair;
pub(crate) mod slots;
