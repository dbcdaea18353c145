//! Ring 2: the way to a Valkey or Redis server, for the tier beyond the host. No Python.
//!
//! From the outside in: [`url`] is where the servers are, [`topology`] which of them has the data, [`pool`] a process's
//! connections to one of them, [`route`] to all that it needs, [`breaker`] when not to try, [`connection`] commands,
//! replies and pushes, [`stream`] bytes under a [`deadline`]. [`keys`] names what lies on the server, [`envelope`] is what
//! a value looks like there. [`coherence`] is how this host learns what has changed there; [`tier`] is what a cache asks of
//! all this. What fails is an [`error`], or a [`refusal`] that the server's user can mend. Nothing here shows an address, a
//! login or a key: types print their kind ([`secret`]), errors fixed text.

#![forbid(unsafe_code)]
// A model has no use for much of it.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

#[cfg(not(loom))]
pub mod breaker;
pub mod coherence;
#[cfg(not(loom))]
pub mod connection;
#[cfg(not(loom))]
pub mod deadline;
#[cfg(not(loom))]
pub mod envelope;
#[cfg(not(loom))]
pub mod error;
#[cfg(not(loom))]
pub mod keys;
#[cfg(not(loom))]
pub mod pool;
#[cfg(not(loom))]
pub mod random;
#[cfg(not(loom))]
pub mod refusal;
#[cfg(not(loom))]
pub mod route;
#[cfg(not(loom))]
pub mod secret;
#[cfg(not(loom))]
pub mod stream;
#[cfg(not(loom))]
pub mod tier;
#[cfg(not(loom))]
pub mod topology;
#[cfg(not(loom))]
pub mod url;
