//! Who has a lock: words that name nobody, or somebody who has not got it; guards that are ousted; threads at their bounds.

use super::hostile::Random;
use super::*;
use crate::file::layout::{ctl, lease_at, lease_state_at, proc_at, Lease as Record, LEASES, LEASE_HOMES, LEASE_WAYS};
use crate::file::units::Offset;
use crate::process::identity::Identity;
use crate::process::lock::{CLEAR_TIMEOUT, STORE_TIMEOUT};
use crate::testing::OUSTED;
use std::mem::offset_of;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(100);

fn write(cache: &SharedCache, at: Offset, word: u64) {
    cache.table().region.set(at, word);
}

/// Words that nobody wrote: numbers, and every way of naming those who are or were there.
fn words(living: &[&SharedCache], gone: Identity) -> Vec<u64> {
    let mut words = vec![0, 1, 2, 255, 256, 1 << 8 | 1, 1 << 16 | 1, 1 << 31, 1 << 32, 1 << 47, 1 << 63, u64::MAX];
    let mut random = Random(0x51ed_270b_27e4_f1a5);
    words.extend((0..20).map(|_| random.next()));
    for identity in living.iter().map(|cache| cache.table().identity()).chain([gone]) {
        for nonce in [0, 1, 7, 0x7fff_ffff, 0xffff_ffff] {
            words.extend(
                [identity, identity ^ 1 << 8, identity ^ 1, identity & 0xff, identity & 0xffff]
                    .map(|i| nonce << 32 | i),
            );
        }
    }
    words
}

#[test]
fn whatever_a_lock_or_a_lease_names() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    let gone = {
        let c = open_isolated(&o);
        c.set(b"k", b"1", NEVER);
        c.table().identity()
    };
    let homes = || (0..LEASE_HOMES).map(|home| lease_at(home * LEASE_WAYS) + offset_of!(Record, lock) as u64);
    let (mut n, since) = (0u64, Instant::now());
    for word in words(&[&a, &b], gone) {
        for cache in [&a, &b] {
            n += 1;
            let key = n.to_le_bytes();
            write(cache, ctl!(lock), word);
            assert!(matches!(cache.set(&key, b"1", NEVER), Stored::Done(_)), "writers' lock {word:#x}");
            homes().for_each(|at| write(cache, at, word));
            let Acquired::Leader(lease) = cache.acquire(b"x", LONG, false) else { panic!("a home's lock {word:#x}") };
            cache.abandon(lease);
            (0..LEASES).for_each(|index| write(cache, lease_state_at(index), word));
            let Acquired::Leader(lease) = cache.acquire(b"x", LONG, false) else { panic!("a lease {word:#x}") };
            // A computation is under way, and its state is overwritten: nobody waits for whom it names now.
            let other = if std::ptr::eq(cache, &a) { &b } else { &a };
            let Acquired::Follower(ticket) = other.acquire(b"x", LONG, false) else { panic!() };
            (0..LEASES).for_each(|index| write(cache, lease_state_at(index), word));
            let ended = if word == 0 { Waited::Ended } else { Waited::EndedPrivately };
            assert_eq!(other.wait(&ticket, LONG), ended, "a state {word:#x}");
            let Acquired::Leader(next) = other.acquire(b"x", LONG, false) else { panic!("a lease {word:#x}") };
            other.abandon(next);
            cache.abandon(lease);
        }
    }
    assert!(since.elapsed() < Duration::from_secs(30));
    assert_eq!(a.len(), 10);
    validate(&b);
}

/// A record's words go with its state: where one of them is not what it was, nobody waits.
#[test]
fn damaged_words_of_a_lease() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    for offset in
        [offset_of!(Record, hash), offset_of!(Record, deadline), offset_of!(Record, began), offset_of!(Record, seal)]
    {
        for word in [0, 1, u64::MAX, 1 << 63] {
            let Acquired::Leader(lost) = a.acquire(b"x", LONG, false) else { panic!() };
            // (Some words are 0 as they are.)
            let word = if word == 0 && offset == offset_of!(Record, began) { 2 } else { word };
            (0..LEASES).for_each(|index| write(&a, lease_at(index) + offset as u64, word));
            let Acquired::Leader(lease) = b.acquire(b"x", LONG, false) else { panic!("{offset} {word}") };
            b.abandon(lease);
            a.abandon(lost);
        }
    }
}

