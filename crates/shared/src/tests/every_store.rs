//! Death at every store: before each store of a writer (and of a repairer) the file is copied, the copy's processes are
//! declared dead, and a fresh handle must read only right values from it, repair it, and find everything in order.
//!
//! A process that is killed has made a prefix of its stores; so these copies are all the states that a death can leave.

use super::death::{die_everywhere, prepared, report, value};
use super::*;
use std::time::Duration;

#[test]
fn each_operation_of_a_small_cache() {
    for strategy in [Strategy::Lru, Strategy::Lfu, Strategy::Sieve, Strategy::S3Fifo, Strategy::TinyLfu] {
        let dir = tempfile::tempdir().unwrap();
        let (o, keys) = prepared(&dir, strategy, 4, 3);
        let ttl = Duration::from_secs(10);
        die_everywhere(&o, &keys, 10, |c| ignore(c.set(&keys[3], &value(&keys[3], 2), NEVER)));
        die_everywhere(&o, &keys, 10, |c| ignore(c.set(&keys[1], &value(&keys[1], 5), NEVER)));
        die_everywhere(&o, &keys, 10, |c| ignore(c.invalidate(&keys[1])));
        die_everywhere(&o, &keys, 10, |c| c.clear());
        die_everywhere(&o, &keys, 10, |c| {
            let Acquired::Leader(lease) = c.acquire(&keys[3], ttl, false) else { panic!() };
            c.complete(lease, &keys[3], &value(&keys[3], 7), NEVER);
        });
        die_everywhere(&o, &keys, 10, |c| ignore(c.get(&keys[0], &mut ReadBuf::new())));
        // Expired, then displaced.
        open_isolated(&o).set(&keys[3], &value(&keys[3], 2), 1);
        die_everywhere(&o, &keys, 10, |c| ignore(c.set(&keys[4], &value(&keys[4], 3), NEVER)));
        // Full: eviction.
        open_isolated(&o).set(&keys[3], &value(&keys[3], 2), NEVER);
        die_everywhere(&o, &keys, 5, |c| ignore(c.set(&keys[4], &value(&keys[4], 3), NEVER)));
    }
    report();
}

/// What a tag takes away, it takes at one store; a refresh changes an entry, or one word of it, or nothing.
#[test]
fn operations_on_heads_and_fences() {
    const TAG: u64 = 7;
    for (strategy, idle) in [(Strategy::Lru, true), (Strategy::S3Fifo, false)] {
        let dir = tempfile::tempdir().unwrap();
        let (mut o, keys) = prepared(&dir, strategy, 4, 3);
        if idle {
            std::fs::remove_file(o.dir.join("test.cache")).unwrap();
            o.idle = Some(Duration::from_secs(1000));
            let cache = open_isolated(&o);
            keys[..3].iter().for_each(|k| ignore(cache.set(k, &value(k, 1), NEVER)));
        }
        let ttl = Duration::from_secs(10);
        let terms = |c: &SharedCache| Terms { fresh: 1, tags: c.tags(&[TAG, 8, 9, 10, 11]), ..NEVER.into() };
        let put = |c: &SharedCache, k: usize| ignore(c.set(&keys[k], &value(&keys[k], 3), terms(c)));
        // The first tag: the area of the stamps is made.
        die_everywhere(&o, &keys, 60, |c| put(c, 3));
        die_everywhere(&o, &keys, 60, |c| put(c, 1));
        die_everywhere(&o, &keys, 60, |c| c.invalidate_tags(&[TAG]).unwrap());
        let cache = open_isolated(&o);
        put(&cache, 1);
        put(&cache, 2);
        die_everywhere(&o, &keys, 60, |c| c.invalidate_tags(&[TAG, 100]).unwrap());
        die_everywhere(&o, &keys, 60, |c| ignore(c.invalidate(&keys[1])));
        die_everywhere(&o, &keys, 60, |c| ignore(c.set(&keys[1], &vec![1; 5 << 20], NEVER)));
        die_everywhere(&o, &keys, 60, |c| {
            ignore(c.insert(&keys[1], &value(&keys[1], 5), terms(c), c.begin(c.hash(&keys[1]))))
        });
        let refresh = |c: &SharedCache| match c.acquire_to(Purpose::Refresh, &keys[2], &Tags::NONE, ttl, false) {
            Acquired::Leader(lease) => lease,
            other => panic!("{other:?}"),
        };
        die_everywhere(&o, &keys, 60, |c| ignore(c.complete(refresh(c), &keys[2], &value(&keys[2], 6), terms(c))));
        die_everywhere(&o, &keys, 60, |c| c.complete_without(refresh(c)));
        die_everywhere(&o, &keys, 60, |c| c.refresh_failed(refresh(c)));
        die_everywhere(&o, &keys, 60, |c| ignore(c.get(&keys[2], &mut ReadBuf::new())));
        // Void, then displaced.
        cache.invalidate_tags(&[TAG]).unwrap();
        die_everywhere(&o, &keys, 60, |c| put(c, 2));
        die_everywhere(&o, &keys, 60, |c| {
            put(c, 3);
            put(c, 4);
            put(c, 5);
        });
    }
    report();
}

/// Another handle on the file of this one.
fn beside(cache: &SharedCache, o: &Options) -> SharedCache {
    open_isolated(&Options { dir: cache.path().parent().unwrap().into(), ..o.clone() })
}

