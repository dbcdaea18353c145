//! The whole tier against a naive model: all strategies, lifetimes, sizes, clear, several handles as several
//! processes.

use super::naive::{fence_of, key_bytes, tags_of, Model, UNIT};
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
    /// Length; for how long it is there, and a tag.
    Set(u8, u16, Option<u8>, Option<u8>),
    /// Fresh, then stale.
    SetStale(u8, u8, u8),
    Compute(u8, u16),
    /// Replaces whatever is there, under a lease.
    Refresh(u8, u16),
    RefreshFails(u8),
    /// A computation without a lease, with a tag or without one, begins; and ends.
    Begin(u8, Option<u8>),
    End,
    Remove(u8),
    InvalidateTag(u8),
    TooLarge(u8),
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
        10 => (key.clone(), 0..700u16, proptest::option::of(1..20u8), proptest::option::of(0..4u8))
            .prop_map(|(k, n, t, tag)| Op::Set(k, n, t, tag)),
        4 => (key.clone(), 1..6u8, 1..12u8).prop_map(|(k, f, t)| Op::SetStale(k, f, t)),
        3 => (key.clone(), 0..100u16).prop_map(|(k, n)| Op::Refresh(k, n)),
        1 => key.clone().prop_map(Op::RefreshFails),
        4 => (key.clone(), proptest::option::of(0..4u8)).prop_map(|(k, tag)| Op::Begin(k, tag)),
        4 => Just(Op::End),
        2 => (0..4u8).prop_map(Op::InvalidateTag),
        1 => key.clone().prop_map(Op::TooLarge),
        6 => (key.clone(), 0..100u16).prop_map(|(k, n)| Op::Compute(k, n)),
        2 => key.prop_map(Op::Remove),
        1 => Just(Op::Clear),
        3 => (1..10u8).prop_map(Op::Sleep),
        1 => Just(Op::Repair),
    ];
    (0..3usize, op)
}
use proptest::strategy::Strategy as Generator;

/// A computation that has begun.
struct Running {
    key: u8,
    began: Began,
    terms: Terms,
    tag: Option<(u64, u64)>,
    fence: u64,
    cleared: u64,
}

