//! The whole tier against a naive model: all strategies, lifetimes, sizes, clear, several handles as several
//! processes.

use super::reference::{Reference, S3Fifo, Sieve};
use super::*;
use crate::Strategy;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

#[derive(Clone, Debug)]
enum Op {
    Get(u8),
    /// A hit through the decoded level, if the handle remembers one.
    Again(u8),
    Set(u8, u16, Option<u8>),
    Compute(u8, u16),
    Remove(u8),
    Clear,
    Sleep(u8),
    /// Dies in the lock: the next one repairs.
    Repair,
}

fn op() -> impl Generator<Value = (usize, Op)> {
    let key = 0..12u8;
    let op = prop_oneof![
        8 => key.clone().prop_map(Op::Get),
        8 => key.clone().prop_map(Op::Again),
        10 => (key.clone(), 0..700u16, proptest::option::of(1..20u8)).prop_map(|(k, n, t)| Op::Set(k, n, t)),
        6 => (key.clone(), 0..100u16).prop_map(|(k, n)| Op::Compute(k, n)),
        2 => key.prop_map(Op::Remove),
        1 => Just(Op::Clear),
        3 => (1..10u8).prop_map(Op::Sleep),
        1 => Just(Op::Repair),
    ];
    (0..3usize, op)
}
use proptest::strategy::Strategy as Generator;

struct Entry {
    value: Vec<u8>,
    deadline: u64,
    used: u64,
    count: u64,
}

struct Model {
    strategy: Strategy,
    max: usize,
    entries: HashMap<u8, Entry>,
    /// Of a strategy with queues, but for TinyLFU: which entry that evicts is its own affair, as long as it is one.
    order: Option<Box<dyn Reference>>,
    tick: u64,
    now: u64,
}

impl Model {
    fn get(&mut self, key: u8) -> Option<Vec<u8>> {
        self.tick += 1;
        let (now, tick, strategy) = (self.now, self.tick, self.strategy);
        let e = self.entries.get_mut(&key).filter(|e| e.deadline > now)?;
        e.count += 1;
        if strategy != Strategy::Fifo {
            e.used = tick;
        }
        if let Some(order) = &mut self.order {
            order.hit(key.into());
        }
        Some(e.value.clone())
    }

    fn remove(&mut self, key: u8) -> bool {
        if let Some(order) = &mut self.order {
            order.remove(key.into());
        }
        self.entries.remove(&key).is_some_and(|e| e.deadline > self.now)
    }

    fn expire(&mut self) {
        let gone: Vec<u8> = self.entries.iter().filter(|(_, e)| e.deadline <= self.now).map(|(k, _)| *k).collect();
        gone.into_iter().for_each(|key| ignore(self.remove(key)));
    }

    /// After `cache` has stored it.
    fn set(&mut self, key: u8, value: Vec<u8>, deadline: u64, cache: &SharedCache) {
        self.expire();
        if self.get(key).is_some() {
            let e = self.entries.get_mut(&key).unwrap();
            (e.value, e.deadline) = (value, deadline);
            return;
        }
        if self.entries.len() == self.max {
            let order = self.order.as_mut().map(|order| order.evict() as u8);
            let missing = |key: &&u8| cache.peek(&key_bytes(**key), &mut ReadBuf::new()).is_none();
            let victim = match self.strategy {
                Strategy::Sieve | Strategy::S3Fifo => order,
                Strategy::TinyLfu => {
                    assert_eq!(self.entries.keys().filter(missing).count(), 1, "one gives way for one");
                    self.entries.keys().find(missing).copied()
                }
                _ => self.victim_by_stamps(),
            };
            self.entries.remove(&victim.unwrap());
        }
        if let Some(order) = &mut self.order {
            order.insert(key.into());
        }
        self.entries.insert(key, Entry { value, deadline, used: self.tick, count: 1 });
    }