/// The process table is damaged: the living live on, and nobody else does.
#[test]
fn damaged_lines() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    let (mine, yours) = (a.table().identity(), b.table().identity());
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..200 {
        for line in 0..4 {
            for word in 0..8 {
                write(&a, proc_at(line) + 8 * word, [0, u64::MAX, random.next()][round % 3]);
            }
        }
        assert!(!a.table().is_dead(yours) && !b.table().is_dead(mine));
        assert!(a.table().is_dead(mine ^ 1 << 8) && a.table().is_dead(3) && a.table().is_dead(1 << 8 | 3));
        assert!(
            matches!(a.set(b"a", b"1", NEVER), Stored::Done(_)) && matches!(b.set(b"b", b"1", NEVER), Stored::Done(_))
        );
        let c = open_isolated(&o);
        assert!(matches!(c.set(b"c", b"1", NEVER), Stored::Done(_)));
        assert!(c.table().identity() != mine && c.table().identity() != yours);
    }
}

/// Whoever has the lock and finds another's word there stores nothing, and has the cache looked through.
#[test]
fn a_guard_that_is_ousted() {
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    for key in [b"1", b"2", b"3"] {
        a.set(key, b"v", NEVER);
    }
    OUSTED.set(true);
    let before = a.info().repairs;
    let guard = a.table().lock(CLEAR_TIMEOUT).unwrap();
    write(&a, ctl!(lock), 0);
    // The other takes the lock that looks free, and works, while this one still believes to have it.
    assert!(matches!(b.set(b"b", b"1", NEVER), Stored::Done(_)));
    let (table, hash) = (a.table(), a.hash(b"n"));
    let block = table.prepare(hash, b"n", b"v", &NEVER.into()).unwrap();
    let how = crate::table::storing::Put::WHATEVER;
    assert_eq!(table.put(&guard, b"n", &block, how), Stored::Busy);
    let _ = table.remove(&guard, a.hash(b"1"), b"1");
    table.repair();
    drop(guard);
    OUSTED.set(false);
    let mut buf = ReadBuf::new();
    assert!(a.get(b"n", &mut buf).is_none() && a.get(b"1", &mut buf).is_some() && a.get(b"b", &mut buf).is_some());
    assert_eq!(a.info().repairs, before);
    assert!(matches!(b.set(b"c", b"1", NEVER), Stored::Done(_)));
    assert_eq!((a.info().repairs, a.len()), (before + 1, 5), "the next one looked it through");
    validate(&a);
}

/// Threads of two processes whose waits end at their bounds all the time: never two in the lock, and nobody is robbed.
#[test]
fn waiters_at_their_bound_rob_nobody() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    let (inside, entered, turned_away) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|s| {
        for thread in 0..6 {
            let (cache, inside, entered, turned_away) =
                (if thread % 2 == 0 { &a } else { &b }, &inside, &entered, &turned_away);
            s.spawn(move || {
                let mut random = Random(thread + 1);
                for round in 0..300 {
                    let patience = [Duration::ZERO, Duration::from_micros(100), STORE_TIMEOUT][round % 3];
                    let Ok(_guard) = cache.table().lock(patience) else {
                        turned_away.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two in one lock");
                    if random.next().is_multiple_of(4) {
                        std::thread::sleep(Duration::from_micros(random.next() % 300));
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    entered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let counts = (entered.into_inner(), turned_away.into_inner());
    // How many of each depends on the machine: who is suspended in the lock turns all others away meanwhile.
    assert!(counts.0 > 0 && counts.1 > 0, "{counts:?}");
    assert_eq!(a.info().repairs, 0, "nobody was taken for dead");
}
