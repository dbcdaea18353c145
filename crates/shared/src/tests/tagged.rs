//! Tags: entries that become void together.

use super::*;
use crate::file::layout::ctl;
use std::time::Duration;

fn terms(cache: &SharedCache, tags: &[u64]) -> Terms {
    Terms { tags: cache.tags(tags), ..NEVER.into() }
}

fn is_there(cache: &SharedCache, key: &[u8]) -> bool {
    cache.peek(key, &mut ReadBuf::new()).is_some()
}

#[test]
fn entries_with_a_tag_are_void_and_no_others() {
    for idle in [None, Some(Duration::from_secs(100))] {
        let dir = tempfile::tempdir().unwrap();
        let o = Options { idle, ..options(&dir, Strategy::Lru, 100) };
        let (a, b) = (open_isolated(&o), open_isolated(&o));
        // (No two of them share a stamp.)
        let (mut numbers, mut next) = (std::collections::HashSet::new(), 0);
        let mut apart = || loop {
            next += 1;
            if numbers.insert(a.table().number_of(next)) {
                return next;
            }
        };
        let others = [apart(), apart()];
        let tags_of: Vec<Vec<u64>> = (0..=MAX_TAGS).map(|n| (0..n).map(|_| apart()).collect()).collect();
        for n in 0..=MAX_TAGS as u64 {
            let tags = &tags_of[n as usize];
            let hit = match a.set(&[n as u8], &[n as u8; 9], terms(&a, tags)) {
                Stored::Done(hit) => hit,
                other => panic!("{other:?}"),
            };
            assert!(a.hit_again(&hit.into(), &mut 0) && b.hit_again(&hit.into(), &mut 0));
            assert_eq!(b.peek(&[n as u8], &mut ReadBuf::new()), Some(hit));
        }
        a.set(b"plain", b"v", NEVER);
        for n in 1..=MAX_TAGS as u64 {
            let mut buf = ReadBuf::new();
            let hit = b.get(&[n as u8], &mut buf).unwrap();
            assert_eq!((buf.key(), buf.value()), (&[n as u8][..], &[n as u8; 9][..]));
            // Another tag; then one of its own, the first or the last.
            a.invalidate_tags(&others).unwrap();
            assert!(b.hit_again(&hit.into(), &mut 0));
            let of_it = &tags_of[n as usize];
            a.invalidate_tags(&[of_it[if n % 2 == 0 { 0 } else { of_it.len() - 1 }]]).unwrap();
            assert!(!b.hit_again(&hit.into(), &mut 0) && !is_there(&b, &[n as u8]) && !b.contains(&[n as u8]));
            assert_eq!(b.freshness(&hit), Freshness::Gone);
            assert!(b.still_current(&hit), "but in the file");
            // It is absent for all purposes.
            let Acquired::Leader(lease) = b.acquire(&[n as u8], Duration::from_secs(9), false) else { panic!() };
            assert!(matches!(b.complete(lease, &[n as u8], b"new", NEVER), Stored::Done(_)));
            assert!(is_there(&a, &[n as u8]));
        }
        assert!(is_there(&a, b"plain") && is_there(&a, &[0]));
        assert_eq!(a.info().repairs, 0);
    }
}

