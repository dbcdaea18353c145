//! First steps: what one handle does, and what several do with one file.

use super::*;

#[test]
fn what_is_stored_is_found_until_it_is_removed_or_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&options(&dir, Strategy::Lru, 3));
    let mut buf = ReadBuf::new();
    assert!(cache.get(b"a", &mut buf).is_none());
    assert!(matches!(cache.set(b"a", b"1", NEVER), Stored::Done(_)));
    assert!(cache.get(b"a", &mut buf).is_some());
    assert_eq!((buf.key(), buf.value()), (&b"a"[..], &b"1"[..]));
    cache.set(b"a", b"22", NEVER);
    cache.get(b"a", &mut buf).unwrap();
    assert_eq!(buf.value(), b"22");
    assert_eq!(cache.len(), 1);
    assert!(cache.invalidate(b"a").unwrap() && !cache.invalidate(b"a").unwrap());
    assert!(cache.get(b"a", &mut buf).is_none());
    for k in [b"a", b"b", b"c"] {
        cache.set(k, k, NEVER);
    }
    assert_eq!(cache.len(), 3, "capacity is exact");
    cache.get(b"a", &mut buf).unwrap();
    cache.set(b"d", b"4", NEVER);
    assert!(cache.get(b"b", &mut buf).is_none() && cache.get(b"a", &mut buf).is_some());
    let hit = cache.get(b"a", &mut buf).unwrap();
    assert!(cache.still_current(&hit) && cache.hit_again(&hit.into(), &mut 0));
    cache.clear();
    assert!(!cache.still_current(&hit) && !cache.hit_again(&hit.into(), &mut 0));
    assert!(cache.is_empty() && cache.get(b"a", &mut buf).is_none());
    assert_eq!(cache.info().repairs, 0);
}

#[test]
fn counters_are_summed_and_zeroed() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 3);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    a.count(0, Event::Hit);
    a.count_alone(1, Event::Miss);
    b.count(2, Event::Hit);
    b.count_skip(Skip::Value);
    a.count_load(5, false, true);
    b.count_load(7, true, false);
    a.count_rare(LoadCounter::StaleHits);
    b.count_rare(LoadCounter::Refreshes);
    drop(a);
    let c = open_isolated(&o);
    c.count(0, Event::Hit);
    c.count_rare(LoadCounter::Refreshes);
    let i = c.info();
    assert_eq!((i.hits, i.misses, i.skips[Skip::Value as usize]), (3, 1, 1));
    assert_eq!(i.loads, [2, 1, 12, 1, 2]);
    c.clear();
    let i = b.info();
    assert_eq!((i.hits, i.misses, i.skips[Skip::Value as usize]), (0, 0, 0));
    assert_eq!(i.loads, [0; LoadCounter::COUNT]);
    b.count_load(3, false, true);
    assert_eq!(c.info().loads, [1, 0, 3, 0, 0], "what comes after a clear counts from there");
}

/// Before each store of a process that counts a computation, where it might be killed, what others say is right: it has
/// ended, or ended and raised, or that and its time.
#[test]
fn a_computation_that_is_being_counted() {
    for alone in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let o = options(&dir, Strategy::Lru, 3);
        // The one that looks ends after the other: a handle must not end within another's end.
        let b = std::sync::Arc::new(open_isolated(&o));
        let a = open_isolated(&o);
        a.count_load(5, true, alone);
        // While there is a list: an end of a handle stores as well.
        let said = std::sync::Arc::new(std::sync::Mutex::new(Some(Vec::new())));
        let (saying, looking) = (std::sync::Arc::clone(&said), std::sync::Arc::clone(&b));
        let hook = move |_: &crate::file::mapping::Region| {
            if let Some(said) = saying.lock().unwrap().as_mut() {
                said.push(looking.info().loads);
            }
        };
        assert!(a.table().region.hook.set(Box::new(hook)).is_ok());
        a.count_load(7, true, alone);
        let said = said.lock().unwrap().take();
        assert_eq!(said.unwrap(), [[1, 1, 5, 0, 0], [2, 1, 5, 0, 0], [2, 2, 5, 0, 0]]);
        assert_eq!(open_isolated(&o).info().loads, [2, 2, 12, 0, 0]);
    }
}

