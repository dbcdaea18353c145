//! The shared tier from within; each kind of evidence has its file. They are unit tests, so that they
//! see the inner parts and the hooks of [`testing`](crate::testing).
//!
//! Longer: `WARP_HISTORY` (milliseconds of invalidations), `WARP_FUZZ` (rounds of damage), `WARP_HEALING` (rounds over all
//! kinds of words), `WARP_CASES` (runs against the model); `make torture` sets the last three.

mod addresses;
mod astray;
mod basics;
mod death;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod every_instruction;
mod every_store;
mod fenced;
mod fixed;
mod headed;
mod healing;
mod hostile;
mod inspected;
mod leased;
#[cfg(target_os = "linux")]
mod living;
mod model;
#[cfg(target_os = "linux")]
mod mounts;
mod naive;
mod owners;
mod place;
#[cfg(target_os = "linux")]
mod processes;
mod queued;
mod reference;
mod tagged;

pub(crate) use crate::testing::{DISK_FULL, TICK_MODE};
pub(crate) use crate::*;

pub(crate) fn options(dir: &tempfile::TempDir, strategy: Strategy, max_size: u64) -> Options {
    let dir = dir.path().join("caches");
    Options { dir, name: "test".into(), strategy, max_size, max_bytes: Some(4 << 20), idle: None, fingerprint: 0 }
}

pub(crate) fn open(options: &Options) -> SharedCache {
    SharedCache::open(options).unwrap()
}

/// A handle with a mapping and a process slot of its own: as another process would have.
pub(crate) fn open_isolated(options: &Options) -> SharedCache {
    SharedCache::open_as(options, false).unwrap()
}

/// Descriptors that this process has open in `dir`. (Other tests open and close theirs meanwhile.)
#[cfg(target_os = "linux")]
pub(crate) fn descriptors_in(dir: &tempfile::TempDir) -> usize {
    let dir = dir.path().canonicalize().unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok()).filter(|to| to.starts_with(&dir)).count()
}

/// Whether the strategy's own words agree with the slots.
pub(crate) fn validate(cache: &SharedCache) {
    let table = cache.table();
    table.lock(std::time::Duration::from_secs(1)).map(|_guard| table.validate_order()).unwrap();
}

/// Stores what was computed without a lease a moment ago.
pub(crate) fn computed(cache: &SharedCache, key: &[u8], value: &[u8]) -> Stored {
    cache.insert(key, value, NEVER, cache.begin(cache.hash(key)))
}

/// A result that nobody wants.
pub(crate) fn ignore<T>(_: T) {}

/// How often to do something: `short`, unless the environment has another number.
pub(crate) fn times(variable: &str, short: u32) -> u32 {
    std::env::var(variable).ok().and_then(|v| v.parse().ok()).unwrap_or(short)
}
