//! Replaying a stream of keys: how many misses a cache of a strategy and a size would have had.
//!
//! Ring 1. What is asked is the cache that ships, entry by entry; [`optimum`] says how far any strategy could come.

pub mod optimum;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Mutex;

use crate::cache::{Cache, Evicted};
use crate::hashing::murmur_mix;
use crate::policy::Kind;

/// How many requests pass between two looks at whether to stop.
const CHECK: usize = 1 << 16;

/// Whether those who replay are to give up.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Relaxed, as nothing else is told by it.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A cache of keys alone.
struct Replay(Cache<u32, ()>);

impl Replay {
    /// Whether the key is there; afterwards it is, if the strategy takes it.
    #[inline(always)]
    fn request(&mut self, key: u32) -> bool {
        // Both halves are asked: one by the index, both by strategies that remember keys.
        let hash = u64::from(murmur_mix(!key)) << 32 | u64::from(murmur_mix(key));
        let found = self.0.candidates(hash).find(|(_, _, entry)| entry.key == key).map(|(token, ..)| token);
        match found {
            // SAFETY: the token was found just now, and all entries are published.
            Some(token) => unsafe { self.0.hit(token) },
            None => {
                let mut evicted = Evicted::default();
                self.0.insert(hash, 0, key, (), 0, 0, &mut evicted);
            }
        }
        found.is_some()
    }
}

/// The misses of a strategy, or `None` if it was stopped. O(n).
pub fn misses(keys: &[u32], kind: Kind, size: usize, stop: &Stop) -> Option<u64> {
    if size == 0 {
        return Some(keys.len() as u64);
    }
    let mut replay = Replay(Cache::new(kind, Some(size), false));
    let mut misses = 0;
    for chunk in keys.chunks(CHECK) {
        if stop.is_set() {
            return None;
        }
        misses += chunk.iter().map(|&key| u64::from(!replay.request(key))).sum::<u64>();
    }
    Some(misses)
}

/// What to find out: the misses of a strategy (`None`: the optimum) at a size.
pub type Job = (Option<Kind>, usize);

/// The misses of each job, computed by as many threads as given, or `None` if it was stopped. `keys` are numbers that begin
/// at 0, fewer than 2³² - 1 in all.
pub fn run(keys: &[u32], jobs: &[Job], threads: usize, stop: &Stop) -> Option<Vec<u64>> {
    let next = if jobs.iter().any(|(kind, _)| kind.is_none()) { optimum::next_uses(keys) } else { Vec::new() };
    let results = Mutex::new(vec![None; jobs.len()]);
    let turn = AtomicUsize::new(0);
    let work = || loop {
        // Relaxed: it hands out numbers and nothing else; the results are behind a lock.
        let at = turn.fetch_add(1, Ordering::Relaxed);
        let Some(&(kind, size)) = jobs.get(at) else {
            break;
        };
        let result = match kind {
            Some(kind) => misses(keys, kind, size, stop),
            None => optimum::misses(&next, size, stop),
        };
        results.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[at] = result;
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(jobs.len()) {
            scope.spawn(work);
        }
        work();
    });
    results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).into_iter().collect()
}

/// The requests of a part of the keys, chosen by hash and numbered anew: a cache of that part of a size sees of them what
/// the whole cache sees of all (SHARDS: Waldspurger, Park, Garthwaite and Ahmad, FAST 2015). O(n).
pub fn sample(keys: &[u32], rate: f64) -> Vec<u32> {
    let mut numbers: Vec<u32> = Vec::new();
    let (mut sampled, mut count) = (Vec::new(), 0);
    // Another hash than the one that a replay has, which would fill a part of its table only.
    for &key in
        keys.iter().filter(|&&key| f64::from(murmur_mix(murmur_mix(key) ^ u32::MAX)) < rate * f64::from(u32::MAX))
    {
        if numbers.len() <= key as usize {
            numbers.resize(key as usize + 1, u32::MAX);
        }
        let number = &mut numbers[key as usize];
        if *number == u32::MAX {
            *number = count;
            count += 1;
        }
        sampled.push(*number);
    }
    sampled
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The fewest misses, by trying everything: at each miss any entry may give way, or the newcomer.
    fn fewest(keys: &[u32], size: usize, entries: &[u32]) -> u64 {
        let Some((&key, rest)) = keys.split_first() else {
            return 0;
        };
        if entries.contains(&key) {
            return fewest(rest, size, entries);
        }
        let mut with = entries.to_vec();
        with.push(key);
        if with.len() <= size {
            return 1 + fewest(rest, size, &with);
        }
        let without =
            |at: usize| with.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, &k)| k).collect::<Vec<_>>();
        1 + (0..with.len()).map(|at| fewest(rest, size, &without(at))).min().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn the_optimum_is_the_best_of_all(keys in prop::collection::vec(0u32..5, 0..9), size in 0usize..4) {
            let found = optimum::misses(&optimum::next_uses(&keys), size, &Stop::default());
            prop_assert_eq!(found, Some(fewest(&keys, size, &[])));
        }

        #[test]
        fn no_strategy_is_above_it(keys in prop::collection::vec(0u32..60, 0..800), size in 1usize..40) {
            let jobs: Vec<Job> = Kind::ALL.iter().map(|&kind| (Some(kind), size)).chain([(None, size)]).collect();
            let misses = run(&keys, &jobs, 2, &Stop::default()).unwrap();
            let least = misses[jobs.len() - 1];
            prop_assert!(misses.iter().all(|&misses| misses >= least));
        }

        #[test]
        fn lru_is_as_a_list_says(keys in prop::collection::vec(0u32..30, 0..500), size in 1usize..30) {
            let (mut list, mut expected) = (Vec::new(), 0);
            for &key in &keys {
                match list.iter().position(|&known| known == key) {
                    Some(at) => {
                        list.remove(at);
                    }
                    None => expected += 1,
                }
                list.push(key);
                if list.len() > size {
                    list.remove(0);
                }
            }
            prop_assert_eq!(misses(&keys, Kind::Lru, size, &Stop::default()), Some(expected));
        }
    }

    #[test]
    fn a_sample_has_the_requests_of_its_keys() {
        let keys: Vec<u32> = (0..20_000u64).map(|at| (at * at % 1009) as u32).collect();
        let sampled = sample(&keys, 0.25);
        let unique = sampled.iter().max().unwrap() + 1;
        // Squares have 505 residues.
        assert!((60..200).contains(&unique));
        assert!(sampled.len() > 2_000 && sampled.len() < 8_000);
        assert_eq!(sample(&keys, 1.1).len(), keys.len());
    }

    #[test]
    fn it_stops() {
        let stop = Stop::default();
        stop.set();
        assert_eq!(run(&[0; 10], &[(Some(Kind::Lru), 1), (None, 1)], 2, &stop), None);
    }
}
