//! The numbers of keys in the order of their first appearance: a hash table that keeps hashes, not keys.
//!
//! Slots of twelve bytes, linear probing, at most four fifths full; it grows by a half, so that a key costs 15 to
//! 22.5 bytes. A slot's place is the upper part of a product, so the number of slots need not be a power of two.

use engine::hashing::{scale, GOLDEN};

/// Hash (two halves) and number; the number 0 is a vacant slot.
type Slot = [u32; 3];

const FEWEST: usize = 16;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct KeyInterner {
    slots: Vec<Slot>,
    len: u32,
}

impl KeyInterner {
    /// 0 for a hash that was not seen before, and n for the n-th of those that were; `None` where there is no memory.
    /// Expected O(1) amortized.
    pub fn code(&mut self, hash: u64) -> Option<u32> {
        if (self.len as usize + 1) * 5 > self.slots.len() * 4 {
            self.grow()?;
        }
        let mixed = hash.wrapping_mul(GOLDEN);
        let number = self.len.checked_add(1)?;
        let slot = Self::find(&mut self.slots, mixed);
        if slot[2] != 0 {
            return Some(slot[2]);
        }
        *slot = [mixed as u32, (mixed >> 32) as u32, number];
        self.len = number;
        Some(0)
    }

    /// The number of different hashes.
    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slot of a mixed hash, or the vacant one where it belongs. There is always a vacant one.
    fn find(slots: &mut [Slot], mixed: u64) -> &mut Slot {
        let halves = [mixed as u32, (mixed >> 32) as u32];
        let mut at = scale(mixed, slots.len() as u64) as usize;
        while slots[at][2] != 0 && slots[at][..2] != halves {
            at += 1;
            if at == slots.len() {
                at = 0;
            }
        }
        &mut slots[at]
    }

    fn grow(&mut self) -> Option<()> {
        let wanted = (self.slots.len() / 2 * 3).max(FEWEST);
        let mut slots = Vec::new();
        slots.try_reserve_exact(wanted).ok()?;
        slots.resize(wanted, [0; 3]);
        for slot in self.slots.iter().filter(|slot| slot[2] != 0) {
            *Self::find(&mut slots, u64::from(slot[0]) | u64::from(slot[1]) << 32) = *slot;
        }
        self.slots = slots;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn numbers_are_those_of_the_first_appearance(hashes in prop::collection::vec(0u64..400, 0..2000), step: u64) {
            let (mut numbers, mut model) = (KeyInterner::default(), HashMap::new());
            for hash in hashes.into_iter().map(|hash| hash.wrapping_mul(step)) {
                let known = model.len() as u32;
                let expected = *model.entry(hash).or_insert(known + 1);
                let code = numbers.code(hash);
                prop_assert_eq!(code, Some(if expected > known { 0 } else { expected }));
                prop_assert_eq!(numbers.len() as usize, model.len());
            }
        }
    }

    #[test]
    fn a_key_costs_at_most_twenty_four_bytes() {
        let mut numbers = KeyInterner::default();
        for hash in 0..100_000u64 {
            numbers.code(hash);
            let bytes = numbers.slots.capacity() * std::mem::size_of::<Slot>();
            assert!(bytes <= 24 * (hash as usize + 1) || bytes <= FEWEST * 12);
        }
    }
}
