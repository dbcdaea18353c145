//! Ring 1: what a cache is, without threads, without a clock, without Python.
//!
//! [`slab`] holds the entries, [`index`] finds them by hash, a [`policy`] orders them and chooses who leaves,
//! [`expiration`] knows their deadlines, [`evicted`] what is still to be dropped; [`cache`] is all of these together.
//! [`simulate`] tells what a cache would have done with a recorded program; [`wire_format`] is objects as
//! bytes. [`hashing`] has the mixers and generators of all crates, [`varint`] their numbers of any length.

pub mod cache;
pub mod evicted;
pub mod expiration;
pub mod hashing;
pub mod index;
pub mod linked_list;
pub mod policy;
pub mod simulate;
pub mod slab;
pub mod upper_hash;
pub mod varint;
pub mod wire_format;