    fn victim_by_stamps(&self) -> Option<u8> {
        let victim = match self.strategy {
            Strategy::Mru => self.entries.iter().max_by_key(|(_, e)| e.used),
            Strategy::Lfu => self.entries.iter().min_by_key(|(_, e)| (e.count, e.used)),
            _ => self.entries.iter().min_by_key(|(_, e)| e.used),
        };
        victim.map(|(key, _)| *key)
    }

    fn live(&self) -> Vec<(u8, Vec<u8>)> {
        let mut all: Vec<_> =
            self.entries.iter().filter(|(_, e)| e.deadline > self.now).map(|(k, e)| (*k, e.value.clone())).collect();
        all.sort();
        all
    }
}

fn key_bytes(key: u8) -> Vec<u8> {
    vec![key; 1 + key as usize * 3]
}

fn run(strategy: Strategy, max: usize, ticks: u64, ops: Vec<(usize, Op)>) {
    TICK_MODE.set(Some(ticks));
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, strategy, max as u64);
    let handles: Vec<SharedCache> = (0..3).map(|_| open_isolated(&o)).collect();
    TICK_MODE.set(None);
    let order: Option<Box<dyn Reference>> = match strategy {
        Strategy::Sieve => Some(Box::new(Sieve::default())),
        Strategy::S3Fifo => Some(Box::new(S3Fifo::new(max))),
        _ => None,
    };
    let mut model = Model { strategy, max, entries: HashMap::new(), order, tick: 0, now: 1 << 60 };
    let mut known: Vec<HashMap<u8, (Hit, Vec<u8>)>> = vec![HashMap::new(); 3];
    let (mut last, mut repairs) = ([u64::MAX; 3], 0);
    let mut buf = ReadBuf::new();
    let set_clock = |now: u64| handles.iter().for_each(|h| h.table().test_now.store(now, Ordering::SeqCst));
    set_clock(model.now);
    for (n, (who, op)) in ops.into_iter().enumerate() {
        let cache = &handles[who];
        match op {
            Op::Get(k) => {
                let hit = cache.get(&key_bytes(k), &mut buf);
                assert_eq!(hit.map(|_| buf.value().to_vec()), model.get(k), "step {n}, key {k}");
                if let Some(hit) = hit {
                    known[who].insert(k, (hit, buf.value().to_vec()));
                }
            }
            Op::Again(k) => {
                let mut nothing = u64::MAX;
                if let Some((hit, value)) = known[who].get(&k) {
                    if cache.hit_again(hit, if ticks == 0 { &mut last[who] } else { &mut nothing }) {
                        assert_eq!(Some(value.clone()), model.get(k), "step {n}, key {k}");
                    } else {
                        let now = model.now;
                        let same = model
                            .entries
                            .get(&k)
                            .filter(|e| e.deadline > now && e.value == *value && cache.still_current(hit));
                        assert!(same.is_none(), "step {n}: {k} is current");
                    }
                }
            }
            Op::Set(k, len, ttl) => {
                let value = vec![n as u8; len as usize];
                let deadline = ttl.map_or(NEVER, |t| model.now + u64::from(t));
                assert!(matches!(cache.set(&key_bytes(k), &value, deadline), Stored::Done(_)));
                model.set(k, value, deadline, cache);
            }
            Op::Compute(k, len) => {
                let value = vec![n as u8; len as usize];
                let now = model.now;
                let present = model.entries.get(&k).is_some_and(|e| e.deadline > now);
                let lease = match cache.acquire(&key_bytes(k), std::time::Duration::from_secs(1), false) {
                    Acquired::Leader(lease) => lease,
                    other => {
                        assert!(present && matches!(other, Acquired::Present), "step {n}: {other:?}");
                        continue;
                    }
                };
                assert!(!present);
                let by_hand = n % 3 == 0;
                if by_hand {
                    cache.set(&key_bytes(k), b"by hand", NEVER);
                    model.set(k, b"by hand".to_vec(), NEVER, cache);
                }
                let present = by_hand;
                let stored = cache.complete(lease, &key_bytes(k), &value, NEVER);
                assert_eq!(stored == Stored::Outdated, present);
                model.expire();
                if !present {
                    model.set(k, value, NEVER, cache);
                }
            }
            Op::Remove(k) => {
                let removed = cache.remove(&key_bytes(k)).unwrap();
                let was = model.remove(k);
                assert!(removed || !was, "step {n}");
            }
            Op::Clear => {
                cache.clear();
                model.entries.clear();
                model.order.iter_mut().for_each(|order| order.clear());
            }
            Op::Sleep(t) => {
                model.now += u64::from(t);
                set_clock(model.now);
            }
            Op::Repair => {
                repairs += 1;
                cache.table().lock(std::time::Duration::from_secs(1)).map(|_guard| cache.table().repair()).unwrap()
            }
        }
        assert_eq!(cache.len() as usize, model.live().len(), "step {n}");
        validate(cache);
        assert_eq!(cache.info().repairs, repairs, "step {n}: nothing was found damaged");
    }
    let mut all = Vec::new();
    handles[0].for_each(|k, v, _| all.push((k[0], v.to_vec())));
    all.sort();
    assert_eq!(all, model.live());
    for k in 0..12 {
        assert_eq!(
            handles[1].peek(&key_bytes(k), &mut buf).map(|_| buf.value().to_vec()),
            model.live().into_iter().find(|e| e.0 == k).map(|e| e.1)
        );
    }
    let used = handles[0].info().data_bytes_used;
    let table = handles[0].table();
    table.lock(std::time::Duration::from_secs(1)).map(|_guard| table.repair()).unwrap();
    assert_eq!(used, handles[0].info().data_bytes_used, "nothing leaks");
    if model.entries.is_empty() {
        assert_eq!(used, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: times("WARP_CASES", 300),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn agrees_with_the_model(
        strategy in proptest::sample::select(&Strategy::ALL[..]),
        max in prop_oneof![1..9usize, Just(11)],
        ticks in 0..2u64,
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        run(strategy, max, ticks, ops);
    }
}

/// Victims stay exact when the noted candidates (64) are fewer than the entries, up to the documented limit.
#[test]
fn victims_are_exact_up_to_the_limit() {
    for strategy in [Strategy::Lru, Strategy::Mru, Strategy::Fifo, Strategy::Lfu] {
        for (max, steps) in [(100usize, 3000u64), (EXACT as usize, 6000)] {
            TICK_MODE.set(Some(0));
            let dir = tempfile::tempdir().unwrap();
            let cache = open(&options(&dir, strategy, max as u64));
            TICK_MODE.set(None);
            // The model, by u32 keys: (count, used).
            let mut model: HashMap<u32, (u64, u64)> = HashMap::new();
            let (mut random, mut tick, mut buf) = (88172645463325252u64, 0, ReadBuf::new());
            for step in 0..steps {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let k = (random % (max as u64 * 3 / 2)) as u32;
                tick += 1;
                let hit = cache.get(&k.to_le_bytes(), &mut buf).is_some();
                assert_eq!(hit, model.contains_key(&k), "{strategy:?} {max} step {step}");
                if let Some(e) = model.get_mut(&k) {
                    e.0 += 1;
                    e.1 = if strategy == Strategy::Fifo { e.1 } else { tick };
                    continue;
                }
                if model.len() == max {
                    let key = |e: &(&u32, &(u64, u64))| match strategy {
                        Strategy::Lfu => *e.1,
                        Strategy::Mru => (0, u64::MAX - e.1 .1),
                        _ => (0, e.1 .1),
                    };
                    let victim = *model.iter().min_by_key(key).unwrap().0;
                    model.remove(&victim);
                }
                model.insert(k, (1, tick));
                cache.set(&k.to_le_bytes(), b"v", NEVER);
            }
        }
    }
}
