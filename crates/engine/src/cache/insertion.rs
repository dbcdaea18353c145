//! How entries come into a cache: reserved and published, or inserted at once, in the place of a victim where it is full.
//!
//! Ring 1. Where the cache is full, the new entry takes over the slot of the victim.

use super::{Cache, Evicted};
use crate::expiration::Instant;
use crate::slab::{Entry, Token};

impl<K, V> Cache<K, V> {
    /// Gives an entry a slot and a place in the index; it is not in the order yet and counts for nothing. O(1) amortized.
    pub fn reserve(&mut self, hash: u64, meta: u32, key: K, value: V) -> Token {
        if self.table.is_full() {
            let slab = &self.slab;
            self.table.grow(|token| slab.get(token).map_or(0, |(slot, _)| slot.hash));
        }
        let slots = self.slots();
        let token = self.slab.insert(hash as u32, meta, Entry { key, value }, slots);
        if let Some(upper_hashes) = &mut self.upper_hashes {
            upper_hashes.set(token, hash, slots);
        }
        self.table.insert(hash as u32, token);
        self.inserts += 1;
        token
    }

    /// Adds an entry that counts at once. Whoever gives way goes to `evicted`: expired entries first, then, where the cache
    /// is full, the strategy's victim, chosen before the new entry is in. `deadline` is ignored in a cache without
    /// deadlines. O(1) amortized.
    #[allow(clippy::too_many_arguments)]
    pub fn insert(
        &mut self,
        hash: u64,
        meta: u32,
        key: K,
        value: V,
        deadline: Instant,
        now: Instant,
        evicted: &mut Evicted<K, V>,
    ) {
        self.expire(now, evicted);
        if self.live >= self.capacity {
            self.insert_over_victim(hash, meta, Entry { key, value }, deadline, evicted);
        } else {
            let token = self.reserve(hash, meta, key, value);
            self.link(token, hash, deadline);
        }
    }

    /// Puts a new entry in the place of the victim: the steady state of a full cache, in which no slot is freed or taken.
    #[inline(always)]
    fn insert_over_victim(
        &mut self,
        hash: u64,
        meta: u32,
        entry: Entry<K, V>,
        deadline: Instant,
        evicted: &mut Evicted<K, V>,
    ) {
        let token = self.replace_victim_entry(hash, meta, entry, deadline, evicted);
        self.table.insert(hash as u32, token);
        self.inserts += 1;
    }

    /// Makes the victim leave and another entry take its slot and a new place in the order; the index does not know it yet.
    #[inline(always)]
    fn replace_victim_entry(
        &mut self,
        hash: u64,
        meta: u32,
        entry: Entry<K, V>,
        deadline: Instant,
        evicted: &mut Evicted<K, V>,
    ) -> Token {
        let order = self.order.get_mut();
        let token = order.victim();
        // SAFETY: the order names published entries, whose slots are occupied.
        let (old_hash, old) = unsafe { self.slab.swap(token, hash as u32, meta, entry) };
        let mut left = u64::from(old_hash);
        if let Some(upper_hashes) = &mut self.upper_hashes {
            left = upper_hashes.whole(token, old_hash);
            upper_hashes.set(token, hash, self.capacity);
        }
        // SAFETY: the token is the victim.
        unsafe { order.renew(token, left, hash) };
        self.table.remove(old_hash, token);
        if let Some(expiration) = &mut self.expiration {
            expiration.remove(token);
            expiration.insert(token, deadline, self.capacity.saturating_add(1));
        }
        evicted.push(old);
        token
    }

    /// Makes a reserved entry, which was not detached, count, with `value`; returns its token from now on, and what stood in
    /// the place of the value. Otherwise as [`insert`](Self::insert).
    #[inline(always)]
    pub fn publish(
        &mut self,
        token: Token,
        value: V,
        deadline: Instant,
        now: Instant,
        evicted: &mut Evicted<K, V>,
    ) -> Option<(Token, V)> {
        debug_assert!(self.is_attached(token));
        self.expire(now, evicted);
        if self.live < self.capacity {
            let lower = self.slab.get(token)?.0.hash;
            self.link(token, self.whole(token, lower), deadline);
            return Some((token, std::mem::replace(self.value_mut(token)?, value)));
        }
        // The victim's slot is taken over, and the reserved one is free for the next computation.
        let (lower, meta, entry) = self.slab.take(token)?;
        let hash = self.whole(token, lower);
        let heir = self.replace_victim_entry(hash, meta, Entry { key: entry.key, value }, deadline, evicted);
        self.table.rename(lower, token, heir);
        Some((heir, entry.value))
    }

    /// The hash of an entry, as far as it is known: see [`UpperHashes`](crate::upper_hash::UpperHashes).
    #[inline(always)]
    fn whole(&self, token: Token, lower: u32) -> u64 {
        self.upper_hashes.as_ref().map_or(u64::from(lower), |upper_hashes| upper_hashes.whole(token, lower))
    }

    #[inline]
    fn link(&mut self, token: Token, hash: u64, deadline: Instant) {
        let slots = self.slots();
        self.order.get_mut().insert(token, hash, slots);
        if let Some(expiration) = &mut self.expiration {
            expiration.insert(token, deadline, slots);
        }
        self.live += 1;
    }

    /// Replaces the value of a published entry and gives it a new deadline; returns the old value. It keeps its place in
    /// an order that uses do not change, and counts as a use in the others. O(1).
    ///
    /// # Safety
    /// `token` names a published entry.
    pub unsafe fn replace(&mut self, token: Token, value: V, deadline: Instant) -> Option<V> {
        let slots = self.slots();
        if let Some(expiration) = &mut self.expiration {
            expiration.remove(token);
            expiration.insert(token, deadline, slots);
        }
        // SAFETY: the caller's promise; `publish` inserted the token into the order.
        unsafe { self.hit(token) };
        Some(std::mem::replace(self.value_mut(token)?, value))
    }
}
