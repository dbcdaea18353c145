//! Eviction apart from insertion: one after the other keeps the same entries as the fast path where one leaves for one.

use engine::cache::{Cache, Evicted};
use engine::hashing::split_mix;
use engine::policy::Kind;
use proptest::prelude::*;
use proptest::sample::select;

/// Asks for a key, which is in the cache afterwards. `is_apart`: a full cache evicts before it inserts.
fn request(cache: &mut Cache<u32, ()>, capacity: usize, key: u32, is_apart: bool) -> Vec<u32> {
    let hash = split_mix(key.into());
    let found = cache.candidates(hash).find(|(_, _, entry)| entry.key == key).map(|(token, ..)| token);
    let mut evicted = Evicted::default();
    if let Some(token) = found {
        // SAFETY: the token was found just now, and all entries are published.
        unsafe { cache.hit(token) };
    } else {
        if is_apart && cache.len() == capacity {
            assert!(cache.evict(&mut evicted));
        }
        cache.insert(hash, 0, key, (), 0, 0, &mut evicted);
    }
    cache.validate();
    let mut keys: Vec<u32> = cache.entries().map(|entry| entry.key).collect();
    keys.sort_unstable();
    keys
}

proptest! {
    #[test]
    fn evict_and_insert_are_as_the_fast_path(
        kind in select(Kind::ALL),
        capacity in 1usize..24,
        keys in prop::collection::vec(0u32..60, 0..600),
    ) {
        let [mut fused, mut apart] = [(); 2].map(|()| Cache::new(kind, Some(capacity), false));
        for key in keys {
            let expected = request(&mut fused, capacity, key, false);
            prop_assert_eq!(request(&mut apart, capacity, key, true), expected);
        }
    }
}

#[test]
fn evict_empties_a_cache_in_the_order_of_victims() {
    for &kind in Kind::ALL {
        let mut cache: Cache<u32, ()> = Cache::new(kind, Some(50), true);
        let mut evicted = Evicted::default();
        (0..70).for_each(|key| cache.insert(split_mix(key), 0, key as u32, (), 100, 0, &mut evicted));
        let key = |cache: &Cache<u32, ()>, token| cache.get(token).map(|entry| entry.key);
        for left in (0..50).rev() {
            let next = cache.victims()[0];
            let victim = key(&cache, next);
            assert!(victim.is_some() && cache.evict(&mut evicted), "{kind:?}");
            assert!(cache.entries().all(|entry| Some(entry.key) != victim), "{kind:?}");
            assert_eq!(cache.len(), left);
            cache.validate();
        }
        assert!(!cache.evict(&mut evicted));
    }
}
