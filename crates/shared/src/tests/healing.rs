//! Damage heals: each kind of word of the file, set to many values, under every strategy, before a process comes and while
//! it has the file open. After some hundred calls the cache must be whole again, to its full size and all of its bytes;
//! after a clear at once.
//!
//! `WARP_HEALING` sets the number of rounds beyond one for each kind of word and strategy.

use super::hostile::Random;
use super::*;
use crate::file::layout::*;
use crate::file::units::Offset;
use crate::table::counters::rare_at;
use std::fs::File;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;

/// Entries of the cache; stores after which it must be whole.
const SIZE: u64 = 64;
const CALLS: u64 = 300;

fn value_of(key: u64) -> Vec<u8> {
    (0..24 + key % 40).map(|i| (key * 31 + i) as u8).collect()
}

/// Some of the caches have a time to idle.
fn geometry_of(strategy: Strategy, max_bytes: u64) -> Geometry {
    Geometry::with(SIZE, max_bytes, strategy, matches!(strategy, Strategy::Fifo | Strategy::TinyLfu)).unwrap()
}

fn options_of(dir: &tempfile::TempDir, strategy: Strategy) -> Options {
    let geo = geometry_of(strategy, 1 << 19);
    let idle = geo.has_idle().then(|| std::time::Duration::from_secs(3600));
    Options { max_bytes: Some(geo.end), idle, ..options(dir, strategy, SIZE) }
}

/// One kind of word: what it is called, and where such words lie.
struct Kind {
    name: &'static str,
    words: Vec<Offset>,
}

/// All kinds of words but the identity's, whose damage makes another file, and those that say who owns what.
fn kinds(geo: &Geometry) -> Vec<Kind> {
    let mut kinds = Vec::new();
    macro_rules! control {
        ($($field:ident)+) => { $(kinds.push(Kind { name: stringify!($field), words: vec![ctl!($field)] });)+ };
    }
    control!(generation index_level slots_ready data_ready tick_offset procs_high epoch moved tags_ready tag_epoch);
    control!(count publish_seq cand_head cand_len last_tick evictions free_head slot_high alloc_cursor used_granules);
    control!(swept_generation min_deadline sweep_min sweep_cursor expirations repairs audit passed);
    control!(base_generation tick queue_seq hand history_lines ghost_seq ghost_room sample_hits sample_accesses sample_look);
    control!(hit_ratio climb window_moved);
    let mut several = |name, at: Offset, n: u64| kinds.push(Kind { name, words: (0..n).map(|i| at + 8 * i).collect() });
    several("cand_bound", ctl!(cand_bound), 2);
    several("audit_sums", ctl!(audit_sums), 3);
    several("base", ctl!(base), 3);
    several("queues", ctl!(queues), 9);
    several("candidates", CANDIDATES_AT, 4 * 12);
    several("leases", LEASES_AT, 64);
    several("counters", PROCS_AT + offset_of!(Proc, counters) as u64, 3 * 8);
    several("others' counters", proc_at(1) + offset_of!(Proc, counters) as u64, 3 * 8);
    several("fences", FENCES_AT, FENCES);
    several("tags", geo.tags, geo.tag_words);
    if geo.has_idle() {
        several("idle", geo.idle, SIZE);
    }
    several("index", INDEX_AT, 64 * 8);
    several("overflow", INDEX_AT, 1);
    several("metas", geo.metas, 2 * SIZE);
    several("links", geo.links, 2 * SIZE);
    several("history", geo.history, 512);
    several("bitmap", geo.bitmap, geo.granules / 64);
    several("data", geo.data, SIZE * 3 * 4);
    several("cells", geo.cells, 2 * SIZE);
    let every = |from: Offset| (0..SIZE).map(move |slot| from + 16 * slot).collect();
    kinds.push(Kind { name: "words of slots", words: every(geo.cells) });
    kinds.push(Kind { name: "deadlines", words: every(geo.cells + 8) });
    kinds.push(Kind { name: "stamps", words: every(geo.metas) });
    kinds.push(Kind { name: "uses", words: every(geo.metas + 8) });
    kinds.push(Kind { name: "counts of overflow", words: (0..64).map(|bucket| INDEX_AT + 64 * bucket).collect() });
    kinds
}

/// How the words of a kind are overwritten.
#[derive(Clone, Copy, Debug)]
enum How {
    /// One of them.
    One(u64),
    /// One of them, by its neighbour's.
    Other,
    /// A bit of one of them.
    Bit,
    /// All of them.
    All(u64),
    /// All of them, each by something random.
    AllRandom,
    /// Those that are 0.
    Gaps(u64),
    /// The page around one of them, if no identity is in it.
    Page(u64),
    PageRandom,
}