/// Many computations at once take more time than passes, and one takes as long as it takes.
#[test]
fn the_time_of_computations_is_no_count() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 3);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    const LONG: u64 = 900_000_000;
    for n in 1..=1000 {
        a.count_load(LONG, false, n % 2 == 0);
        assert_eq!(a.info().loads[LoadCounter::Nanoseconds as usize], n * LONG, "nothing of it is taken for damage");
    }
    assert_eq!(b.info().loads, [1000, 0, 1000 * LONG, 0, 0]);
    // It began an hour before there was this file.
    b.count_load(3_600_000_000_000, false, false);
    let [loads, _, time, ..] = a.info().loads;
    assert!(loads == 1001 && (1001 * LONG..1000 * LONG + 60_000_000_000).contains(&time), "{loads} {time}");
}

#[test]
fn one_core_per_file_and_process() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 3);
    let handles: Vec<_> = (0..20).map(|_| open(&o)).collect();
    #[cfg(target_os = "linux")]
    assert_eq!(descriptors_in(&dir), 1);
    handles[3].set(b"k", b"v", NEVER);
    assert!(handles[7].get(b"k", &mut ReadBuf::new()).is_some());
    drop(handles);
    assert!(open(&o).get(b"k", &mut ReadBuf::new()).is_some(), "the file outlives its users");
}

#[test]
fn growth_of_index_slots_and_data() {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(&dir, Strategy::Lru, 20_000);
    o.max_bytes = Some(64 << 20);
    let cache = open(&o);
    let key = |i: u32| i.to_le_bytes();
    for i in 0..20_000u32 {
        let value = vec![i as u8; (i % 300) as usize];
        assert!(matches!(cache.set(&key(i), &value, NEVER), Stored::Done(_)), "{i}");
    }
    let mut buf = ReadBuf::new();
    for i in 0..20_000u32 {
        cache.get(&key(i), &mut buf).unwrap();
        assert_eq!(buf.value(), vec![i as u8; (i % 300) as usize]);
    }
    assert_eq!(cache.len(), 20_000);
    for i in 20_000..25_000u32 {
        cache.set(&key(i), b"x", NEVER);
    }
    let i = cache.info();
    assert_eq!((i.len, i.evictions, i.repairs), (20_000, 5_000, 0));
    let other = open_isolated(&o);
    let mut n = 0;
    other.for_each(|k, _, _| {
        assert_eq!(k.len(), 4);
        n += 1;
    });
    assert_eq!(n, 20_000);
}

#[test]
fn bytes_run_out_and_entries_give_way() {
    Strategy::ALL.into_iter().for_each(bytes_run_out);
}

fn bytes_run_out(strategy: Strategy) {
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(&dir, strategy, 0);
    o.max_bytes = Some(400_000);
    let cache = open(&o);
    let mut buf = ReadBuf::new();
    for i in 0..3000u32 {
        let value = vec![i as u8; ((i * 7919) % 9000) as usize];
        assert!(matches!(cache.set(&i.to_le_bytes(), &value, NEVER), Stored::Done(_)), "{i}");
        cache.get(&i.to_le_bytes(), &mut buf).unwrap();
        assert_eq!(buf.value(), value);
    }
    let big = vec![7; cache.info().data_bytes_reserved as usize - 64];
    assert!(matches!(cache.set(b"big", &big, NEVER), Stored::Done(_)), "an entry as large as everything gets in");
    cache.get(b"big", &mut buf).unwrap();
    assert_eq!(buf.value(), big);
    assert_eq!(cache.set(b"bigger", &vec![7; 500_000], NEVER), Stored::TooLarge);
    assert!(std::fs::metadata(cache.path()).unwrap().len() <= 400_000);
    validate(&cache);
    assert_eq!(cache.info().repairs, 0);
}

#[test]
fn an_empty_cache_of_a_million_costs_little() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let mut o = options(&dir, Strategy::Lru, 1_000_000);
    o.max_bytes = None;
    let cache = open(&o);
    let m = std::fs::metadata(cache.path()).unwrap();
    assert!(m.blocks() * 512 < 200_000, "{} bytes", m.blocks() * 512);
    assert_eq!(cache.info().capacity, 1_000_000);
    o = options(&dir, Strategy::Lru, 128);
    o.name = "small".into();
    let small = open(&o);
    small.set(b"a", b"b", NEVER);
    let m = std::fs::metadata(small.path()).unwrap();
    assert!(m.blocks() * 512 < 200_000, "{} bytes", m.blocks() * 512);
}

