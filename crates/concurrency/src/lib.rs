//! Ring 2: threads and time.
//!
//! [`striped`] is the lock of a cache where there is no GIL, [`spin`] one of a word, [`access`] what a value must offer to
//! be shared, and what both kinds of lock guard beside it, [`inflight`] one computation for each key,
//! [`clock`], [`boottime`] and [`time_stamp`] the time, [`elapsed`] how long something took, [`fork`] what a fork needs,
//! [`descriptors`] what a child must not keep open, [`thread_id`] who asks, [`signals`] a limit that would kill, [`latest`]
//! what is replaced while others look at it. Under
//! `cfg(loom)` atomics and cells ([`primitives`]) are loom's. Where there is no Unix, `boottime_of_process` and
//! `descriptors_without_forks` stand in for two of them.
//!
//! Lock order: a cache's lock is innermost and is never held while Python code runs or a Python object is released; the
//! registry of waits and a flight's own lock ([`inflight`]) are taken one at a time, with no other held.

pub mod access;
#[cfg_attr(not(unix), path = "boottime_of_process.rs")]
pub mod boottime;
pub mod clock;
#[cfg_attr(not(unix), path = "descriptors_without_forks.rs")]
pub mod descriptors;
pub mod elapsed;
pub mod fork;
pub mod inflight;
pub mod latest;
pub mod primitives;
pub mod signals;
pub mod spin;
pub mod striped;
pub mod thread_id;
pub mod time_stamp;
