//! warp_cache: a thread-safe caching decorator for Python.
//!
//! Three rings; each knows only the ones inside it.
//!
//! | ring | knows | modules |
//! |---|---|---|
//! | 1 | neither Python nor locks | [`entry`] (slab), [`table`] (index), [`strategies`] (eviction order), [`expiry`] (deadlines), [`cache`] (all of these together) |
//! | 2 | threads and time | [`sync`] (the GIL or a striped lock), [`inflight`] (one computation for each key), [`clock`], [`thread_id`] |
//! | 3 | CPython | `key` (hashing and comparing arguments), `python` (layouts, the vectorcall slot, coroutines), `store` (`CachedFunction`) |
//!
//! Rings 1 and 2 build and test without an interpreter: `cargo test --no-default-features`.
//!
//! Lock order: a cache's lock ([`sync::Shared`]) is innermost and is never held while Python code runs or a Python object
//! is released; the registry of waits and a flight's own lock ([`inflight`]) are taken one at a time, with no other held.

#![warn(missing_debug_implementations)]

pub mod cache;
pub mod clock;
pub mod entry;
pub mod expiry;
pub mod inflight;
pub mod strategies;
pub mod sync;
pub mod table;
pub mod thread_id;
