//! The cache itself: slab, index, policy and deadlines held together; it knows no lock, no clock and no Python.
//!
//! Ring 1. An entry's life: `reserve` gives it a slot and a place in the index while its value is still being computed;
//! `publish` makes it count (it enters the order, gets a deadline, and whoever must give way leaves); `remove`, eviction,
//! expiry or `clear` end it. `detach` takes a reserved entry out of the index while its computer still owns the slot.
//!
//! Keys and values that leave are handed back in an [`Evicted`], never dropped here: their destructors may run code of
//! the user, and that must not happen while the owner holds a lock.

use std::cell::UnsafeCell;

pub use crate::evicted::Evicted;
use crate::expiration::{Expiration, Instant};
use crate::index::{First, Index, Probe};
use crate::policy::{HitEffect, Kind, Order};
use crate::slab::{Entry, Slab, Slot, Token, NIL};
use crate::upper_hash::UpperHashes;

/// What [`Cache::abandon`] rounds the number of clearings up by. No cache is cleared so often.
const LIFE: u64 = 1 << 32;

/// An entry that has the hash looked for.
pub type Candidate<'a, K, V> = (Token, &'a Slot<K, V>, &'a Entry<K, V>);

/// The entries in the index, reserved or published, that have a certain hash; each comes in expected O(1). This borrows the
/// cache, as a probe knows nothing of an index that has changed.
#[derive(Debug)]
pub struct Candidates<'a, K, V> {
    cache: &'a Cache<K, V>,
    probe: Probe,
}

impl<'a, K, V> Iterator for Candidates<'a, K, V> {
    type Item = Candidate<'a, K, V>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let token = self.cache.table.next(&mut self.probe)?;
            // SAFETY: the index has not changed since the probe was started, so it names the token; and it names occupied
            // slots only: `reserve` adds a token with its slot, and `detach`, which takes it out of the index, comes before
            // every `slab.remove`.
            let (slot, entry) = unsafe { self.cache.slab.get_unchecked(token) };
            if slot.hash == self.probe.hash() {
                return Some((token, slot, entry));
            }
        }
    }
}

/// See the module's documentation. `V` is whatever the owner keeps in a slot, for reserved entries too.
#[derive(Debug)]
pub struct Cache<K, V> {
    table: Index,
    slab: Slab<K, V>,
    /// Interior mutability for one reason: where readers share the cache, a hit changes the order and nothing else.
    order: UnsafeCell<Order>,
    expiration: Option<Expiration>,
    /// Where the strategy remembers keys.
    upper_hashes: Option<UpperHashes>,
    /// Published entries.
    live: usize,
    /// Published entries at most; `usize::MAX` is unbounded.
    capacity: usize,
    /// What a hit does to the order. Apart from it, so that readers may ask while one of them changes the order.
    hit_does: HitEffect,
    /// How often the cache was cleared.
    clears: u64,
    /// How many entries were ever reserved.
    inserts: u64,
}

// SAFETY: the `&self` methods read what only `&mut self` methods change, but for `hit_shared`: it alone reaches the order,
// and its callers promise not to be in it twice at a time where that changes anything but marks. `&Cache` gives `&K` and `&V` to other threads, hence the bounds.
unsafe impl<K: Sync, V: Sync> Sync for Cache<K, V> {}

impl<K, V> Cache<K, V> {
    /// An empty cache for `capacity` entries (`None`: unbounded). `expires`: entries have deadlines.
    ///
    /// # Panics
    /// With a capacity of 0: whoever stores nothing needs no cache.
    pub fn new(kind: Kind, capacity: Option<usize>, expires: bool) -> Self {
        // There would be no victim for the first entry.
        assert_ne!(capacity, Some(0));
        let capacity = capacity.unwrap_or(usize::MAX);
        let order = Order::new(kind, capacity);
        Cache {
            table: Index::new(),
            slab: Slab::new(),
            hit_does: order.hit_does(),
            upper_hashes: order.has_history().then(UpperHashes::default),
            order: UnsafeCell::new(order),
            expiration: expires.then(Expiration::default),
            live: 0,
            capacity,
            clears: 0,
            inserts: 0,
        }
    }

    /// The number of published entries, expired ones included.
    pub fn len(&self) -> usize {
        self.live
    }

    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How often the cache was cleared: who reserved an entry before the last time finds it detached.
    pub fn clears(&self) -> u64 {
        self.clears
    }

