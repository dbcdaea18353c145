//! Fences: what was being computed before an invalidation, or a store by hand, is nobody's afterwards.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(100);

fn leader(cache: &SharedCache, key: &[u8]) -> Lease {
    match cache.acquire(key, LONG, false) {
        Acquired::Leader(lease) => lease,
        other => panic!("{other:?}"),
    }
}

fn changed<'a>(
    cache: &SharedCache,
    key: &[u8],
    decide: &mut dyn FnMut(Option<Present<'_>>, u64) -> Change<'a>,
) -> Result<Option<Stored>, Busy> {
    let sought = Sought { key, hash: cache.hash(key), absent_since: None };
    cache.change(&sought, &mut ReadBuf::new(), LONG, decide)
}

fn is_there(cache: &SharedCache, key: &[u8]) -> bool {
    cache.peek(key, &mut ReadBuf::new()).is_some()
}

type Fencing = fn(&SharedCache, &[u8]);

/// Everything that fences a key.
fn fencing() -> Vec<(&'static str, Fencing)> {
    vec![
        ("invalidate", |cache, key| assert_eq!(cache.invalidate(key), Ok(false))),
        ("set, then invalidate", |cache, key| {
            assert!(matches!(cache.set(key, b"by hand", NEVER), Stored::Done(_)));
            assert_eq!(cache.invalidate(key), Ok(true));
        }),
        ("set too much", |cache, key| assert_eq!(cache.set(key, &vec![1; 5 << 20], NEVER), Stored::TooLarge)),
        ("set without room", |cache, key| {
            DISK_FULL.set(true);
            assert_eq!(cache.set(key, &vec![1; 1 << 20], NEVER), Stored::NoSpace);
            DISK_FULL.set(false);
        }),
        ("clear", |cache, _| cache.clear()),
    ]
}

#[test]
fn what_began_before_is_not_stored() {
    for (what, fence) in fencing() {
        let dir = tempfile::tempdir().unwrap();
        let o = options(&dir, Strategy::Lru, 10);
        let (a, b) = (open_isolated(&o), open_isolated(&o));
        let (began, lease) = (a.begin(a.hash(b"k")), leader(&a, b"k"));
        let Acquired::Follower(ticket) = b.acquire(b"k", LONG, false) else { panic!() };
        assert_eq!(b.wait(&ticket, Duration::ZERO), Waited::NotYet);
        fence(&b, b"k");
        // Whoever waits looks again, and whoever comes computes at once.
        assert_eq!(b.wait(&ticket, Duration::ZERO), Waited::Lost, "{what}");
        let next = leader(&b, b"k");
        assert_eq!(a.insert(b"k", b"old", NEVER, began), Stored::Outdated, "{what}");
        assert_eq!(a.complete(lease, b"k", b"old", NEVER), Stored::Outdated, "{what}");
        assert!(!is_there(&a, b"k"), "{what}");
        // A death and its repair change nothing of that.
        b.table().lock(LONG).map(std::mem::forget).unwrap();
        b.table().region.set(crate::file::layout::ctl!(lock), 7);
        assert!(matches!(computed(&a, b"other", b"v"), Stored::Done(_)));
        assert_eq!(a.insert(b"k", b"old", NEVER, began), Stored::Outdated, "{what}");
        b.abandon(next);
        assert!(matches!(computed(&a, b"k", b"new"), Stored::Done(_)), "{what}");
    }
}

#[test]
fn a_value_set_by_hand_stays() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open_isolated(&options(&dir, Strategy::Lru, 10));
    let began = cache.begin(cache.hash(b"k"));
    cache.set(b"k", b"by hand", NEVER);
    assert_eq!(cache.insert(b"k", b"old", NEVER, began), Stored::Outdated);
    let mut buf = ReadBuf::new();
    assert!(cache.get(b"k", &mut buf).is_some() && buf.value() == b"by hand");
    // What cannot be stored takes the older entry with it.
    assert_eq!(cache.set(b"k", &vec![1; 5 << 20], NEVER), Stored::TooLarge);
    assert!(!is_there(&cache, b"k"));
    assert_eq!(cache.info().repairs, 0);
}

