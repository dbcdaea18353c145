//! What has left a cache and is still to be dropped.
//!
//! Ring 1. Destructors of keys and values may run code of the user, so they run when no lock is held: whoever takes entries
//! out of a cache gets them in one of these.

use std::mem::ManuallyDrop;

use crate::slab::Entry;

/// Entries that left the cache, to be dropped by the caller when it holds no lock.
#[must_use = "drop it after the lock is released"]
#[derive(Debug)]
pub struct Evicted<K, V> {
    /// The usual case, one eviction, allocates nothing.
    first: Option<Entry<K, V>>,
    /// Dropped by `drop_rest`, which is not called where there is nothing to drop.
    rest: ManuallyDrop<Vec<Entry<K, V>>>,
}

impl<K, V> Default for Evicted<K, V> {
    #[inline(always)]
    fn default() -> Self {
        Evicted { first: None, rest: ManuallyDrop::new(Vec::new()) }
    }
}

impl<K, V> Drop for Evicted<K, V> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.rest.capacity() != 0 {
            self.drop_rest();
        }
    }
}

impl<K, V> Evicted<K, V> {
    #[inline(always)]
    pub(crate) fn push(&mut self, entry: Entry<K, V>) {
        if self.first.is_none() {
            self.first = Some(entry);
        } else {
            self.push_rest(entry);
        }
    }

    #[cold]
    fn push_rest(&mut self, entry: Entry<K, V>) {
        self.rest.push(entry);
    }

    #[cold]
    #[inline(never)]
    fn drop_rest(&mut self) {
        drop(self.first.take());
        drop(std::mem::take(&mut *self.rest));
    }

    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
