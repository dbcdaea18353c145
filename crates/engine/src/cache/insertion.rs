//! How entries come into a cache: reserved and published, or inserted at once, in the place of a victim where it is full.
//!
//! Ring 1. Where the cache is full, the new entry takes over the slot of the victim.

use super::{Cache, Cause, Evicted};
use crate::expiration::{Instant, Lifetime};
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
        self.enter(hash, meta, Entry { key, value }, Lifetime::until(deadline), now, evicted);
    }

    /// Adds an entry that counts at once; the policy's victim leaves where there is no room for one more.
    #[inline(always)]
    pub(super) fn enter(
        &mut self,
        hash: u64,
        meta: u32,
        entry: Entry<K, V>,
        lifetime: Lifetime,
        now: Instant,
        evicted: &mut Evicted<K, V>,
    ) -> Token {
        if self.live >= self.capacity {
            // The steady state of a full cache, in which no slot is freed or taken.
            let token = self.replace_victim_entry(hash, meta, entry, lifetime, now, evicted);
            self.table.insert(hash as u32, token);
            self.inserts += 1;
            token
        } else {
            let token = self.reserve(hash, meta, entry.key, entry.value);
            self.link(token, hash, lifetime, now);
            token
        }
    }

    /// Makes the victim leave and another entry take its slot and a new place in the order; the index does not know it yet.
    #[inline(always)]
    fn replace_victim_entry(
        &mut self,
        hash: u64,
        meta: u32,
        entry: Entry<K, V>,
        lifetime: Lifetime,
        now: Instant,
        evicted: &mut Evicted<K, V>,
    ) -> Token {
        let order = self.order.get_mut();
        let token = order.victim();
        // SAFETY: the order names published entries, whose slots are occupied.
        let (old_hash, old_meta, old) = unsafe { self.slab.swap(token, hash as u32, meta, entry) };
        let mut left = u64::from(old_hash);
        if let Some(upper_hashes) = &mut self.upper_hashes {
            left = upper_hashes.whole(token, old_hash);
            upper_hashes.set(token, hash, self.capacity);
        }
        // SAFETY: the token is the victim.
        unsafe { order.renew(token, left, hash) };
        self.table.remove(old_hash, token);
        if !self.expiration.is_never() {
            self.expiration.renew(token, lifetime, now, self.capacity.saturating_add(1));
        }
        if let Some(extras) = &mut self.extras {
            extras.remove(token);
        }
        self.count(Cause::Size);
        evicted.push(old, old_meta, Cause::Size);
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
        self.publish_as(token, value, Lifetime::until(deadline), now, evicted)
    }

    /// Makes a reserved entry count; the policy's victim leaves where there is no room for one more.
    #[inline(always)]
    pub(super) fn publish_as(
        &mut self,
        token: Token,
        value: V,
        lifetime: Lifetime,
        now: Instant,
        evicted: &mut Evicted<K, V>,
    ) -> Option<(Token, V)> {
        if self.live < self.capacity {
            let lower = self.slab.get(token)?.0.hash;
            self.link(token, self.whole(token, lower), lifetime, now);
            return Some((token, std::mem::replace(self.value_mut(token)?, value)));
        }
        // The victim's slot is taken over, and the reserved one is free for the next computation.
        let (lower, meta, entry) = self.slab.take(token)?;
        let hash = self.whole(token, lower);
        let heir = self.replace_victim_entry(hash, meta, Entry { key: entry.key, value }, lifetime, now, evicted);
        self.table.rename(lower, token, heir);
        Some((heir, entry.value))
    }

    /// The hash of an entry, as far as it is known: see [`UpperHashes`](crate::upper_hash::UpperHashes).
    #[inline(always)]
    fn whole(&self, token: Token, lower: u32) -> u64 {
        self.upper_hashes.as_ref().map_or(u64::from(lower), |upper_hashes| upper_hashes.whole(token, lower))
    }

    #[inline]
    fn link(&mut self, token: Token, hash: u64, lifetime: Lifetime, now: Instant) {
        let slots = self.slots();
        self.order.get_mut().insert(token, hash, slots);
        self.expiration.insert(token, lifetime, now, slots);
        self.live += 1;
    }

    /// Replaces the value of a published entry and gives it a new deadline; returns the old value. It keeps its place in
    /// an order that uses do not change, and counts as a use in the others; weight and idle time stay as they are, tags are
    /// gone. O(1), and the tags.
    ///
    /// # Safety
    /// `token` names a published entry.
    pub unsafe fn replace(&mut self, token: Token, value: V, deadline: Instant) -> Option<V> {
        let slots = self.slots();
        if !self.expiration.is_never() {
            self.expiration.change(token, Lifetime::until(deadline), slots);
        }
        if let Some(tags) = self.extras.as_mut().and_then(|extras| extras.tags.as_mut()) {
            tags.remove(token);
        }
        // SAFETY: the caller's promise; `publish` inserted the token into the order.
        unsafe { self.hit(token) };
        Some(std::mem::replace(self.value_mut(token)?, value))
    }
}
