//! Of the handle: locks on keys.

use super::SharedCache;
use crate::error::Busy;
use crate::interface::Asked;
use crate::process::key_lock::KeyLock;
use std::time::Duration;

impl SharedCache {
    /// Whether what is to write would wait now: somebody has the file's lock, and keeps it.
    #[inline]
    pub fn would_wait(&self) -> bool {
        self.table.is_kept_locked()
    }

    /// Takes the lock of a key for this process, unless somebody has it or its home is full. It falls free when it is given back,
    /// when this process ends, and after `lease`. An error where the table of leases could not be had.
    pub fn lock_key(&self, key: &[u8], lease: Option<Duration>) -> Result<Asked, Busy> {
        self.table.lock_key(key, lease)
    }

    /// Has a lock fall free so long from now, or never by itself: what stands for it from then on. `None` if it was no longer
    /// this process's.
    pub fn prolong_key(&self, lock: &KeyLock, lease: Option<Duration>) -> Result<Option<KeyLock>, Busy> {
        self.table.prolong_key(lock, lease)
    }

    /// Gives a lock back; false if it was no longer this process's.
    pub fn unlock_key(&self, lock: &KeyLock) -> bool {
        self.table.unlock_key(lock)
    }

    /// Whether somebody has the lock of a key.
    pub fn is_key_locked(&self, key: &[u8]) -> bool {
        self.table.is_key_locked(key)
    }
}