#[test]
fn each_store_that_fails_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let o = Options { max_bytes: Some(1 << 20), ..options(&dir, Strategy::Lru, 0) };
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    let done = a.set(b"k", b"v", NEVER);
    assert_eq!(a.why(done), None);
    let large = a.set(b"k", &vec![1; 1 << 20], NEVER);
    assert_eq!(a.why(large), Some((Skip::FileSize, 0)));
    let began = a.begin(a.hash(b"k"));
    a.clear();
    let late = a.insert(b"k", b"v", NEVER, began);
    assert_eq!(a.why(late), Some((Skip::Superseded, 0)));
    let guard = b.table().lock(std::time::Duration::from_secs(9)).unwrap();
    let busy = a.set(b"k", b"v", NEVER);
    assert_eq!(a.why(busy), Some((Skip::Busy, 0)));
    drop(guard);
    let c = open_isolated(&Options { name: "other".into(), ..o.clone() });
    DISK_FULL.set(true);
    for _ in 0..2 {
        let refused = c.set(b"k", &[1; 200_000], NEVER);
        assert_eq!(c.why(refused), Some((Skip::Space, libc::ENOSPC)), "at once, and while the disk is left alone");
    }
    // What is stored at the cost of others says so, once.
    let d = open_isolated(&Options { name: "another".into(), max_size: 0, ..o.clone() });
    DISK_FULL.set(false);
    (0..100u8).for_each(|k| assert!(matches!(d.set(&[k], &[1; 2000], NEVER), Stored::Done(_))));
    assert_eq!(d.take_cramped(), None);
    DISK_FULL.set(true);
    let ready = d.info().data_bytes_reserved as usize;
    (0..ready / 2000 + 50).for_each(|k| ignore(d.set(&k.to_le_bytes(), &[1; 2000], NEVER)));
    assert_eq!((d.take_cramped(), d.take_cramped()), (Some((libc::ENOSPC, false)), None));
    DISK_FULL.set(false);
    for skip in Skip::ALL {
        c.count_skip(skip);
        assert_eq!(c.info().skips[skip as usize], 1, "{skip:?}");
    }
    assert_eq!(c.info().skips, [1; Skip::COUNT]);
    assert_eq!(c.info().loads, [0; LoadCounter::COUNT]);
    for what in LoadCounter::ALL {
        c.count_rare(what);
        assert_eq!(c.info().loads[what as usize], 1, "{what:?}");
    }
    assert_eq!(c.info().loads, [1; LoadCounter::COUNT]);
    assert_eq!(c.info().skips, [1; Skip::COUNT]);
    assert_eq!((c.info().hits, c.info().misses), (0, 0), "they have places of their own");
}

#[test]
fn an_entry_larger_than_what_is_left_to_grow_makes_others_give_way() {
    let dir = tempfile::tempdir().unwrap();
    let o = Options { max_bytes: Some(1 << 20), ..options(&dir, Strategy::Lru, 0) };
    let cache = open(&o);
    for i in 0..600u32 {
        assert!(matches!(cache.set(&i.to_ne_bytes(), &[7; 700], NEVER), Stored::Done(_)));
    }
    let most = cache.table().geo.granules * 32;
    assert!(matches!(cache.set(b"large", &vec![1; most as usize - 100], NEVER), Stored::Done(_)));
    assert_eq!((cache.len(), cache.info().repairs), (1, 0));
}

#[test]
fn changes_are_told_or_said_to_be_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&options(&dir, Strategy::Lru, 100));
    let versions = || (0..100).map(|slot| cache.version(slot)).collect::<Vec<_>>();
    let (mut seen, mut before, mut random, mut whole) = (cache.changes(), versions(), 1u64, 0);
    for step in 0..3000u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let key = (random >> 33) % 150;
        match random >> 60 {
            0 => ignore(cache.invalidate(&key.to_ne_bytes())),
            1 if step % 50 == 0 => {
                let guard = cache.table().lock(std::time::Duration::from_secs(9)).unwrap();
                cache.table().repair();
                drop(guard);
            }
            _ => ignore(cache.set(&key.to_ne_bytes(), &vec![1; (random >> 50) as usize % 200], NEVER)),
        }
        if random >> 40 & 3 == 0 || step % 1000 > 400 && step % 1000 < 999 {
            continue;
        }
        let (now, after) = (cache.changes(), versions());
        let mut told = [false; 100];
        if cache.changes_since(seen, now, |slot| told[slot as usize] = true) {
            whole += 1;
            for slot in 0..100 {
                assert!(told[slot] || before[slot] == after[slot], "step {step}, slot {slot}");
            }
        }
        (seen, before) = (now, after);
    }
    assert!(whole > 500);
    // After as many as the ring has places, nothing is believed any more.
    let seen = cache.changes();
    for i in 0..600u64 {
        ignore(cache.set(&i.to_ne_bytes(), b"", NEVER));
    }
    assert!(!cache.changes_since(seen, cache.changes(), |_| ()));
}