const HOW: [How; 20] = [
    How::One(0),
    How::One(1),
    How::One(u64::MAX),
    How::One(1 << 63),
    How::One(SIZE),
    How::One(SIZE - 1),
    How::One(1 << 40),
    How::One(2),
    How::Other,
    How::Bit,
    How::All(0),
    How::All(1),
    How::All(u64::MAX),
    How::All(1 << 56),
    How::AllRandom,
    How::Gaps(1 << 56),
    How::Gaps(u64::MAX),
    How::Page(0),
    How::Page(u64::MAX),
    How::PageRandom,
];

fn damage(file: &File, kind: &Kind, how: How, random: &mut Random) {
    let len = file.metadata().unwrap().len();
    let words: Vec<u64> = kind.words.iter().map(|at| at.bytes()).filter(|at| at + 8 <= len).collect();
    if words.is_empty() {
        return;
    }
    let get = |at: u64| {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, at).map_or(0, |()| u64::from_ne_bytes(word))
    };
    let set = |at: u64, value: u64| file.write_all_at(&value.to_ne_bytes(), at).unwrap();
    let one = words[(random.next() >> 20) as usize % words.len()];
    let page = |at: u64| (at / PAGE * PAGE..(at / PAGE + 1) * PAGE).step_by(8).filter(|at| at + 8 <= len);
    // (The header's page has the identity; the tables of processes and leases are not ours to judge here.)
    let is_apart = |at: Offset| at < CANDIDATES_AT || (LEASE_STATES_AT..INDEX_AT).contains(&at);
    match how {
        How::One(value) => set(one, value),
        How::Other => set(one, get(one ^ 8)),
        How::Bit => set(one, get(one) ^ 1 << (random.next() >> 58)),
        How::All(value) => words.iter().for_each(|at| set(*at, value)),
        How::AllRandom => words.iter().for_each(|at| set(*at, random.next())),
        How::Gaps(value) => words.iter().filter(|at| get(**at) == 0).for_each(|at| set(*at, value)),
        How::Page(_) | How::PageRandom if is_apart(Offset::new(one)) => {}
        How::Page(value) => page(one).for_each(|at| set(at, value)),
        How::PageRandom => page(one).for_each(|at| set(at, random.next())),
    }
}

/// Looks keys up as a function would, storing what is not there; how many were not.
fn call(cache: &SharedCache, keys: impl Iterator<Item = u64>) -> u64 {
    let (mut buf, mut misses) = (ReadBuf::new(), 0);
    for key in keys {
        let found = cache.get(&key.to_le_bytes(), &mut buf).is_some();
        assert!(!found || buf.value() == value_of(key), "a wrong value");
        cache.count(0, if found { Event::Hit } else { Event::Miss });
        if !found {
            misses += 1;
            cache.set(&key.to_le_bytes(), &value_of(key), NEVER);
        }
    }
    misses
}

/// What a cache in order does.
fn is_whole(cache: &SharedCache, new: u64, what: &str) {
    let info = cache.info();
    assert!(info.len <= SIZE, "{what}: {info:?}");
    assert_eq!(cache.table().region.get(ctl!(count)), info.len, "{what}");
    // What is asked for again is found. (The clever ones may not let newcomers in at once; in MRU they leave first, in
    // SIEVE where the hand is near.)
    let keys = |round: u64| (0..10).map(move |key| (round, new + key));
    let mut calls: Vec<(u64, u64)> = (0..3).flat_map(keys).collect();
    if matches!(cache.strategy(), Strategy::Mru | Strategy::Sieve) {
        calls.sort_by_key(|call| call.1);
    }
    let misses = call(cache, calls.into_iter().map(|call| call.1));
    assert!(misses < 30, "{what}: {misses} of 30 calls for 10 keys miss");
    // As many as there may be, by count and by bytes, and evictions.
    call(cache, new + 100..new + 100 + 2 * SIZE);
    let mut there = 0;
    cache.for_each(|_, _, _| there += 1);
    assert_eq!((cache.len(), there), (SIZE, SIZE), "{what}");
    validate(cache);
    let table = cache.table();
    assert!(table.lock(std::time::Duration::from_secs(1)).is_ok_and(|_g| table.whole_audit().is_ok()), "{what}");
    let room = (table.geo.granules * GRANULE) as usize - 64;
    let stored = cache.set(b"large", &vec![7; room], NEVER);
    assert!(matches!(stored, Stored::Done(_)), "{what}: {stored:?}, all the room for one");
    assert_eq!(cache.len(), 1, "{what}");
    assert!(cache.invalidate(b"large").unwrap(), "{what}");
    assert_eq!((cache.len(), cache.info().data_bytes_used), (0, 0), "{what}");
}