/// Leases end in several ways, are waited for and taken over; what needs the lock and does not get it does without; hits and
/// counters write without it.
#[test]
fn operations_on_leases_and_without_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (o, keys) = prepared(&dir, Strategy::Lru, 4, 3);
    let ttl = Duration::from_secs(10);
    let lead = |c: &SharedCache, k: usize, force: bool| match c.acquire(&keys[k], ttl, force) {
        Acquired::Leader(lease) => lease,
        other => panic!("{other:?}"),
    };
    die_everywhere(&o, &keys, 20, |c| c.abandon(lead(c, 3, false)));
    die_everywhere(&o, &keys, 20, |c| c.abandon_privately(lead(c, 3, false)));
    die_everywhere(&o, &keys, 20, |c| c.leave(lead(c, 3, false)));
    die_everywhere(&o, &keys, 20, |c| {
        let first = lead(c, 3, false);
        let second = lead(c, 3, true);
        c.complete(first, &keys[3], &value(&keys[3], 7), NEVER);
        c.complete(second, &keys[3], &value(&keys[3], 8), NEVER);
    });
    die_everywhere(&o, &keys, 20, |c| {
        let other = beside(c, &o);
        let _lease = lead(&other, 3, false);
        let Acquired::Follower(ticket) = c.acquire(&keys[3], ttl, false) else { panic!() };
        c.wait(&ticket, Duration::from_micros(1));
    });
    // A refresh that somebody asks for, of an entry that is fresh.
    die_everywhere(&o, &keys, 20, |c| {
        let Acquired::Leader(lease) = c.acquire_to(Purpose::Anew, &keys[1], &Tags::NONE, ttl, true) else { panic!() };
        c.complete(lease, &keys[1], &value(&keys[1], 9), NEVER);
    });
    // What was fenced meanwhile is not stored.
    die_everywhere(&o, &keys, 20, |c| {
        let began = c.begin(c.hash(&keys[3]));
        c.invalidate(&keys[3]).unwrap();
        assert_eq!(c.insert(&keys[3], &value(&keys[3], 2), NEVER, began), Stored::Outdated);
    });
    // A writer is stopped: what has to be dropped takes all with it.
    let behind_a_writer = |operation: &dyn Fn(&SharedCache)| {
        die_everywhere(&o, &keys, 20, |c| {
            let other = beside(c, &o);
            let held = other.table().lock(ttl).unwrap();
            operation(c);
            drop(held);
        });
    };
    behind_a_writer(&|c| assert_eq!(c.invalidate(&keys[1]), Ok(true)));
    behind_a_writer(&|c| assert_eq!(c.put(&keys[1], &value(&keys[1], 4), NEVER), Ok(Stored::Busy)));
    behind_a_writer(&|c| c.clear());
    die_everywhere(&o, &keys, 20, |c| {
        let hit = c.peek(&keys[0], &mut ReadBuf::new()).unwrap();
        (0..3).for_each(|_| assert!(c.hit_again(&hit.into(), &mut 0)));
        c.count(0, Event::Hit);
        c.count_alone(1, Event::Miss);
        c.count_skip(Skip::Busy);
        ignore(c.info());
    });
    report();
}

/// Entries that were used move between queues, hands and hints move on: every state in between.
#[test]
fn evictions_that_move_what_was_used() {
    for strategy in [Strategy::Sieve, Strategy::S3Fifo, Strategy::TinyLfu] {
        let dir = tempfile::tempdir().unwrap();
        let (o, keys) = prepared(&dir, strategy, 12, 12);
        let new = |i: usize| &keys[12 + i];
        let cache = open_isolated(&o);
        let use_again = |n: usize| {
            for k in keys.iter().take(n).chain(keys.iter().skip(12)) {
                (0..3).for_each(|_| ignore(cache.get(k, &mut ReadBuf::new())));
            }
        };
        use_again(7);
        die_everywhere(&o, &keys, 20, |c| ignore(c.set(new(0), &value(new(0), 3), NEVER)));
        // Now with ghosts and counts of what is gone, one of which comes back, and with more to move.
        (0..3).for_each(|i| ignore(cache.set(new(i), &value(new(i), 2), NEVER)));
        use_again(12);
        let gone = keys.iter().find(|k| cache.peek(k, &mut ReadBuf::new()).is_none()).unwrap();
        die_everywhere(&o, &keys, 40, |c| ignore(c.set(gone, &value(gone, 3), NEVER)));
        die_everywhere(&o, &keys, 40, |c| c.clear());
    }
    report();
}

#[test]
fn growth_of_slots_index_and_data() {
    let dir = tempfile::tempdir().unwrap();
    // The 256th entry fills the reserved slots, the 320th the first level of the index.
    for fill in [255, 319] {
        let (mut o, keys) = prepared(&dir, Strategy::Lru, 500, fill);
        die_everywhere(&o, &keys, 400, |c| {
            ignore(c.set(&keys[fill as usize], &value(&keys[fill as usize], 1), NEVER));
            ignore(c.set(&keys[fill as usize + 1], &value(&keys[fill as usize + 1], 1), NEVER));
        });
        o.name = "next".into();
        let _ = std::fs::remove_file(o.dir.join("test.cache"));
    }
    report();
}

#[test]
fn room_for_a_large_entry() {
    let dir = tempfile::tempdir().unwrap();
    let (o, mut keys) = prepared(&dir, Strategy::Lru, 40, 30);
    keys.push(b"large".to_vec());
    let large = vec![9; 9_000];
    for i in 0..14u8 {
        let c = open_isolated(&o);
        c.set(&[i], &vec![i; 9_500], NEVER);
    }
    die_everywhere(&o, &keys, 500, |c| assert!(matches!(c.set(b"large", &large, NEVER), Stored::Done(_))));
    report();
}
