//! Ring 2: the way to a Valkey or Redis server, for the tier beyond the host. No Python.
//!
//! From the outside in: [`url`] is where the servers are, [`pool`] a process's connections to one of them, [`breaker`] when
//! not to try, [`connection`] commands, replies and pushes, [`stream`] bytes under a [`deadline`]. [`keys`] names what lies on
//! the server, [`envelope`] is what a value looks like there. Nothing here shows an address, a login or a key: types print
//! their kind, errors fixed text.

#![cfg(unix)]
#![forbid(unsafe_code)]

pub mod breaker;
pub mod connection;
pub mod deadline;
pub mod envelope;
pub mod error;
pub mod keys;
pub mod pool;
pub mod random;
pub mod secret;
pub mod stream;
pub mod url;
