//! Ring 2: the way to a Valkey or Redis server, for the tier beyond the host. No Python.

#![cfg(unix)]
#![forbid(unsafe_code)]
