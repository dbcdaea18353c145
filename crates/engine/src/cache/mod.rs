//! The cache itself: slab, index, policy and deadlines held together; it knows no lock, no clock and no Python.
//!
//! Ring 1. An entry's life: `reserve` gives it a slot and a place in the index while its value is still being computed;
//! `publish` makes it count (it enters the order, gets a deadline, and whoever must give way leaves); `remove`, eviction,
//! expiry or `clear` end it. `detach` takes a reserved entry out of the index while its computer still owns the slot.
//! `insertion` has the ways in, `removal` the ways out. `described` has the ways in of caches whose entries have weights, tags
//! or lifetimes of their own, and `lifetimes` says how long entries are worth what.
//!
//! Keys and values that leave are handed back in an [`Evicted`], never dropped here: their destructors may run code of
//! the user, and that must not happen while the owner holds a lock.

mod described;
mod features;
mod insertion;
mod lifetimes;
mod removal;

use std::cell::UnsafeCell;

pub use self::described::{Description, Replaced, TooHeavy};
use self::features::Extras;
pub use self::features::Features;
pub use crate::evicted::{Cause, Departed, Evicted};
use crate::expiration::Expiration;
pub use crate::expiration::{Expires, Freshness, Instant, Lifetime};
use crate::index::{First, Index, Probe};
use crate::policy::{HitEffect, Kind, Order};
use crate::slab::{Entry, Slab, Slot, Token};
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
    expiration: Expiration,
    /// Weights and tags, where entries have any.
    extras: Option<Box<Extras>>,
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
    /// How many entries the policy and their lifetimes have ended since the counts were reset.
    evictions: u64,
    expirations: u64,
    features: Features,
}

// SAFETY: the `&self` methods read what only `&mut self` methods change, but for `hit_shared` and the atomics of idle times. It
// alone reaches the order, and its callers promise not to be in it twice at a time where that changes anything but marks.
// `&Cache` gives `&K` and `&V` to other threads, hence the bounds.
unsafe impl<K: Sync, V: Sync> Sync for Cache<K, V> {}

impl<K, V> Cache<K, V> {
    /// An empty cache for `capacity` entries (`None`: unbounded). `expires`: entries have deadlines, all lifetimes being equal.
    ///
    /// # Panics
    /// With a capacity of 0: whoever stores nothing needs no cache.
    pub fn new(kind: Kind, capacity: Option<usize>, expires: bool) -> Self {
        let expires = if expires { Expires::OneLifetime } else { Expires::No };
        Self::with(kind, capacity, Features { expires, ..Features::default() })
    }

    /// [`new`](Self::new), for entries of which more is to be known.
    ///
    /// # Panics
    /// As `new` does.
    pub fn with(kind: Kind, capacity: Option<usize>, features: Features) -> Self {
        // There would be no victim for the first entry.
        assert_ne!(capacity, Some(0));
        let capacity = capacity.unwrap_or(usize::MAX);
        let extras = Extras::new(features, capacity);
        let order = Order::new(kind, extras.as_ref().map_or(capacity, |extras| extras.room(capacity)));
        Cache {
            table: Index::new(),
            slab: Slab::new(),
            hit_does: order.hit_does(),
            upper_hashes: order.has_history().then(UpperHashes::default),
            order: UnsafeCell::new(order),
            expiration: Expiration::new(features.expires, features.idle),
            extras,
            live: 0,
            capacity,
            clears: 0,
            inserts: 0,
            evictions: 0,
            expirations: 0,
            features,
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

    /// How many entries have left since the counts were reset, because the policy chose them.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// How many entries have left since the counts were reset, because they had ended; those that were replaced then included.
    pub fn expirations(&self) -> u64 {
        self.expirations
    }

    /// [`evictions`](Self::evictions) and [`expirations`](Self::expirations) begin anew.
    pub fn reset_counts(&mut self) {
        (self.evictions, self.expirations) = (0, 0);
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

    /// Whether a slot that was reserved when [`clears`](Self::clears) was this is still owned by whoever reserved it.
    pub fn is_of_this_life(&self, clears: u64) -> bool {
        self.clears / LIFE == clears / LIFE
    }

    /// Every occupied slot: published, reserved and detached entries.
    pub fn entries(&self) -> impl Iterator<Item = &Entry<K, V>> {
        self.slab.iter().map(|(_, _, entry)| entry)
    }

    /// The same with their tokens. O(slots).
    pub fn occupied(&self) -> impl Iterator<Item = (Token, &Entry<K, V>)> {
        self.slab.iter().map(|(token, _, entry)| (token, entry))
    }

    /// The published entries' tokens, the next victim first (expired ones not preferred). O(n).
    pub fn victims(&mut self) -> Vec<Token> {
        self.order.get_mut().victims()
    }

    /// [`victims`](Self::victims) without those that have ended at `now`.
    pub fn tokens(&mut self, now: Instant) -> Vec<Token> {
        let mut tokens = self.victims();
        tokens.retain(|&token| self.freshness(token, now) != Freshness::Ended);
        tokens
    }

    /// Checks what must always hold; the tests call it after every step. O(n).
    pub fn validate(&mut self) {
        self.table.validate(|token| self.slab.get(token).expect("the table names an empty slot").0.hash);
        self.order.get_mut().validate();
        self.expiration.validate();
        let victims = self.victims();
        assert_eq!(victims.len(), self.live);
        assert!(self.live <= self.capacity);
        assert_eq!(self.slab.iter().count(), self.slab.len());
        assert!(self.table.len() >= self.live && self.table.len() <= self.slab.len());
        assert!(victims.iter().all(|&t| self.slab.get(t).is_some()));
        if let Some(extras) = &self.extras {
            extras.validate(&victims);
        }
    }
}