fn heals(strategy: Strategy, kind: &Kind, how: How, random: &mut Random, turn: u64) {
    let dir = tempfile::tempdir().unwrap();
    let o = options_of(&dir, strategy);
    let cache = open_isolated(&o);
    // Empty, some entries, or as many as there may be and some that have gone.
    let filled = [0, 40, 3 * SIZE, SIZE - 1][(turn % 4) as usize];
    call(&cache, 0..filled);
    if turn.is_multiple_of(3) {
        cache.set(b"mortal", b"mortal", cache.now() + 3_600_000_000_000);
    }
    let file = File::options().read(true).write(true).open(cache.path()).unwrap();
    let fresh = turn.is_multiple_of(2);
    let cache = if fresh {
        drop(cache);
        None
    } else {
        Some(cache)
    };
    damage(&file, kind, how, random);
    let cache = cache.unwrap_or_else(|| open_isolated(&o));
    let what = format!("{strategy:?}, {} {how:?}, turn {turn}", kind.name);
    if turn % 5 == 4 {
        cache.clear();
        assert_eq!(cache.len(), 0, "{what}, cleared");
        let info = cache.info();
        assert_eq!((info.hits, info.misses, info.data_bytes_used), (0, 0, 0), "{what}, cleared");
        return is_whole(&cache, 1_000_000, &what);
    }
    let began = cache.table().region.get(ctl!(repairs));
    call(&cache, (0..CALLS).map(|i| 1000 + i));
    let repairs = cache.table().region.get(ctl!(repairs)).wrapping_sub(began);
    assert!(kind.name == "repairs" || repairs <= 6, "{what}: {repairs} repairs");
    is_whole(&cache, 1_000_000, &what);
}

#[test]
fn every_kind_of_word() {
    let max_bytes = geometry_of(Strategy::Lru, 1 << 19).end;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut turn, mut failed) = (0u64, Vec::new());
    let rounds = times("WARP_HEALING", 1);
    for round in 0..rounds {
        for strategy in Strategy::ALL {
            let geo = geometry_of(strategy, max_bytes);
            for (i, kind) in kinds(&geo).iter().enumerate() {
                let how = if rounds > 1 { HOW.to_vec() } else { vec![HOW[(turn as usize + i) % HOW.len()]] };
                for how in how {
                    turn += 1;
                    // (All that fail are told of.)
                    let healed = std::panic::AssertUnwindSafe(|| {
                        heals(strategy, kind, how, &mut random, turn + u64::from(round))
                    });
                    failed.extend(
                        std::panic::catch_unwind(healed).err().map(|_| format!("{strategy:?}, {}, {how:?}", kind.name)),
                    );
                }
            }
        }
    }
    println!("{turn} damaged files");
    assert!(failed.is_empty(), "{} of {turn} do not heal: {failed:?}", failed.len());
}

/// A clear may begin while another process has the lock, and its audit finds entries of before: that is no damage.
#[test]
fn a_clear_beside_an_audit() {
    for strategy in Strategy::ALL {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (open_isolated(&options_of(&dir, strategy)), open_isolated(&options_of(&dir, strategy)));
        (0..SIZE).for_each(|k| assert!(matches!(a.set(&k.to_le_bytes(), &value_of(k), NEVER), Stored::Done(_))));
        let guard = a.table().lock(std::time::Duration::from_secs(1)).unwrap();
        b.table().begin_clear();
        assert!(a.table().whole_audit().is_ok());
        // What is stored before the lock is given back has the new generation already.
        let block = a.table().prepare(a.hash(b"new"), b"new", b"v", &NEVER.into()).unwrap();
        let how = crate::table::storing::Put::WHATEVER;
        assert!(matches!(a.table().put(&guard, b"new", &block, how), Stored::Done(_)));
        assert!(a.table().whole_audit().is_ok());
        drop(guard);
        assert_eq!((a.len(), a.info().repairs), (0, 0));
    }
}

/// A damaged header is put right by those who have the file open, by an audit or a clear: else whoever comes next would make
/// another file, and they would never meet again.
#[test]
fn a_header_is_put_right_before_others_come() {
    for word in 0..HEADER_WORDS as u64 {
        for clear in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let o = options_of(&dir, Strategy::Lru);
            let a = open_isolated(&o);
            call(&a, 0..SIZE);
            let at = HEADER_AT + 8 * word;
            a.table().region.set(at, a.table().region.get(at) ^ 0x5555_0000_5555);
            if clear {
                a.clear();
            } else {
                call(&a, SIZE..SIZE + CALLS);
            }
            assert!(matches!(a.set(b"after", b"v", NEVER), Stored::Done(_)));
            let b = open_isolated(&o);
            let mut buf = ReadBuf::new();
            assert!(b.get(b"after", &mut buf).is_some() && buf.value() == b"v", "word {word}, clear {clear}");
            b.clear();
            assert!(a.get(b"after", &mut buf).is_none());
        }
    }
}

