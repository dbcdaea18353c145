//! What an entry's head says: how long it is fresh, how long it is there, what it is, and that refreshes have failed.

use super::*;
use std::sync::atomic::Ordering;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1 << 60;
const LONG: Duration = Duration::from_secs(100);

fn at(cache: &SharedCache, time: u64) {
    cache.table().test_now.store(START + time, Ordering::SeqCst);
}

fn stale_terms(fresh: u64, end: u64) -> Terms {
    Terms { fresh: START + fresh, ..Terms::from(START + end) }
}

#[test]
fn fresh_stale_gone() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open_isolated(&options(&dir, Strategy::Lru, 10));
    at(&cache, 0);
    let (key, mut buf, mut last) = (b"k", ReadBuf::new(), u64::MAX);
    let Stored::Done(stored) = cache.set(key, b"a value", stale_terms(10, 20)) else { panic!() };
    let hit = cache.get(key, &mut buf).unwrap();
    assert_eq!((hit, buf.value(), buf.fresh(), buf.deadline()), (stored, &b"a value"[..], START + 10, START + 20));
    assert_eq!((hit.fresh, hit.end, hit.kind), (START + 10, START + 20, Kind::Value));
    assert!(cache.contains(key) && cache.ttl(key) == Some(10) && cache.hit_again(&hit.into(), &mut last));
    assert_eq!(cache.hit_while_there(&hit.into(), &mut last), Freshness::Fresh);
    at(&cache, 10);
    assert_eq!((cache.freshness(&hit), cache.ttl(key)), (Freshness::Stale, Some(0)));
    assert!(!cache.contains(key) && cache.look(key) == (Freshness::Stale, Some(hit)) && cache.len() == 1);
    assert!(!cache.hit_again(&hit.into(), &mut last));
    assert_eq!(cache.hit_while_there(&hit.into(), &mut last), Freshness::Stale);
    assert_eq!(cache.get(key, &mut buf), Some(hit));
    at(&cache, 15);
    assert_eq!(cache.ttl(key), Some(-5));
    at(&cache, 20);
    assert_eq!((cache.freshness(&hit), cache.ttl(key), cache.len()), (Freshness::Gone, None, 0));
    assert_eq!(cache.hit_while_there(&hit.into(), &mut last), Freshness::Gone);
    assert_eq!((cache.get(key, &mut buf), cache.look(key)), (None, (Freshness::Gone, None)));
    assert_eq!(cache.invalidate(key), Ok(false), "it was not there any more");
    // An exception; for ever; and one that is fresh for longer than it is there.
    let exception = Terms { kind: Kind::Exception, ..NEVER.into() };
    let Stored::Done(hit) = cache.set(b"e", b"oops", exception) else { panic!() };
    assert_eq!((cache.get(b"e", &mut buf), hit.kind, buf.kind()), (Some(hit), Kind::Exception, Kind::Exception));
    assert_eq!(cache.ttl(b"e"), Some(i64::MAX));
    let Stored::Done(hit) = cache.set(b"f", b"v", stale_terms(100, 30)) else { panic!() };
    assert_eq!((cache.get(b"f", &mut buf), hit.fresh), (Some(hit), START + 30));
    assert_eq!(cache.info().repairs, 0);
}

