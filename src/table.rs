//! The index: an open-addressing hash table from 32-bit hashes to tokens.
//!
//! Ring 1. Linear probing over buckets of eight bytes, `(hash, token)`: the full hash is compared in the bucket, so a
//! slot is touched only where it is almost surely the right one, and the common hit reads one cache line here. Deletion
//! shifts the run back (Knuth, TAOCP vol. 3, 6.4, algorithm R), so there are no tombstones: a cache that evicts for a
//! year probes as fast as a new one. At most three quarters of the buckets are used.

use crate::entry::{Token, NIL};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    hash: u32,
    token: Token,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Table {
    /// A power of two of them; at least one is always empty, which ends every probe.
    buckets: Box<[Bucket]>,
    /// `buckets.len() - 1`.
    mask: u32,
    used: usize,
}

/// Where a probe stands, to go on from after a candidate that was not the key.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    hash: u32,
    at: u32,
}

const MIN_BUCKETS: usize = 8;

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    pub fn new() -> Self {
        Self::with_buckets(MIN_BUCKETS)
    }

    fn with_buckets(n: usize) -> Self {
        debug_assert!(n.is_power_of_two() && n - 1 <= u32::MAX as usize);
        Table {
            buckets: vec![Bucket::default(); n].into_boxed_slice(),
            mask: (n - 1) as u32,
            used: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.used
    }

    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    #[inline(always)]
    fn bucket(&self, at: u32) -> Bucket {
        debug_assert!(at <= self.mask);
        // SAFETY: every `at` was masked with `mask`, which is `buckets.len() - 1`.
        unsafe { *self.buckets.get_unchecked(at as usize) }
    }

    /// Starts a probe for `hash`.
    #[inline(always)]
    pub fn probe(&self, hash: u32) -> Probe {
        Probe {
            hash,
            at: hash & self.mask,
        }
    }

    /// The next token whose hash is the probe's, or `None` at the end of the run. The probe must have been started since
    /// the table last changed (else tokens may be missed, nothing worse). Expected O(1).
    #[inline(always)]
    pub fn next(&self, probe: &mut Probe) -> Option<Token> {
        let mut at = probe.at & self.mask;
        loop {
            let bucket = self.bucket(at);
            if bucket.token == NIL {
                probe.at = at;
                return None;
            }
            at = (at + 1) & self.mask;
            if bucket.hash == probe.hash {
                probe.at = at;
                return Some(bucket.token);
            }
        }
    }

    /// Adds an entry; the caller knows that `token` is not in the table. O(1) amortized.
    pub fn insert(&mut self, hash: u32, token: Token) {
        debug_assert_ne!(token, NIL);
        if (self.used + 1) * 4 > self.buckets.len() * 3 {
            self.grow();
        }
        self.place(Bucket { hash, token });
        self.used += 1;
    }

    fn place(&mut self, bucket: Bucket) {
        let mut at = bucket.hash & self.mask;
        while self.bucket(at).token != NIL {
            at = (at + 1) & self.mask;
        }
        self.buckets[at as usize] = bucket;
    }

    #[cold]
    fn grow(&mut self) {
        let mut larger = Self::with_buckets(self.buckets.len() * 2);
        for bucket in self.buckets.iter().filter(|b| b.token != NIL) {
            larger.place(*bucket);
        }
        larger.used = self.used;
        *self = larger;
    }

    /// Removes the entry `token` with hash `hash`; false if it is not there. Expected O(1).
    pub fn remove(&mut self, hash: u32, token: Token) -> bool {
        let mut hole = hash & self.mask;
        loop {
            let bucket = self.bucket(hole);
            if bucket.token == NIL {
                return false;
            }
            if bucket == (Bucket { hash, token }) {
                break;
            }
            hole = (hole + 1) & self.mask;
        }
        // Whoever stands behind the hole and would be found from the hole on moves into it, and leaves a hole.
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let bucket = self.bucket(at);
            if bucket.token == NIL {
                break;
            }
            let home = bucket.hash & self.mask;
            if at.wrapping_sub(home) & self.mask >= at.wrapping_sub(hole) & self.mask {
                self.buckets[hole as usize] = bucket;
                hole = at;
            }
        }
        self.buckets[hole as usize] = Bucket::default();
        self.used -= 1;
        true
    }

    /// Empties the table and gives its memory back.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Checks what must always hold: every entry is found from its home, and an empty bucket exists.
    pub fn validate(&self) {
        let tokens = self.buckets.iter().filter(|b| b.token != NIL);
        assert_eq!(tokens.clone().count(), self.used);
        assert!(self.used * 4 <= self.buckets.len() * 3);
        for bucket in tokens {
            let mut probe = self.probe(bucket.hash);
            while self.next(&mut probe).expect("an entry is not reachable from its home") != bucket.token {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn tokens(table: &Table, hash: u32) -> BTreeSet<Token> {
        let mut probe = table.probe(hash);
        std::iter::from_fn(|| table.next(&mut probe)).collect()
    }

    proptest! {
        /// Few distinct hashes that share their low bits and wrap round the end: long runs, many shifts.
        #[test]
        fn behaves_like_a_set(ops in prop::collection::vec((any::<bool>(), 0u32..12, 1u32..60), 1..400)) {
            let mut table = Table::new();
            let mut model: BTreeSet<(u32, Token)> = BTreeSet::new();
            for (add, h, token) in ops {
                let hash = [0, 1, 7, 8, 15, 16, 31, 0x8000_0000, u32::MAX, u32::MAX - 1, 63, 62][h as usize];
                if add {
                    if !model.iter().any(|&(_, t)| t == token) {
                        table.insert(hash, token);
                        model.insert((hash, token));
                    }
                } else {
                    prop_assert_eq!(table.remove(hash, token), model.remove(&(hash, token)));
                }
                table.validate();
                let expected: BTreeSet<Token> = model.iter().filter(|(h, _)| *h == hash).map(|&(_, t)| t).collect();
                prop_assert_eq!(tokens(&table, hash), expected);
            }
        }
    }
}