    /// How many entries ever came in: while this number stays, a key that was absent is absent.
    #[inline(always)]
    pub fn inserts(&self) -> u64 {
        self.inserts
    }

    /// Looks for a hash.
    #[inline(always)]
    pub fn candidates(&self, hash: u64) -> Candidates<'_, K, V> {
        Candidates { cache: self, probe: self.table.probe(hash as u32) }
    }

    /// What [`candidates`](Self::candidates) begins with, for a lookup that goes no further; the token may have another hash.
    #[inline(always)]
    pub fn first(&self, hash: u64) -> First {
        self.table.first(hash as u32)
    }

    /// The slot of a token and what it holds.
    ///
    /// # Safety
    /// `token` came from a lookup in this cache, which has not changed since.
    #[inline(always)]
    pub unsafe fn slot(&self, token: Token) -> (&Slot<K, V>, &Entry<K, V>) {
        // SAFETY: as in `Candidates::next`.
        unsafe { self.slab.get_unchecked(token) }
    }

    /// Whether the published entry has expired at `now`. Always false in a cache whose entries have no deadlines.
    ///
    /// # Safety
    /// `token` names a published entry.
    #[inline(always)]
    pub unsafe fn expired(&self, token: Token, now: Instant) -> bool {
        match &self.expiration {
            None => false,
            // SAFETY: `publish` inserts the token, and only what ends the entry removes it.
            Some(expiration) => unsafe { expiration.expired(token, now) },
        }
    }

    pub fn has_deadlines(&self) -> bool {
        self.expiration.is_some()
    }

    pub fn hit_does(&self) -> HitEffect {
        self.hit_does
    }

    /// Whether a hit right after a hit of the same entry changes the order.
    pub fn repeats_count(&mut self) -> bool {
        self.order.get_mut().repeats_count()
    }

    /// Notes a use of a published entry. O(1).
    ///
    /// # Safety
    /// `token` names a published entry.
    #[inline(always)]
    pub unsafe fn hit(&mut self, token: Token) {
        // SAFETY: the caller's promise; `publish` inserted the token into the order, which is ours alone.
        unsafe { Order::hit(&self.order, self.hit_does, token) }
    }

    /// [`hit`](Self::hit) for an owner that shares the cache among readers.
    ///
    /// # Safety
    /// `token` names a published entry, and where a hit changes the order, no other thread is in this method meanwhile.
    #[inline(always)]
    pub unsafe fn hit_shared(&self, token: Token) {
        // SAFETY: no other `&self` method touches the order, and no `&mut self` method runs beside this one.
        unsafe { Order::hit(&self.order, self.hit_does, token) }
    }

    /// [`hit_shared`](Self::hit_shared) where it takes no call; `false` (and nothing done) where it does.
    ///
    /// # Safety
    /// As for `hit_shared`.
    #[inline(always)]
    pub unsafe fn hit_shared_at_once(&self, token: Token) -> bool {
        if self.hit_does == HitEffect::ExclusiveCall {
            return false;
        }
        // SAFETY: the caller's promise.
        unsafe { self.hit_shared(token) };
        true
    }

    /// The slots expected at most: a computation may have one of its own before it makes another entry give way.
    fn slots(&self) -> usize {
        self.capacity.saturating_add(1)
    }

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

    /// The hash of an entry, as far as it is known: see [`UpperHashes`].
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

    /// The value in the slot `token`, to change; `None` if the slot is vacant.
    pub fn value_mut(&mut self, token: Token) -> Option<&mut V> {
        self.slab.get_mut(token).map(|entry| &mut entry.value)
    }

    pub fn get(&self, token: Token) -> Option<&Entry<K, V>> {
        self.slab.get(token).map(|(_, entry)| entry)
    }

    /// Whether the entry is in the index: published, or reserved and not detached. Expected O(1).
    pub fn is_attached(&self, token: Token) -> bool {
        self.slab.get(token).is_some_and(|(slot, _)| {
            let mut probe = self.table.probe(slot.hash);
            std::iter::from_fn(|| self.table.next(&mut probe)).any(|t| t == token)
        })
    }

    /// Takes a reserved entry out of the index; it keeps its slot until [`free`](Self::free). Expected O(1).
    pub fn detach(&mut self, token: Token) -> bool {
        let Some((slot, _)) = self.slab.get(token) else {
            return false;
        };
        self.table.remove(slot.hash, token)
    }

    /// Gives the slot of a reserved entry back, whether it was detached or not. Expected O(1).
    pub fn free(&mut self, token: Token) -> Option<Entry<K, V>> {
        self.detach(token);
        self.slab.remove(token)
    }

    /// Ends a published entry. Expected O(1).
    #[inline]
    pub fn remove(&mut self, token: Token, evicted: &mut Evicted<K, V>) {
        self.order.get_mut().remove(token);
        if let Some(expiration) = &mut self.expiration {
            expiration.remove(token);
        }
        if let Some(entry) = self.free(token) {
            self.live -= 1;
            evicted.push(entry);
        }
    }

    /// Evicts the strategy's victim, with nothing in its place; false where there is none. Expected O(1), at least amortized.
    pub fn evict(&mut self, evicted: &mut Evicted<K, V>) -> bool {
        let token = self.order.get_mut().evict(|token| {
            let lower = self.slab.get(token).map_or(0, |(slot, _)| slot.hash);
            self.upper_hashes.as_ref().map_or(u64::from(lower), |upper_hashes| upper_hashes.whole(token, lower))
        });
        if token != NIL {
            self.remove(token, evicted);
        }
        token != NIL
    }

    /// Ends every entry that has expired at `now`. O(entries that leave).
    #[inline(always)]
    pub fn expire(&mut self, now: Instant, evicted: &mut Evicted<K, V>) {
        if self.expiration.is_some() {
            self.expire_some(now, evicted);
        }
    }

    fn expire_some(&mut self, now: Instant, evicted: &mut Evicted<K, V>) {
        while let Some(expiration) = &self.expiration {
            match expiration.next_expired(now) {
                NIL => break,
                token => self.remove(token, evicted),
            }
        }
    }

    /// Ends every published entry and detaches every reserved one. O(n).
    pub fn clear(&mut self, evicted: &mut Evicted<K, V>) {
        self.clears += 1;
        self.live = 0;
        self.table.clear();
        for token in self.order.get_mut().victims() {
            if let Some(entry) = self.slab.remove(token) {
                evicted.push(entry);
            }
        }
        let order = self.order.get_mut();
        *order = Order::new(order.kind(), self.capacity);
        if let Some(expiration) = &mut self.expiration {
            expiration.clear();
        }
        // What is reserved is detached now, so nobody asks for its hash any more.
        self.upper_hashes = self.upper_hashes.is_some().then(UpperHashes::default);
        self.slab.shrink_if_empty();
    }

    /// Starts over as an empty cache, whatever state this one is in; what it held is never dropped. Slots reserved before are
    /// nobody's: [`is_of_this_life`](Self::is_of_this_life) tells.
    pub fn abandon(&mut self) {
        let kind = self.order.get_mut().kind();
        let capacity = (self.capacity != usize::MAX).then_some(self.capacity);
        let mut fresh = Cache::new(kind, capacity, self.expiration.is_some());
        fresh.clears = (self.clears / LIFE + 1) * LIFE;
        fresh.inserts = self.inserts + 1;
        std::mem::forget(std::mem::replace(self, fresh));
    }

    /// Whether a slot that was reserved when [`clears`](Self::clears) was this is still owned by whoever reserved it.
    pub fn is_of_this_life(&self, clears: u64) -> bool {
        self.clears / LIFE == clears / LIFE
    }

    /// Every occupied slot: published, reserved and detached entries.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<K, V>> {
        self.slab.iter().map(|(_, _, entry)| entry)
    }

    /// The published entries' tokens, the next victim first (expired ones not preferred). O(n).
    pub fn victims(&mut self) -> Vec<Token> {
        self.order.get_mut().victims()
    }

    /// Checks what must always hold; the tests call it after every step. O(n).
    pub fn validate(&mut self) {
        self.table.validate(|token| self.slab.get(token).expect("the table names an empty slot").0.hash);
        self.order.get_mut().validate();
        if let Some(expiration) = &self.expiration {
            expiration.validate();
        }
        let victims = self.victims();
        assert_eq!(victims.len(), self.live);
        assert!(self.live <= self.capacity);
        assert_eq!(self.slab.iter().count(), self.slab.len());
        assert!(self.table.len() >= self.live && self.table.len() <= self.slab.len());
        assert!(victims.iter().all(|&t| self.slab.get(t).is_some()));
    }
}