#[test]
fn one_refresh_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    let both = |time: u64| [&a, &b].map(|cache| at(cache, time));
    both(0);
    let key = b"k";
    let refresh = |cache: &SharedCache| cache.acquire_to(Purpose::Refresh, key, &Tags::NONE, LONG, false);
    assert!(matches!(refresh(&a), Acquired::Present), "there is nothing to renew");
    a.set(key, b"old", stale_terms(10, 1000 * SECOND));
    assert!(matches!(refresh(&a), Acquired::Present));
    both(10);
    let hit = b.look(key).1.unwrap();
    assert!(b.is_refresh_due(&hit));
    let Acquired::Leader(lease) = refresh(&a) else { panic!() };
    assert!(!b.is_refresh_due(&hit) && !a.is_refresh_due(&hit));
    assert!(matches!(refresh(&b), Acquired::Follower(_)));
    assert!(matches!(a.complete(lease, key, b"new", stale_terms(20, 1000 * SECOND)), Stored::Done(_)));
    let mut buf = ReadBuf::new();
    assert!(b.get(key, &mut buf).is_some() && buf.value() == b"new");
    // Failures: 1 s, 2 s, 4 s, … between them, for all processes.
    let mut now = 20;
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        both(now);
        let Acquired::Leader(lease) = refresh(&b) else { panic!("{pause}") };
        b.refresh_failed(lease);
        let hit = a.look(key).1.unwrap();
        assert!(!a.is_refresh_due(&hit) && matches!(refresh(&a), Acquired::Present));
        both(now + pause * SECOND - 1000);
        assert!(!a.is_refresh_due(&hit));
        now += pause * SECOND + 1;
        both(now);
        assert!(a.is_refresh_due(&hit));
        assert_eq!((b.get(key, &mut buf), buf.value()), (Some(hit), &b"new"[..]), "the entry is whole");
    }
    assert_eq!(a.failures(&a.look(key).1.unwrap()).count, 7);
    // The checks are still right, and a repair keeps it.
    a.table().lock(LONG).map(|_guard| a.table().repair()).unwrap();
    assert_eq!(a.failures(&a.look(key).1.unwrap()).count, 7);
    // A failure of what was replaced meanwhile is not the new one's.
    let Acquired::Leader(lease) = refresh(&b) else { panic!() };
    a.set(key, b"by hand", stale_terms(now, now + 1000 * SECOND));
    b.refresh_failed(lease);
    assert_eq!(a.failures(&a.look(key).1.unwrap()), Failures::default());
    // An explicit refresh takes the place of what is fresh; and of what is there and is not to be stored any more.
    a.set(key, b"fresh", NEVER);
    let Acquired::Leader(lease) = b.acquire_to(Purpose::Anew, key, &Tags::NONE, LONG, false) else { panic!() };
    assert!(matches!(b.complete(lease, key, b"anew", NEVER), Stored::Done(_)));
    assert!(a.get(key, &mut buf).is_some() && buf.value() == b"anew");
    let Acquired::Leader(lease) = b.acquire_to(Purpose::Anew, key, &Tags::NONE, LONG, false) else { panic!() };
    b.complete_without(lease);
    assert!(a.get(key, &mut buf).is_none());
    assert_eq!(a.info().repairs, 1);
}

/// What is asked for prevails over what others have begun to compute before, whoever of them ends first.
#[test]
fn the_last_refresh_asked_for_prevails() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 400);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    let (key, mut buf) = (b"k", ReadBuf::new());
    let asked = |cache: &SharedCache| match cache.acquire_to(Purpose::Anew, key, &Tags::NONE, LONG, true) {
        Acquired::Leader(lease) => lease,
        other => panic!("{other:?}"),
    };
    let missed = |cache: &SharedCache| match cache.acquire_to(Purpose::Miss, key, &Tags::NONE, LONG, false) {
        Acquired::Leader(lease) => lease,
        other => panic!("{other:?}"),
    };
    for refresh_ends_first in [false, true] {
        let call = missed(&a);
        let refresh = asked(&b);
        if refresh_ends_first {
            assert!(matches!(b.complete(refresh, key, b"asked for", NEVER), Stored::Done(_)));
            assert_eq!(a.complete(call, key, b"of a call", NEVER), Stored::Outdated);
        } else {
            assert!(matches!(a.complete(call, key, b"of a call", NEVER), Stored::Done(_)));
            assert!(matches!(b.complete(refresh, key, b"asked for", NEVER), Stored::Done(_)));
        }
        assert!(a.get(key, &mut buf).is_some() && buf.value() == b"asked for");
        a.invalidate(key).unwrap();
    }
    for first_ends_first in [false, true] {
        let (first, last) = (asked(&a), asked(&b));
        if first_ends_first {
            assert!(matches!(a.complete(first, key, b"first", NEVER), Stored::Done(_)));
            assert!(matches!(b.complete(last, key, b"last", NEVER), Stored::Done(_)));
        } else {
            assert!(matches!(b.complete(last, key, b"last", NEVER), Stored::Done(_)));
            assert_eq!(a.complete(first, key, b"first", NEVER), Stored::Outdated);
        }
        assert!(a.get(key, &mut buf).is_some() && buf.value() == b"last");
    }
    // But not over what was set meanwhile.
    let refresh = asked(&a);
    b.set(key, b"by hand", NEVER);
    assert_eq!(a.complete(refresh, key, b"asked for", NEVER), Stored::Outdated);
}

