//! Death at every store: before each store of a writer (and of a repairer) the file is copied, the copy's processes are
//! declared dead, and a fresh handle must read only right values from it, repair it, and find everything in order.
//!
//! A process that is killed has made a prefix of its stores; so these copies are all the states that a death can leave.

use super::*;
use crate::file::layout::{proc_at, PROCS};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) type Content = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) options: Options,
    pub(crate) before: Content,
    pub(crate) after: Content,
    pub(crate) keys: Vec<Vec<u8>>,
    /// Every so many copies, the repair of the copy is itself stopped at every store.
    pub(crate) nested_every: usize,
}

static STATES: AtomicUsize = AtomicUsize::new(0);
static NESTED: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn value(key: &[u8], version: u8) -> Vec<u8> {
    let mut v = key.to_vec();
    v.resize(20 + version as usize * 9, version);
    v
}

pub(crate) fn content(cache: &SharedCache, keys: &[Vec<u8>]) -> Content {
    let mut buf = ReadBuf::new();
    keys.iter().filter_map(|k| cache.peek(k, &mut buf).map(|_| (k.clone(), buf.value().to_vec()))).collect()
}

/// Writes a copy in which no process lives.
pub(crate) fn write_copy(bytes: &[u8], dir: &Path) -> Options {
    let mut bytes = bytes.to_vec();
    for slot in 0..PROCS {
        let at = proc_at(slot).bytes() as usize;
        if at + 8 <= bytes.len() {
            let ident = u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
            if ident as u32 != 0 {
                let dead = ident & !0xffff_ffff | 0x7fff_fff0;
                bytes[at..at + 8].copy_from_slice(&dead.to_ne_bytes());
            }
        }
    }
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let _ = std::fs::DirBuilder::new().mode(0o700).create(dir);
    let path = dir.join("test.cache");
    let _ = std::fs::remove_file(&path);
    let mut file = std::fs::OpenOptions::new().mode(0o600).create_new(true).write(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    Options {
        dir: dir.into(),
        name: "test".into(),
        strategy: Strategy::Lru,
        max_size: 0,
        max_bytes: None,
        idle: None,
        fingerprint: 0,
    }
}

fn open_copy(bytes: &[u8], dir: &Path, case: &Case) -> SharedCache {
    let o = Options { dir: write_copy(bytes, dir).dir, ..case.options.clone() };
    open_isolated(&o)
}

fn check_value(k: &[u8], found: Option<&Vec<u8>>, case: &Case, missing_is_fine: bool) {
    let (before, after) = (case.before.get(k), case.after.get(k));
    let right = found == before || found == after || (found.is_none() && (missing_is_fine || before != after));
    assert!(right, "{k:?}: found {found:?}, was {before:?}, to become {after:?}");
}

/// What any survivor must be able to do with a file that somebody died over.
pub(crate) fn survive(bytes: &[u8], dir: &Path, case: &Case) {
    STATES.fetch_add(1, Ordering::Relaxed);
    let cache = open_copy(bytes, dir, case);
    let found = content(&cache, &case.keys);
    for k in &case.keys {
        // Without a lock, while index or so are in a state of change, a reader may miss.
        check_value(k, found.get(k), case, true);
    }
    // A writer: finds the dead owner, repairs. The key is in no one's way.
    cache.invalidate(b"no such key").unwrap();
    let found = content(&cache, &case.keys);
    for k in &case.keys {
        check_value(k, found.get(k), case, false);
    }
    let mut all = 0;
    cache.for_each(|_, _, _| all += 1);
    // (What a tag has made void is counted until it is displaced.)
    let has_tags = cache.table().region.get(crate::file::layout::ctl!(tags_ready)) != 0;
    assert!((cache.len() == all || has_tags && cache.len() > all) && all as usize >= found.len());
    validate(&cache);
    let repairs = cache.info().repairs;
    // Everything works: exact capacity, no double use of memory, nothing more to repair.
    let capacity = cache.info().capacity.min(400) as u32;
    for i in 0..capacity {
        assert!(matches!(
            cache.set(&[&b"new"[..], &i.to_le_bytes()].concat(), &value(b"new", i as u8 % 4), NEVER),
            Stored::Done(_)
        ));
    }
    let mut buf = ReadBuf::new();
    for i in 0..capacity {
        let found = cache.peek(&[&b"new"[..], &i.to_le_bytes()].concat(), &mut buf).is_some();
        // (LFU keeps what was used more often than these, and so do the strategies with queues.)
        assert!(found || case.options.strategy as u64 >= Strategy::Lfu as u64, "{i}");
        assert!(!found || buf.value() == value(b"new", i as u8 % 4));
    }
    if u64::from(capacity) == cache.info().capacity {
        assert_eq!(cache.len(), u64::from(capacity));
    }
    assert_eq!(cache.info().repairs, repairs);
    validate(&cache);
    let used = cache.info().data_bytes_used;
    cache.table().lock(Duration::from_secs(1)).map(|_guard| cache.table().repair()).unwrap();
    assert_eq!(cache.info().data_bytes_used, used, "a repair finds what the counts said");
}

/// The repairer dies, too: at each of its stores.
fn survive_the_repair(bytes: &[u8], dir: &Path, case: &Case) {
    let cache = open_copy(bytes, dir, case);
    cache.table().identity();
    let inner = dir.join("inner");
    std::fs::create_dir_all(&inner).unwrap();
    let off = hook(&cache, case, move |bytes, case| {
        NESTED.fetch_add(1, Ordering::Relaxed);
        survive(bytes, &inner.join("copy"), case);
    });
    cache.invalidate(b"no such key").unwrap();
    off.store(true, Ordering::Relaxed);
}

/// Calls `f` before each store, with what the file holds, until the flag that it returns is set.
fn hook(cache: &SharedCache, case: &Case, f: impl Fn(&[u8], &Case) + Send + Sync + 'static) -> Arc<AtomicBool> {
    let (path, case, off) = (cache.path().to_owned(), case.clone(), Arc::new(AtomicBool::new(false)));
    let seen = off.clone();
    let hook = move |_: &crate::file::mapping::Region| {
        if !off.load(Ordering::Relaxed) {
            // By name, not by the region's descriptor; closing it drops the handle's byte-range locks, which nobody
            // asks for here.
            f(&std::fs::read(&path).unwrap(), &case);
        }
    };
    assert!(cache.table().region.hook.set(Box::new(hook)).is_ok());
    seen
}

/// Runs one operation on a file, dying at each of its stores.
fn die_everywhere(options: &Options, keys: &[Vec<u8>], nested_every: usize, operation: impl Fn(&SharedCache)) {
    let dir = tempfile::tempdir().unwrap();
    let start = std::fs::read(options.dir.join("test.cache")).unwrap();
    let mut case = Case {
        options: options.clone(),
        before: Content::new(),
        after: Content::new(),
        keys: keys.to_vec(),
        nested_every,
    };
    // Once to see what it does...
    let rehearsal = open_copy(&start, &dir.path().join("rehearsal"), &case);
    case.before = content(&rehearsal, keys);
    operation(&rehearsal);
    case.after = content(&rehearsal, keys);
    drop(rehearsal);
    // ...and once more, stopping at each store.
    let cache = open_copy(&start, &dir.path().join("stage"), &case);
    cache.table().identity();
    let copies = Arc::new(Mutex::new(0usize));
    let copy_dir = dir.path().to_owned();
    let count = copies.clone();
    let off = hook(&cache, &case, move |bytes, case| {
        let n = {
            let mut n = count.lock().unwrap();
            *n += 1;
            *n
        };
        survive(bytes, &copy_dir.join("copy"), case);
        if n % case.nested_every == 0 {
            survive_the_repair(bytes, &copy_dir.join("nested"), case);
        }
    });
    operation(&cache);
    assert_eq!(content(&cache, keys), case.after, "the second run did what the first did");
    off.store(true, Ordering::Relaxed);
    drop(cache);
    assert!(*copies.lock().unwrap() > 0 || case.before == case.after);
}

pub(crate) fn prepared(
    dir: &tempfile::TempDir,
    strategy: Strategy,
    max_size: u64,
    fill: u32,
) -> (Options, Vec<Vec<u8>>) {
    let mut o = options(dir, strategy, max_size);
    o.max_bytes = Some(320_000);
    TICK_MODE.set(Some(0));
    let cache = open_isolated(&o);
    TICK_MODE.set(None);
    let keys: Vec<Vec<u8>> = (0..fill + 4).map(|i| format!("key {i}").into_bytes()).collect();
    for k in &keys[..fill as usize] {
        assert!(matches!(cache.set(k, &value(k, 1), NEVER), Stored::Done(_)));
    }
    (o, keys)
}

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
    println!("{} states, {} of them of a repairer", STATES.load(Ordering::Relaxed), NESTED.load(Ordering::Relaxed));
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
    println!("{} states, {} of them of a repairer", STATES.load(Ordering::Relaxed), NESTED.load(Ordering::Relaxed));
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
    println!("{} states, {} of them of a repairer", STATES.load(Ordering::Relaxed), NESTED.load(Ordering::Relaxed));
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
    println!("{} states, {} of them of a repairer", STATES.load(Ordering::Relaxed), NESTED.load(Ordering::Relaxed));
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
    println!("{} states, {} of them of a repairer", STATES.load(Ordering::Relaxed), NESTED.load(Ordering::Relaxed));
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
    println!("{} states, {} of them of a repairer", STATES.load(Ordering::Relaxed), NESTED.load(Ordering::Relaxed));
}