/// Who remembers an entry adds up its stamps once, and again after an invalidation of any tag, not at each hit.
#[test]
fn a_remembered_hit_goes_by_the_epoch() {
    for strategy in Strategy::ALL {
        let dir = tempfile::tempdir().unwrap();
        let o = options(&dir, strategy, 100);
        let (a, b) = (open_isolated(&o), open_isolated(&o));
        let epoch = || a.table().region.get(ctl!(tag_epoch));
        assert_ne!(epoch(), 0);
        let Stored::Done(hit) = a.set(b"k", b"v", terms(&a, &[1, 2])) else { panic!() };
        let remembered = Remembered::from(hit);
        let seen = || remembered.tag_epoch.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(seen(), 0, "nobody has looked");
        assert!(b.hit_again(&remembered, &mut 0));
        assert_eq!(seen(), epoch());
        // Another tag's: one more look, and remembered again.
        let before = epoch();
        a.invalidate_tags(&[3]).unwrap();
        assert_ne!(epoch(), before);
        assert!(b.hit_again(&remembered, &mut 0));
        assert_eq!(seen(), epoch());
        // Its own. What is not found to hold is not remembered.
        a.invalidate_tags(&[2]).unwrap();
        assert!(!b.hit_again(&remembered, &mut 0) && !b.hit_again(&remembered, &mut 0));
        assert_ne!(seen(), epoch());
        // Stored over an invalidation by hand: void from the first hit on.
        let old = terms(&a, &[1]);
        a.invalidate_tags(&[1]).unwrap();
        let Stored::Done(hit) = a.set(b"k", b"v", old) else { panic!() };
        assert!(!b.hit_again(&hit.into(), &mut 0));
        // An epoch that damage has left as 0 is nobody's: each hit adds up.
        let Stored::Done(hit) = a.set(b"k", b"v", terms(&a, &[1])) else { panic!() };
        let remembered = Remembered::from(hit);
        a.table().region.set(ctl!(tag_epoch), 0);
        assert!(b.hit_again(&remembered, &mut 0) && b.hit_again(&remembered, &mut 0));
        a.table().region.set(a.table().geo.tag(a.table().number_of(1)), 1);
        assert!(!b.hit_again(&remembered, &mut 0));
    }
}

/// An invalidation that ends at any of its stores was none for who remembers an entry, or it holds; the next one that returns
/// holds.
#[test]
fn a_remembered_hit_after_a_death() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 100);
    let (mut deaths, mut served) = (0, 0);
    for stores in 0.. {
        let (dying, reader) = (open_isolated(&o), open_isolated(&o));
        let Stored::Done(hit) = reader.set(b"k", b"v", terms(&reader, &[1, 2])) else { panic!() };
        let remembered = Remembered::from(hit);
        assert!(reader.hit_again(&remembered, &mut 0));
        let left = std::sync::atomic::AtomicU64::new(stores);
        let hook = move |_: &crate::file::mapping::Region| {
            if left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                std::panic::panic_any("dies");
            }
        };
        assert!(dying.table().region.hook.set(Box::new(hook)).is_ok());
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dying.invalidate_tags(&[1, 2]))).is_err();
        assert_eq!(reader.hit_again(&remembered, &mut 0), died, "{stores}");
        served += u64::from(died && !is_there(&reader, b"k"));
        // (The first death is before anything was changed.)
        assert_eq!(is_there(&reader, b"k"), stores == 0 && died);
        reader.invalidate_tags(&[2]).unwrap();
        assert!(!reader.hit_again(&remembered, &mut 0) && !is_there(&reader, b"k"));
        if !died {
            break;
        }
        deaths += 1;
    }
    assert_eq!((deaths, served), (3, 2), "two stamps and the epoch");
}

#[test]
fn an_invalidation_during_the_computation() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open_isolated(&options(&dir, Strategy::Lru, 100));
    let tagged = terms(&cache, &[7]);
    let began = cache.begin(cache.hash(b"k"));
    cache.invalidate_tags(&[7]).unwrap();
    assert_eq!(cache.insert(b"k", b"old", tagged, began), Stored::Outdated);
    // By hand it is stored, and void.
    assert!(matches!(cache.set(b"k", b"old", tagged), Stored::Done(_)));
    assert!(!is_there(&cache, b"k"));
    assert!(matches!(cache.set(b"k", b"new", terms(&cache, &[7])), Stored::Done(_)));
    assert!(is_there(&cache, b"k"));
}