#[test]
fn idle_entries_end() {
    let idle = 10 * SECOND;
    for strategy in Strategy::ALL {
        let dir = tempfile::tempdir().unwrap();
        let o = Options { idle: Some(Duration::from_nanos(idle)), ..options(&dir, strategy, 400) };
        let (a, b) = (open_isolated(&o), open_isolated(&o));
        let both = |time: u64| [&a, &b].map(|cache| at(cache, time));
        both(0);
        let mut buf = ReadBuf::new();
        let Stored::Done(again) = a.set(b"again", b"v", NEVER) else { panic!() };
        a.set(b"got", b"v", NEVER);
        a.set(b"peeked", b"v", NEVER);
        a.set(b"ttl", b"v", START + 3 * SECOND);
        (0..300u64).for_each(|k| ignore(a.set(&k.to_le_bytes(), b"v", NEVER)));
        assert_eq!((a.len(), a.ttl(b"got"), a.ttl(b"ttl")), (304, Some(idle as i64), Some(3 * SECOND as i64)));
        for time in 1..5 {
            both(time * 6 * SECOND);
            assert!(b.hit_again(&again.into(), &mut 0) && b.get(b"got", &mut buf).is_some());
            let there = b.peek(b"peeked", &mut buf).is_some();
            assert_eq!((there, b.contains(b"peeked")), (time == 1, time == 1), "{strategy:?}");
            assert!(!b.contains(b"ttl"));
        }
        assert_eq!(a.len(), 2, "{strategy:?}");
        // A store frees what is gone.
        a.set(b"new", b"v", NEVER);
        assert_eq!(a.info().expirations, 302);
        both(24 * SECOND + idle - 1);
        assert!(b.freshness(&again) == Freshness::Fresh && b.contains(b"got"));
        both(24 * SECOND + idle);
        assert!(!b.hit_again(&again.into(), &mut 0) && b.get(b"got", &mut buf).is_none() && b.is_empty());
        // A moment in the future is damage, and lengthens no life.
        a.set(b"k", b"v", NEVER);
        (0..400).for_each(|slot| {
            a.table().region.set(a.table().geo.idle_word(crate::file::units::Slot::new(slot)), u64::MAX)
        });
        assert!(a.get(b"k", &mut buf).is_none());
        assert!(matches!(a.set(b"k", b"v", NEVER), Stored::Done(_)) && b.get(b"k", &mut buf).is_some());
        assert_eq!(a.info().repairs, 0, "{strategy:?}");
        validate(&a);
    }
}

/// Caches that differ in it are different caches.
#[test]
fn idleness_tells_caches_apart() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let (a, b) = (open(&o), open(&Options { idle: Some(Duration::from_secs(1)), ..o.clone() }));
    a.set(b"k", b"v", NEVER);
    assert!(a.path() != b.path() && !b.contains(b"k"));
    assert!(open_isolated(&Options { idle: Some(Duration::from_secs(1)), ..o }).path() == b.path());
}
