//! What has left a cache and is still to be dropped.
//!
//! Ring 1. Destructors of keys and values may run code of the user, so they run when no lock is held: whoever takes entries
//! out of a cache gets them in one of these.

use std::mem::ManuallyDrop;

use crate::slab::Entry;

/// Why an entry left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A caller said so.
    Explicit,
    /// Something else came under its key.
    Replaced,
    /// There was no room for all: the policy chose it.
    Size,
    /// It had ended.
    Expired,
}

/// An entry that left.
#[derive(Debug)]
pub struct Departed<K, V> {
    pub entry: Entry<K, V>,
    /// See [`Slot::meta`](crate::slab::Slot::meta).
    pub meta: u32,
    pub cause: Cause,
}

/// Entries that left the cache, to be dropped by the caller when it holds no lock.
#[must_use = "drop it after the lock is released"]
#[derive(Debug)]
pub struct Evicted<K, V> {
    /// The usual case, one eviction, allocates nothing.
    first: Option<Departed<K, V>>,
    /// Dropped by `drop_rest`, which is not called where there is nothing to drop.
    rest: ManuallyDrop<Vec<Departed<K, V>>>,
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
    pub(crate) fn push(&mut self, entry: Entry<K, V>, meta: u32, cause: Cause) {
        let departed = Departed { entry, meta, cause };
        if self.first.is_none() {
            self.first = Some(departed);
        } else {
            self.push_rest(departed);
        }
    }

    #[cold]
    fn push_rest(&mut self, departed: Departed<K, V>) {
        self.rest.push(departed);
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

    /// What left, in the order in which it did.
    pub fn iter(&self) -> impl Iterator<Item = &Departed<K, V>> {
        self.first.iter().chain(self.rest.iter())
    }

    /// [`iter`](Self::iter), which takes it out.
    pub fn drain(&mut self) -> impl Iterator<Item = Departed<K, V>> {
        self.first.take().into_iter().chain(std::mem::take(&mut *self.rest))
    }
}