/// A clear between a decision and its store is over for both: it is decided anew, and what is stored stays.
#[test]
fn what_was_decided_before_a_clear_is_decided_anew() {
    type Clearing = fn(&SharedCache);
    // (One that waits for the lock gives it up after two seconds, as whoever decides has it.)
    let clearing: [Clearing; 2] = [|cache| cache.table().begin_clear(), |cache| cache.clear()];
    for clear in clearing {
        let dir = tempfile::tempdir().unwrap();
        let o = options(&dir, Strategy::Lru, 10);
        let (a, b) = (open_isolated(&o), open_isolated(&o));
        a.set(b"k", &[5], NEVER);
        a.set(b"j", &[5], NEVER);
        let mut seen = Vec::new();
        let mut decide = |present: Option<Present<'_>>, _: u64| {
            let old = present.map(|present| present.value[0]);
            seen.push(old);
            if seen.len() == 1 {
                clear(&b);
            }
            Change::Store(Some(vec![old.unwrap_or(0) + 1].into()), NEVER.into())
        };
        assert!(matches!(changed(&a, b"k", &mut decide), Ok(Some(Stored::Done(_)))));
        assert_eq!(seen, [Some(5), None]);
        // What the clear has left to do takes nothing of it away.
        assert!(matches!(b.set(b"other", b"v", NEVER), Stored::Done(_)));
        let mut buf = ReadBuf::new();
        assert!(b.get(b"k", &mut buf).is_some() && buf.value() == [1], "the sum of after the clear");
        assert!(!is_there(&b, b"j"));
        assert_eq!(a.info().len, 2);
    }
}

/// Clears that never end: nothing is done, and that is said.
#[test]
fn what_is_cleared_again_and_again_is_not_changed() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    a.set(b"k", &[5], NEVER);
    let mut decisions = 0;
    let mut decide = |_: Option<Present<'_>>, _: u64| {
        decisions += 1;
        b.table().begin_clear();
        Change::Store(Some(vec![1].into()), NEVER.into())
    };
    assert_eq!(changed(&a, b"k", &mut decide), Err(Busy));
    assert!(decisions > 10 && !is_there(&a, b"k"));
    // A removal, and what is left alone, need no second look.
    for change in [Change::Remove, Change::Nothing] {
        let mut change = Some(change);
        let mut decide = |_: Option<Present<'_>>, _: u64| {
            b.table().begin_clear();
            change.take().expect("decided once")
        };
        assert_eq!(changed(&a, b"k", &mut decide), Ok(None));
        assert!(!is_there(&a, b"k"));
    }
}

/// All of a change is of one moment, the one at which it is decided: what has ended by then is none, and is swept away before the
/// store, which puts nothing in its place.
#[test]
fn what_has_ended_at_the_moment_of_a_change_is_none() {
    for (end, now, expected) in [(100, 99, Some(b"old".to_vec())), (100, 100, None), (100, 5000, None)] {
        let dir = tempfile::tempdir().unwrap();
        let cache = open_isolated(&options(&dir, Strategy::Lru, 10));
        cache.table().test_now.store(50, Ordering::SeqCst);
        cache.set(b"j", b"other", NEVER);
        cache.set(b"k", b"old", end);
        cache.table().test_now.store(now, Ordering::SeqCst);
        let mut decide = |present: Option<Present<'_>>, moment: u64| {
            assert_eq!((present.map(|there| there.value.to_vec()), moment), (expected.clone(), now));
            Change::Store(Some(b"new".to_vec().into()), (moment + 10).into())
        };
        assert!(matches!(changed(&cache, b"k", &mut decide), Ok(Some(Stored::Done(_)))));
        let mut buf = ReadBuf::new();
        assert!(cache.get(b"k", &mut buf).is_some() && buf.value() == b"new" && buf.deadline() == now + 10);
        let info = cache.info();
        assert_eq!((info.len, info.expirations, info.repairs), (2, u64::from(expected.is_none()), 0));
        cache.table().test_now.store(now + 10, Ordering::SeqCst);
        assert!(!is_there(&cache, b"k") && is_there(&cache, b"j"));
    }
}

/// A writer is stopped in the lock, just before it publishes: an invalidation voids everything, and what it publishes
/// afterwards is void as well.
#[test]
fn behind_a_stopped_writer() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    for by_hand in [false, true] {
        let (stopped, other) = (open_isolated(&o), open_isolated(&o));
        stopped.set(b"k", b"old", NEVER);
        let (began, stop) = (other.begin(other.hash(b"k")), std::sync::Arc::new(AtomicBool::new(false)));
        let (held, released) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = std::sync::Arc::new((held, released));
        let (flags, armed) = (shared.clone(), stop.clone());
        // Stops at the store of the slot's word.
        let stores = AtomicU64::new(0);
        let hook = move |region: &crate::file::mapping::Region| {
            let inside = region.get(crate::file::layout::ctl!(lock)) != 0;
            if armed.load(Ordering::SeqCst) && inside && stores.fetch_add(1, Ordering::SeqCst) == 6 {
                flags.0.store(true, Ordering::SeqCst);
                while !flags.1.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        };
        assert!(stopped.table().region.hook.set(Box::new(hook)).is_ok());
        stop.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let storing = scope.spawn(|| computed(&stopped, b"k", b"older"));
            let since = Instant::now();
            while !shared.0.load(Ordering::SeqCst) {
                assert!(since.elapsed() < Duration::from_secs(20));
                std::thread::sleep(Duration::from_millis(1));
            }
            if by_hand {
                assert_eq!(other.put(b"k", b"by hand", NEVER), Ok(Stored::Busy));
            } else {
                assert_eq!(other.invalidate(b"k"), Ok(true));
            }
            assert!(since.elapsed() < Duration::from_secs(5));
            assert!(!is_there(&other, b"k") && !is_there(&stopped, b"k"));
            shared.1.store(true, Ordering::SeqCst);
            storing.join().unwrap();
        });
        assert!(!is_there(&other, b"k"), "what is published late is void");
        assert_eq!(other.insert(b"k", b"old", NEVER, began), Stored::Outdated);
        assert!(matches!(computed(&other, b"k", b"new"), Stored::Done(_)));
        other.clear();
        drop((stopped, other));
    }
}

