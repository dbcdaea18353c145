//! How entries leave a cache: freed by their owner, removed, evicted, expired, cleared or abandoned.
//!
//! Ring 1. The cause of each is a method; all of them hand back what left.

use super::{Cache, Cause, Evicted, LIFE};
use crate::expiration::Instant;
use crate::policy::Order;
use crate::slab::{Entry, Token, NIL};
use crate::upper_hash::UpperHashes;

impl<K, V> Cache<K, V> {
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
    pub fn remove(&mut self, token: Token, cause: Cause, evicted: &mut Evicted<K, V>) {
        self.order.get_mut().remove(token);
        self.expiration.remove(token);
        if let Some(extras) = &mut self.extras {
            extras.remove(token);
        }
        self.detach(token);
        if let Some((_, meta, entry)) = self.slab.take(token) {
            self.live -= 1;
            self.count(cause);
            evicted.push(entry, meta, cause);
        }
    }

    #[inline(always)]
    pub(super) fn count(&mut self, cause: Cause) {
        match cause {
            Cause::Size => self.evictions += 1,
            Cause::Expired => self.expirations += 1,
            Cause::Explicit | Cause::Replaced => (),
        }
    }

    /// The entry that the policy evicts next, or [`NIL`]. To look for it may change the order. O(1) amortized.
    pub fn next_victim(&mut self) -> Token {
        self.order.get_mut().victim()
    }

    /// Evicts the policy's victim, with nothing in its place; false where there is none. Expected O(1), at least amortized.
    pub fn evict(&mut self, evicted: &mut Evicted<K, V>) -> bool {
        self.evict_beside(NIL, evicted)
    }

    /// [`evict`](Self::evict), where the published entry `kept` (or none, for [`NIL`]) is not to leave.
    pub(super) fn evict_beside(&mut self, kept: Token, evicted: &mut Evicted<K, V>) -> bool {
        let token = self.order.get_mut().evict(kept, |token| {
            let lower = self.slab.get(token).map_or(0, |(slot, _)| slot.hash);
            self.upper_hashes.as_ref().map_or(u64::from(lower), |upper_hashes| upper_hashes.whole(token, lower))
        });
        if token != NIL {
            self.remove(token, Cause::Size, evicted);
        }
        token != NIL
    }

    /// Ends every entry that has ended at `now`, the earliest first. O(entries that leave), in caches of varied lifetimes or with
    /// an idle time times O(log n).
    #[inline(always)]
    pub fn expire(&mut self, now: Instant, evicted: &mut Evicted<K, V>) {
        if !self.expiration.is_never() {
            self.expire_some(now, evicted);
        }
    }

    fn expire_some(&mut self, now: Instant, evicted: &mut Evicted<K, V>) {
        loop {
            match self.expiration.next_ended(now) {
                NIL => break,
                token => self.remove(token, Cause::Expired, evicted),
            }
        }
    }

    /// Ends every published entry (those that have ended, too, by the caller's will) and detaches every reserved one. O(n).
    pub fn clear(&mut self, evicted: &mut Evicted<K, V>) {
        self.clears += 1;
        self.live = 0;
        self.table.clear();
        for token in self.order.get_mut().victims() {
            if let Some((_, meta, entry)) = self.slab.take(token) {
                evicted.push(entry, meta, Cause::Explicit);
            }
        }
        let order = self.order.get_mut();
        let room = self.extras.as_mut().map_or(self.capacity, |extras| extras.clear(self.capacity));
        *order = Order::new(order.kind(), room);
        self.expiration.clear();
        // What is reserved is detached now, so nobody asks for its hash any more.
        self.upper_hashes = self.upper_hashes.is_some().then(UpperHashes::default);
        self.slab.shrink_if_empty();
    }

    /// Starts over as an empty cache, whatever state this one is in; what it held is never dropped. Slots reserved before are
    /// nobody's: [`is_of_this_life`](Self::is_of_this_life) tells.
    pub fn abandon(&mut self) {
        let kind = self.order.get_mut().kind();
        let capacity = (self.capacity != usize::MAX).then_some(self.capacity);
        let mut fresh = Cache::with(kind, capacity, self.features);
        fresh.clears = (self.clears / LIFE + 1) * LIFE;
        fresh.inserts = self.inserts + 1;
        std::mem::forget(std::mem::replace(self, fresh));
    }
}