/// Damaged counters are put right by the next `info`, to what they were if they are this process's own, and never show as
/// what they cannot be.
#[test]
fn counters_say_nothing_absurd() {
    let own = |line: u64| (0..STRIPES * 8).map(move |i| proc_at(line) + offset_of!(Proc, counters) as u64 + 8 * i);
    let control = [ctl!(evictions), ctl!(expirations), ctl!(repairs)];
    for at in own(0).chain(own(1)).chain(own(2)).chain(control).chain([ctl!(procs_high)]) {
        for bit in [34, 40, 50, 63] {
            let dir = tempfile::tempdir().unwrap();
            let o = options_of(&dir, Strategy::Lru);
            // Another process has line 1, so this one has line 2.
            let (other, cache) = (open_isolated(&o), open_isolated(&o));
            call(&other, 0..10);
            call(&cache, 0..30);
            cache.count_skip(Skip::Value);
            for one in [&other, &cache] {
                one.count_load(1000, true, false);
                one.count_rare(LoadCounter::Refreshes);
            }
            let before = cache.info();
            assert_eq!((before.hits, before.misses, before.skips[Skip::Value as usize]), (10, 30, 1));
            assert_eq!(before.loads, [2, 2, 2000, 0, 2]);
            let word = cache.table().region.get(at);
            cache.table().region.set(at, word ^ 1 << bit);
            let after = cache.info();
            if proc_at(2) <= at && at < proc_at(3) {
                assert_eq!(after, before, "offset {at}, bit {bit}");
            }
            // (The file is not a minute old.)
            let most = 1 << 34;
            let events = [after.hits, after.misses, after.evictions, after.expirations, after.repairs];
            let rare = after.skips.iter().chain(&after.loads);
            assert!(events.iter().chain(rare).all(|count| *count < most), "{at} {bit}: {after:?}");
            // A process that has only hits and asks now and then is as well off as one that stores.
            call(&cache, 1000..1000 + CALLS);
            let later = cache.info();
            assert!((before.misses..=after.misses + CALLS).contains(&later.misses) || after.misses < before.misses);
            cache.clear();
            let cleared = cache.info();
            assert_eq!((cleared.hits, cleared.misses, cleared.skips), (0, 0, [0; Skip::COUNT]));
            assert_eq!(cleared.loads, [0; LoadCounter::COUNT], "{at} {bit}");
            // Whatever was damaged, what comes after is counted.
            cache.count_load(1000, false, true);
            other.count_load(1000, false, true);
            assert_eq!(other.info().loads, [2, 0, 2000, 0, 0], "{at} {bit}");
        }
    }
}

/// The counters of this process are put right by an audit as well, and those of an age by what can have been since.
#[test]
fn an_audit_mends_counters() {
    let dir = tempfile::tempdir().unwrap();
    let o = options_of(&dir, Strategy::Lru);
    let cache = open_isolated(&o);
    call(&cache, 0..CALLS);
    let at = proc_at(1) + offset_of!(Proc, counters) as u64 + 8;
    assert_eq!(cache.table().region.get(at), CALLS);
    cache.table().region.set(at, CALLS + (1 << 40));
    call(&cache, 1000..1000 + CALLS);
    let now = cache.table().region.get(at);
    assert!((CALLS - 128..=2 * CALLS).contains(&now), "{now}");
}

/// Time is compared with the computations that it is of: in a line of this process's own, in another's, and in both where the
/// computations themselves are damaged.
#[test]
fn the_time_of_computations_heals() {
    for (line, damage) in [(1, u64::MAX), (1, 1 << 36), (1, 0), (2, u64::MAX), (2, 1 << 36), (2, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let o = options_of(&dir, Strategy::Lru);
        let (other, cache) = (open_isolated(&o), open_isolated(&o));
        other.count_load(500, false, true);
        cache.count_load(700, false, true);
        assert_eq!(cache.info().loads, [2, 0, 1200, 0, 0]);
        let at = rare_at(line, LoadCounter::Nanoseconds.into());
        assert_eq!(cache.table().region.get(at), [500, 700][line as usize - 1], "the place is this one");
        cache.table().region.set(at, damage);
        let [loads, _, nanoseconds, ..] = cache.info().loads;
        // Its own is put back; of the other's, what cannot be is nothing.
        let expected = if line == 2 { 1200 } else { 700 };
        assert_eq!((loads, nanoseconds), (2, expected), "line {line}, {damage}");
        other.count_load(11, false, false);
        assert_eq!(cache.info().loads[LoadCounter::Nanoseconds as usize], expected + 11, "line {line}, {damage}");
    }
}