#[test]
fn of_a_file_that_is_lost_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open_isolated(&options(&dir, Strategy::Lru, 10));
    cache.set(b"k", b"v", NEVER);
    cache.table().region.give_up();
    assert!(cache.invalidate(b"k").is_err() && cache.put(b"k", b"v", NEVER).is_err());
    assert!(cache.invalidate_tags(&[1]).is_err());
}

/// Of a thousand keys whose computations run, an invalidation of another one keeps one at most from being stored.
#[test]
fn one_key_fences_hardly_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open_isolated(&options(&dir, Strategy::Lru, 4000));
    let key = |n: u64| n.to_le_bytes();
    let began: Vec<Began> = (0..4000).map(|n| cache.begin(cache.hash(&key(n)))).collect();
    let (mut fenced, rounds) = (0, 50);
    for other in 0..rounds {
        let before: Vec<bool> = (0..4000).map(|n| began[n as usize] == cache.begin(cache.hash(&key(n)))).collect();
        cache.invalidate(&key(1_000_000 + other)).unwrap();
        fenced += (0..4000)
            .filter(|n| before[*n as usize] && began[*n as usize] != cache.begin(cache.hash(&key(*n))))
            .count();
    }
    assert!(fenced as u64 <= 4000 * rounds / 1000, "{fenced}");
}

/// Writers that invalidate, and computations of random length, of few keys: nobody is ever served what began before.
#[test]
fn a_history_of_invalidations() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 20);
    let handles: Vec<SharedCache> = (0..3).map(|_| open_isolated(&o)).collect();
    let source: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
    let (until, checked) =
        (Instant::now() + Duration::from_millis(times("WARP_HISTORY", 700).into()), AtomicU64::new(0));
    let tag_of = |key: usize| 1000 + key as u64 % 2;
    std::thread::scope(|scope| {
        for (n, cache) in handles.iter().enumerate() {
            for part in 0..2 {
                let (source, checked) = (&source, &checked);
                scope.spawn(move || {
                    let mut random = super::hostile::Random(0x9e37_79b9 + 77 * (2 * n + part) as u64);
                    let mut buf = ReadBuf::new();
                    // (On a machine that has other things to do, for longer.)
                    while Instant::now() < until || checked.load(Ordering::Relaxed) <= 100 {
                        let k = (random.next() >> 40) as usize % 4;
                        let key = [k as u8];
                        if part == 0 && random.next() >> 40 & 7 == 0 {
                            // The source changes; after the invalidation nobody may see what was before.
                            source[k].fetch_add(1, Ordering::SeqCst);
                            match random.next() >> 40 & 3 {
                                0 => cache.invalidate_tags(&[tag_of(k)]).unwrap(),
                                1 => {
                                    let value = source[k].load(Ordering::SeqCst);
                                    cache.put(&key, &value.to_le_bytes(), NEVER).unwrap();
                                }
                                _ => ignore(cache.invalidate(&key).unwrap()),
                            }
                        }
                        let valid = source[k].load(Ordering::SeqCst);
                        // (What others change meanwhile they have not invalidated yet, so this one alone is compared.)
                        cache.invalidate(&key).unwrap();
                        let value = match cache.get(&key, &mut buf) {
                            Some(_) => u64::from_le_bytes(buf.value().try_into().unwrap()),
                            None => {
                                let tags = cache.tags(&[tag_of(k)]);
                                let began = cache.begin(cache.hash(&key));
                                let value = source[k].load(Ordering::SeqCst);
                                (0..random.next() >> 58).for_each(|_| std::thread::yield_now());
                                let terms = Terms { tags, ..NEVER.into() };
                                cache.insert(&key, &value.to_le_bytes(), terms, began);
                                value
                            }
                        };
                        assert!(value >= valid, "{value} of before {valid}");
                        checked.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        }
    });
    assert!(checked.load(Ordering::Relaxed) > 100);
    assert_eq!(handles[0].info().repairs, 0);
}