/// What a repair, a clear, damage leave of the stamps never makes an entry valid that was void.
#[test]
fn void_stays_void() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 100);
    let cache = open_isolated(&o);
    cache.set(b"void", b"v", terms(&cache, &[7]));
    cache.invalidate_tags(&[7]).unwrap();
    let lock = || cache.table().lock(Duration::from_secs(1)).unwrap();
    {
        let _guard = lock();
        cache.table().repair();
    }
    assert!(!is_there(&cache, b"void"));
    let geo = &cache.table().geo;
    let words = || (0..geo.tag_words).map(|i| geo.tag(i));
    let all = |value: u64| words().for_each(|at| cache.table().region.set(at, value));
    for value in [0, 1, u64::MAX, 1 << 63, engine::hashing::GOLDEN] {
        cache.set(b"valid", b"v", terms(&cache, &[8]));
        assert!(is_there(&cache, b"valid"));
        all(value);
        assert!(!is_there(&cache, b"void") && !is_there(&cache, b"valid"), "{value}");
        // And new ones are as good as ever.
        cache.set(b"valid", b"v", terms(&cache, &[8]));
        assert!(is_there(&cache, b"valid"));
        cache.invalidate_tags(&[8]).unwrap();
        assert!(!is_there(&cache, b"void") && !is_there(&cache, b"valid"), "{value}");
    }
    for value in [0, 2, u64::MAX] {
        cache.set(b"valid", b"v", terms(&cache, &[8]));
        cache.table().region.set(ctl!(tags_ready), value);
        assert!(is_there(&cache, b"valid") && !is_there(&cache, b"void"));
        cache.set(b"new", b"v", terms(&cache, &[8]));
        assert!(is_there(&cache, b"new") && !is_there(&cache, b"void"));
    }
    assert_eq!(cache.table().region.get(ctl!(tags_ready)), 1);
    assert_eq!(cache.info().repairs, 1);
}

#[test]
fn without_room_for_stamps() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open_isolated(&options(&dir, Strategy::Lru, 100));
    cache.set(b"plain", b"v", NEVER);
    DISK_FULL.set(true);
    assert_eq!(cache.set(b"k", b"v", terms(&cache, &[7])), Stored::NoSpace);
    assert_eq!(cache.why(Stored::NoSpace).unwrap().0, Skip::Space);
    assert!(is_there(&cache, b"plain"));
    cache.invalidate_tags(&[7]).unwrap();
    assert!(!is_there(&cache, b"plain"), "all are void: there might be some with it");
    DISK_FULL.set(false);
    assert!(matches!(cache.set(b"k", b"v", terms(&cache, &[7])), Stored::Done(_)));
    assert!(is_there(&cache, b"k"));
}

/// Whoever comes after an invalidation of a tag computes at once, and whoever waits looks again.
#[test]
fn a_lease_is_void_once_a_tag_is_invalidated() {
    const LONG: Duration = Duration::from_secs(100);
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 100);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    let ask = |cache: &SharedCache, purpose| cache.acquire_to(purpose, b"k", &cache.tags(&[1, 2]), LONG, false);
    for purpose in [Purpose::Miss, Purpose::Anew] {
        let Acquired::Leader(lease) = ask(&a, purpose) else { panic!() };
        let of_old = terms(&a, &[1, 2]);
        let Acquired::Follower(ticket) = ask(&b, Purpose::Miss) else { panic!() };
        b.invalidate_tags(&[3]).unwrap();
        assert_eq!(b.wait(&ticket, Duration::ZERO), Waited::NotYet);
        assert!(matches!(ask(&b, Purpose::Miss), Acquired::Follower(_)));
        b.invalidate_tags(&[2]).unwrap();
        assert_eq!(b.wait(&ticket, Duration::ZERO), Waited::Lost);
        let Acquired::Leader(next) = ask(&b, Purpose::Miss) else { panic!() };
        assert_eq!(a.complete(lease, b"k", b"old", of_old), Stored::Outdated);
        assert!(matches!(b.complete(next, b"k", b"new", terms(&b, &[1, 2])), Stored::Done(_)));
        b.invalidate(b"k").unwrap();
    }
    // A refresh has the tags of its entry: nobody else begins one, and a miss that comes when the entry is gone waits.
    let stale = Terms { fresh: 1, ..terms(&a, &[1, 2]) };
    a.set(b"k", b"v", stale);
    let mut buf = ReadBuf::new();
    let hit = b.get(b"k", &mut buf).unwrap();
    assert!(b.is_refresh_due(&hit));
    let Acquired::Leader(lease) = a.acquire_to(Purpose::Refresh, b"k", &Tags::NONE, LONG, false) else { panic!() };
    assert!(!b.is_refresh_due(&hit));
    assert!(matches!(ask(&b, Purpose::Miss), Acquired::Follower(_)));
    b.invalidate_tags(&[1]).unwrap();
    assert!(matches!(ask(&b, Purpose::Miss), Acquired::Leader(_)));
    a.abandon(lease);
    assert_eq!(a.info().repairs, 0);
}
