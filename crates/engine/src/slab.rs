//! The slab: a dense array of slots, each addressed by a 32-bit [`Token`] that stays valid while its entry lives.
//!
//! Ring 1. A slot is 24 bytes when key and value are pointers. What else is known of an entry (its place in the
//! eviction order, its deadline) lives in arrays of their owners, indexed by the same token, so that a cache pays
//! only for what it uses and a thread that reorders entries does not take the slots' cache lines away from readers.

/// The address of a slot. Token 0 is never given to an entry: it is the sentinel of every linked list and the mark of
/// an empty bucket in the index.
pub type Token = u32;

/// The token that names no entry.
pub const NIL: Token = 0;

/// What a slot holds while it is occupied.
#[derive(Debug)]
pub struct Entry<K, V> {
    pub key: K,
    pub value: V,
}

/// A slot of the slab.
#[derive(Debug)]
pub struct Slot<K, V> {
    /// The key's hash: finds the bucket of an entry that is evicted by its place in the order.
    pub hash: u32,
    /// Occupied: a word that belongs to the key (its shape). Vacant: the next free slot.
    pub meta: u32,
    body: Option<Entry<K, V>>,
}

/// An occupied slot, and what it holds.
pub type Occupied<'a, K, V> = (&'a Slot<K, V>, &'a Entry<K, V>);

/// Makes room for one element more without the doubling of `Vec`: large arrays grow by a quarter, and up to exactly
/// `limit` elements first. Who needs more than the limit pays a sixteenth at a time, so that growth stays O(1) amortized.
/// A realloc of a large block moves page tables, not bytes.
pub fn reserve_one<T>(vec: &mut Vec<T>, limit: usize) {
    let len = vec.len();
    if len == vec.capacity() {
        let step = if len < 4096 { len.max(8) } else { len / 4 };
        let step = if len < limit { step.min(limit - len) } else { (len / 16).max(4) };
        vec.reserve_exact(step);
    }
}

/// A dense array of slots with a free list.
#[derive(Debug)]
pub struct Slab<K, V> {
    slots: Vec<Slot<K, V>>,
    free: Token,
    occupied: usize,
}

impl<K, V> Default for Slab<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Slab<K, V> {
    pub const fn new() -> Self {
        Slab { slots: Vec::new(), free: NIL, occupied: 0 }
    }

    /// The number of occupied slots.
    pub fn len(&self) -> usize {
        self.occupied
    }

    pub fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// One more than the largest token ever given out: the length that arrays indexed by token need.
    pub fn bound(&self) -> usize {
        self.slots.len() + 1
    }

    /// Takes a slot for `entry`. `limit` is the number of slots expected at most; it only shapes growth. O(1) amortized.
    ///
    /// # Panics
    /// With 2³² − 2 entries, which would need more than 200 GB.
    pub fn insert(&mut self, hash: u32, meta: u32, entry: Entry<K, V>, limit: usize) -> Token {
        if self.free != NIL {
            let token = self.free;
            let slot = &mut self.slots[token as usize - 1];
            debug_assert!(slot.body.is_none());
            self.free = slot.meta;
            slot.hash = hash;
            slot.meta = meta;
            slot.body = Some(entry);
            self.occupied += 1;
            return token;
        }
        assert!(self.slots.len() < (u32::MAX - 1) as usize, "cache is full");
        reserve_one(&mut self.slots, limit);
        self.slots.push(Slot { hash, meta, body: Some(entry) });
        self.occupied += 1;
        self.slots.len() as Token
    }

    /// Empties the slot `token`, or returns `None` if it is vacant already. O(1).
    pub fn remove(&mut self, token: Token) -> Option<Entry<K, V>> {
        self.take(token).map(|(_, _, entry)| entry)
    }

    /// [`remove`](Self::remove), which also gives the entry's hash and meta.
    #[inline(always)]
    pub fn take(&mut self, token: Token) -> Option<(u32, u32, Entry<K, V>)> {
        let slot = self.slots.get_mut((token as usize).wrapping_sub(1))?;
        let entry = slot.body.take()?;
        let meta = std::mem::replace(&mut slot.meta, self.free);
        self.free = token;
        self.occupied -= 1;
        Some((slot.hash, meta, entry))
    }