fn run(strategy: Strategy, max: usize, ticks: u64, idle: Option<u64>, ops: Vec<(usize, Op)>) {
    TICK_MODE.set(Some(ticks));
    let dir = tempfile::tempdir().unwrap();
    let idle = idle.map(|idle| idle * UNIT);
    let o = Options { idle: idle.map(std::time::Duration::from_nanos), ..options(&dir, strategy, max as u64) };
    let handles: Vec<SharedCache> = (0..3).map(|_| open_isolated(&o)).collect();
    TICK_MODE.set(None);
    let order: Option<Box<dyn Reference>> = match strategy {
        Strategy::Sieve => Some(Box::new(Sieve::default())),
        Strategy::S3Fifo => Some(Box::new(S3Fifo::new(max))),
        _ => None,
    };
    let mut model = Model {
        strategy,
        max,
        entries: HashMap::new(),
        order,
        tick: 0,
        now: 1 << 60,
        idle,
        fences: HashMap::new(),
        stamps: HashMap::new(),
        cleared: 0,
    };
    let mut running: Vec<Running> = Vec::new();
    let long = std::time::Duration::from_secs(1);
    let mut known: Vec<HashMap<u8, (Remembered, Vec<u8>)>> = (0..3).map(|_| HashMap::new()).collect();
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
                    known[who].insert(k, (hit.into(), buf.value().to_vec()));
                }
            }
            Op::Again(k) => {
                let mut nothing = u64::MAX;
                if let Some((hit, value)) = known[who].get(&k) {
                    if cache.hit_again(hit, if ticks == 0 { &mut last[who] } else { &mut nothing }) {
                        assert!(model.is_fresh(k), "step {n}, key {k}");
                        assert_eq!(Some(value.clone()), model.get(k), "step {n}, key {k}");
                    } else {
                        let same = model.entries.get(&k).filter(|e| e.value == *value && cache.still_current(hit));
                        assert!(same.is_none() || !model.is_fresh(k), "step {n}: {k} is current");
                    }
                }
            }
            Op::Set(k, len, ttl, tag) => {
                let value = vec![n as u8; len as usize];
                let end = ttl.map_or(NEVER, |t| model.now + UNIT * u64::from(t));
                let (tags, tag) = tags_of(cache, &model, tag);
                let terms = Terms { tags, ..end.into() };
                assert!(matches!(cache.set(&key_bytes(k), &value, terms), Stored::Done(_)));
                model.set(k, value, terms, tag, cache);
                model.raise_fence(cache, k);
            }
            Op::SetStale(k, fresh, more) => {
                let fresh = model.now + UNIT * u64::from(fresh);
                let terms = Terms { fresh, ..Terms::from(fresh + UNIT * u64::from(more)) };
                assert!(matches!(cache.set(&key_bytes(k), b"stale one day", terms), Stored::Done(_)));
                model.set(k, b"stale one day".to_vec(), terms, None, cache);
                model.raise_fence(cache, k);
            }
            Op::Refresh(k, len) => {
                let value = vec![n as u8; len as usize];
                let acquired = cache.acquire_to(Purpose::Anew, &key_bytes(k), &Tags::NONE, long, false);
                let Acquired::Leader(lease) = acquired else { panic!("step {n}: {acquired:?}") };
                if len % 7 == 0 {
                    cache.complete_without(lease);
                    let lives = model.entries.get(&k).is_some_and(|e| model.lives(e));
                    ignore(model.remove(k));
                    // (What is there no more is not taken away now, as it may be.)
                    let found = cache.table().find(cache.hash(&key_bytes(k)), &key_bytes(k), &mut buf);
                    assert!(found.is_none(), "step {n}, {lives}");
                } else {
                    assert!(matches!(cache.complete(lease, &key_bytes(k), &value, NEVER), Stored::Done(_)));
                    model.set(k, value, NEVER.into(), None, cache);
                }
            }
            Op::RefreshFails(k) => {
                if let Acquired::Leader(lease) =
                    cache.acquire_to(Purpose::Refresh, &key_bytes(k), &Tags::NONE, long, false)
                {
                    let e = model.entries.get(&k).unwrap();
                    assert!(model.lives(e) && e.fresh <= model.now, "step {n}");
                    cache.refresh_failed(lease);
                    let hit = cache.look(&key_bytes(k)).1.unwrap();
                    assert!(!cache.is_refresh_due(&hit));
                }
            }
            Op::Begin(key, tag) => {
                let (tags, tag) = tags_of(cache, &model, tag);
                running.push(Running {
                    key,
                    began: cache.begin(cache.hash(&key_bytes(key))),
                    terms: Terms { tags, ..NEVER.into() },
                    tag,
                    fence: model.fence(fence_of(cache, key)),
                    cleared: model.cleared,
                });
            }
            Op::End => {
                if running.is_empty() {
                    continue;
                }
                let one = running.swap_remove(n % running.len());
                let right = model.fence(fence_of(cache, one.key)) == one.fence
                    && model.cleared == one.cleared
                    && one.tag.is_none_or(|(number, stamp)| model.stamp(number) == stamp);
                let stored = cache.insert(&key_bytes(one.key), b"computed", one.terms, one.began);
                assert_eq!(matches!(stored, Stored::Done(_)), right, "step {n}: {stored:?}");
                if right {
                    model.set(one.key, b"computed".to_vec(), one.terms, one.tag, cache);
                }
            }
            Op::InvalidateTag(tag) => {
                cache.invalidate_tags(&[tag.into()]).unwrap();
                *model.stamps.entry(cache.table().number_of(tag.into())).or_default() += 1;
            }
            Op::TooLarge(k) => {
                assert_eq!(cache.set(&key_bytes(k), &vec![1; 5 << 20], NEVER), Stored::TooLarge);
                model.remove(k);
                model.raise_fence(cache, k);
            }
            Op::Compute(k, len) => {
                let value = vec![n as u8; len as usize];
                let present = model.is_fresh(k);
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
                    model.set(k, b"by hand".to_vec(), NEVER.into(), None, cache);
                    model.raise_fence(cache, k);
                }
                let present = by_hand;
                let stored = cache.complete(lease, &key_bytes(k), &value, NEVER);
                assert_eq!(stored == Stored::Outdated, present);
                if !present {
                    model.set(k, value, NEVER.into(), None, cache);
                }
            }
            Op::Remove(k) => {
                assert_eq!(cache.invalidate(&key_bytes(k)), Ok(model.remove(k)), "step {n}");
                model.raise_fence(cache, k);
            }
            Op::Clear => {
                cache.clear();
                model.cleared += 1;
                model.entries.clear();
                model.order.iter_mut().for_each(|order| order.clear());
            }
            Op::Sleep(t) => {
                model.now += UNIT * u64::from(t);
                set_clock(model.now);
            }
            Op::Repair => {
                repairs += 1;
                cache.table().lock(std::time::Duration::from_secs(1)).map(|_guard| cache.table().repair()).unwrap()
            }
        }
        let there = model.entries.values().filter(|e| model.is_there(e)).count();
        assert_eq!(cache.len() as usize, there, "step {n}");
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
        idle in proptest::option::weighted(0.3, 3..30u64),
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        run(strategy, max, ticks, idle, ops);
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