    /// The slot `token`, checked.
    pub fn get(&self, token: Token) -> Option<Occupied<'_, K, V>> {
        let slot = self.slots.get((token as usize).wrapping_sub(1))?;
        slot.body.as_ref().map(|entry| (slot, entry))
    }

    /// Puts another entry in the slot `token`; returns the former one's hash, its meta and itself. O(1).
    ///
    /// # Safety
    /// `token` names an occupied slot of this slab.
    #[inline(always)]
    pub unsafe fn swap(&mut self, token: Token, hash: u32, meta: u32, entry: Entry<K, V>) -> (u32, u32, Entry<K, V>) {
        debug_assert!(self.get(token).is_some());
        // SAFETY: as in `get_unchecked`.
        unsafe {
            let slot = self.slots.get_unchecked_mut(token as usize - 1);
            let body = slot.body.as_mut().unwrap_unchecked();
            let meta = std::mem::replace(&mut slot.meta, meta);
            // Word by word: an entry moved as a whole is read back before its halves have reached memory.
            let key = std::mem::replace(&mut body.key, entry.key);
            let value = std::mem::replace(&mut body.value, entry.value);
            (std::mem::replace(&mut slot.hash, hash), meta, Entry { key, value })
        }
    }

    /// The slot `token`, to change, checked.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut Entry<K, V>> {
        let slot = self.slots.get_mut((token as usize).wrapping_sub(1))?;
        slot.body.as_mut()
    }

    /// The slot `token`, unchecked: the hit path.
    ///
    /// # Safety
    /// `token` names an occupied slot of this slab.
    #[inline(always)]
    pub unsafe fn get_unchecked(&self, token: Token) -> Occupied<'_, K, V> {
        debug_assert!(self.get(token).is_some());
        // SAFETY: an occupied slot's token is between 1 and `slots.len()`, and its body is `Some`.
        unsafe {
            let slot = self.slots.get_unchecked(token as usize - 1);
            (slot, slot.body.as_ref().unwrap_unchecked())
        }
    }

    /// Every occupied slot.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &Slot<K, V>, &Entry<K, V>)> {
        self.slots.iter().zip(1..).filter_map(|(slot, token)| slot.body.as_ref().map(|entry| (token, slot, entry)))
    }

    /// Gives the memory back where no slot is occupied.
    pub fn shrink_if_empty(&mut self) {
        if self.occupied == 0 {
            self.slots = Vec::new();
            self.free = NIL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_of_two_pointers_is_24_bytes() {
        assert_eq!(std::mem::size_of::<Slot<std::ptr::NonNull<u8>, usize>>(), 24);
    }

    #[test]
    fn tokens_are_reused_and_checked() {
        let mut slab = Slab::new();
        let a = slab.insert(1, 2, Entry { key: "a", value: 1 }, 10);
        let b = slab.insert(3, 4, Entry { key: "b", value: 2 }, 10);
        assert_eq!((a, b, slab.len()), (1, 2, 2));
        assert_eq!(slab.remove(a).unwrap().key, "a");
        assert!(slab.remove(a).is_none() && slab.get(a).is_none());
        assert!(slab.get(NIL).is_none() && slab.remove(99).is_none());
        assert_eq!(slab.insert(5, 6, Entry { key: "c", value: 3 }, 10), a);
        assert_eq!(slab.iter().map(|(t, ..)| t).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn growth_stops_at_the_limit_and_is_geometric_beyond() {
        let mut v: Vec<u8> = Vec::new();
        let (mut growths, mut before) = (0, 0);
        for n in 1..=100_000 {
            reserve_one(&mut v, 5000);
            v.push(0);
            assert!(n > 5000 || v.capacity() <= 5000, "{}", v.capacity());
            growths += usize::from(v.capacity() != before);
            before = v.capacity();
        }
        assert!(v.capacity() < 110_000 && growths < 100, "{} {growths}", v.capacity());
    }
}
