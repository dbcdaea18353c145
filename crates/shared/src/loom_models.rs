//! Loom: all interleavings (within bounds) and all memory orders of the code that ships, over a model's memory.
//!
//! `make test-loom`, or `RUSTFLAGS="--cfg loom" cargo test -p shared --release --lib`. Several `Table`s on one region are
//! several processes; a death is a guard forgotten and another generation in the process slot.

use crate::file::layout::{
    ctl, proc_at, Geometry, Header, CANDIDATES_AT, CONTROL_AT, FENCES_AT, LEASES_AT, LEASE_STATES_AT, MIN_MAX_BYTES,
};
use crate::file::mapping::Region;
use crate::file::units::{GranuleIndex, Slot, Tick};
use crate::policy::Strategy;
use crate::process::lease::{Acquired, Lease, Waited};
use crate::process::lock::WriteGuard;
use crate::table::block::ReadBuf;
use crate::table::reading::NEVER;
use crate::table::storing::{Put, Stored};
use crate::table::{Mutant, Table};
use loom::thread;
use std::sync::Arc;
use std::time::Duration;

/// The only slot of the models of publication.
const SLOT: Slot = Slot::new(0);
/// Steps, in a model.
pub(crate) const TIMEOUT: Duration = Duration::from_nanos(40);
const WHENEVER: Put = Put::WHATEVER;

pub(crate) fn world() -> impl Fn(u64) -> Arc<Table> {
    world_of(Strategy::Lru)
}

fn world_of(strategy: Strategy) -> impl Fn(u64) -> Arc<Table> {
    let region = Arc::new(Region::new());
    let geo = Geometry::new(2, MIN_MAX_BYTES, strategy).unwrap();
    let zero = [0; 2];
    let header = Header {
        magic: 0,
        version: 0,
        fingerprint: 0,
        boot: zero,
        created: 0,
        seed: [1, 2],
        max_size: 2,
        max_bytes: MIN_MAX_BYTES,
        strategy: 0,
        tick_mode: 0,
        idle: 0,
        checksum: 0,
    };
    // Loom wants a word to exist before threads share it: all that a model may touch.
    for (at, words) in [
        (CONTROL_AT, 96),
        (CANDIDATES_AT, 8),
        (LEASE_STATES_AT, 2),
        (LEASES_AT, 16),
        (proc_at(1), 8),
        (proc_at(2), 8),
        (proc_at(3), 8),
        (Geometry::level_at(0), 8),
        (geo.cells, 4),
        (geo.metas, 4),
        (geo.links, 4),
        (geo.changes, 8),
        (geo.tags, 2),
        (FENCES_AT, 2),
        (geo.bitmap, 1),
        (geo.data, 64),
    ] {
        (0..words).for_each(|i| region.set(at + 8 * i, 0));
    }
    region.set(ctl!(slots_ready), 2);
    region.set(ctl!(data_ready), 64);
    region.set(ctl!(tags_ready), 1);
    region.set(ctl!(tag_epoch), 1);
    region.set(ctl!(min_deadline), NEVER);
    region.set(ctl!(procs_high), 8);
    move |slot| {
        let table = Table::new(region.clone(), geo, header, strategy);
        table.assign(slot, 1);
        Arc::new(table)
    }
}

pub(crate) fn model(what: &str, preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = runs.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        f();
    });
    println!("{what}: {} executions", runs.load(std::sync::atomic::Ordering::Relaxed));
}

fn put(table: &Table, guard: &WriteGuard<'_>, key: &[u8], value: &[u8]) -> Stored {
    let hash = table.hash(key);
    table.put(guard, key, &table.prepare(hash, key, value, &NEVER.into()).unwrap(), WHENEVER)
}

fn done(stored: Stored) {
    assert!(matches!(stored, Stored::Done(_)));
}

/// `table`, with a fault.
pub(crate) fn faulty(table: Arc<Table>, mutant: Mutant) -> Arc<Table> {
    let mut table = Arc::into_inner(table).unwrap();
    table.mutant = mutant;
    Arc::new(table)
}

/// A model of this fault must not hold.
pub(crate) fn must_fail(what: &str, f: impl FnOnce() + std::panic::UnwindSafe) {
    assert!(std::panic::catch_unwind(f).is_err(), "{what}: nobody noticed");
}

/// The reader's protocol alone, without the help of the checksum: an unchanged word proves the copy. The granules are
/// written to again by whoever replaced the entry, and took nothing away: the fence is the writing's own.
fn unchanged_word(mutant: Mutant) {
    model("an unchanged word proves the copy", 3, move || {
        let process = world();
        let (writer, reader) = (faulty(process(1), mutant), process(2));
        let (granule, other) = (writer.geo.granule(GranuleIndex::new(4)), writer.geo.granule(GranuleIndex::new(8)));
        let blocks: Vec<_> =
            [b"a", b"b", b"c"].iter().map(|v| writer.prepare(7, b"k", *v, &NEVER.into()).unwrap()).collect();
        {
            let guard = writer.lock(TIMEOUT).unwrap();
            writer.write_block(&guard, granule, 0, &blocks[0]);
            writer.write_block(&guard, other, 0, &blocks[1]);
            writer.publish(&guard, SLOT, granule);
        }
        let t = thread::spawn(move || {
            let guard = writer.lock(TIMEOUT).unwrap();
            writer.publish(&guard, SLOT, other);
            writer.write_block(&guard, granule, 0, &blocks[2]);
        });
        let word = reader.word(SLOT);
        if !word.is_free() {
            if let Some(head) = reader.head(word.granule()) {
                let mut buf = ReadBuf::new();
                reader.copy_block(word.granule(), &head, &mut buf);
                if reader.unchanged(SLOT, word) {
                    assert!(reader.is_whole(0, word.granule(), &buf), "a torn copy passed for whole");
                    assert!(buf.value() == b"a" || buf.value() == b"b", "bytes that no word pointed to");
                }
            }
        }
        t.join().unwrap();
    });
}

#[test]
fn an_unchanged_word_proves_the_copy() {
    unchanged_word(Mutant::None);
}

#[test]
fn without_the_fence_an_unchanged_word_proves_nothing() {
    must_fail("no fence", || unchanged_word(Mutant::NoFence));
}

/// A hit notes its use in a slot that is freed meanwhile, and given to another entry: nothing is out of order after it.
fn late_hit(strategy: Strategy, mutant: Mutant) {
    model(&format!("a hit against a freed slot, {strategy:?}"), 3, move || {
        let process = world_of(strategy);
        let (writer, reader) = (faulty(process(1), mutant), process(2));
        for key in [b"k", b"l"] {
            done(put(&writer, &writer.lock(TIMEOUT).unwrap(), key, b"1"));
        }
        let other = writer.clone();
        let t = thread::spawn(move || {
            // Both slots are freed, so one names the other; then both are taken again.
            for key in [b"k", b"l"] {
                let guard = other.lock(TIMEOUT).unwrap();
                assert!(other.remove(&guard, other.hash(key), key).is_ok_and(|found| found));
            }
            for key in [b"m", b"n"] {
                done(put(&other, &other.lock(TIMEOUT).unwrap(), key, b"2"));
            }
        });
        if let Some(hit) = reader.find(reader.hash(b"l"), b"l", &mut ReadBuf::new()) {
            reader.touch(Slot::new(hit.slot), Tick::new(7), false);
        }
        t.join().unwrap();
        let _guard = writer.lock(TIMEOUT).unwrap();
        writer.validate_order();
        assert_eq!((writer.len(), writer.region.get(ctl!(repairs))), (2, 0));
        for key in [b"m", b"n"] {
            assert!(reader.find(reader.hash(key), key, &mut ReadBuf::new()).is_some());
        }
    });
}

#[test]
fn a_hit_against_a_freed_slot_breaks_nothing() {
    for strategy in Strategy::ALL {
        late_hit(strategy, Mutant::None);
    }
}

#[test]
fn a_link_in_the_word_that_hits_stamp_would_break() {
    must_fail("the link in the stamp", || late_hit(Strategy::Lru, Mutant::LinkInTheStamp));
}

/// The whole lookup against replacement and eviction of the key's neighbour into its granules.
#[test]
fn a_reader_finds_only_right_values() {
    model("a reader finds only right values", 3, || {
        let process = world();
        let (writer, reader) = (process(1), process(2));
        {
            let guard = writer.lock(TIMEOUT).unwrap();
            done(put(&writer, &guard, b"k", b"1"));
        }
        let t = thread::spawn(move || {
            let guard = writer.lock(TIMEOUT).unwrap();
            done(put(&writer, &guard, b"k", b"2"));
            // Into the granules that the first value had.
            done(put(&writer, &guard, b"l", b"3"));
        });
        let other = reader.clone();
        let r = thread::spawn(move || {
            let mut buf = ReadBuf::new();
            if other.find(other.hash(b"k"), b"k", &mut buf).is_some() {
                assert!(buf.value() == b"1" || buf.value() == b"2", "{:?}", buf.value());
            }
            if other.find(other.hash(b"l"), b"l", &mut buf).is_some() {
                assert_eq!(buf.value(), b"3");
            }
        });
        t.join().unwrap();
        r.join().unwrap();
        let mut buf = ReadBuf::new();
        assert!(reader.find(reader.hash(b"k"), b"k", &mut buf).is_some() && buf.value() == b"2");
    });
}

/// Hits set marks without the lock while somebody evicts by them: which entry goes depends on it, and nothing else.
#[test]
fn hits_during_an_eviction_leave_the_queues_whole() {
    for strategy in [Strategy::Sieve, Strategy::S3Fifo, Strategy::TinyLfu] {
        model(&format!("hits during an eviction, {strategy:?}"), 3, move || {
            let process = world_of(strategy);
            let (writer, reader) = (process(1), process(2));
            for key in [b"k", b"l"] {
                done(put(&writer, &writer.lock(TIMEOUT).unwrap(), key, b"1"));
            }
            let t = thread::spawn(move || done(put(&writer, &writer.lock(TIMEOUT).unwrap(), b"m", b"2")));
            for key in [b"k", b"l"] {
                if let Some(hit) = reader.find(reader.hash(key), key, &mut ReadBuf::new()) {
                    reader.touch(Slot::new(hit.slot), Tick::new(0), false);
                }
            }
            t.join().unwrap();
            let _guard = reader.lock(TIMEOUT).unwrap();
            reader.validate_order();
            assert_eq!((reader.len(), reader.region.get(ctl!(repairs))), (2, 0));
            assert!(reader.find(reader.hash(b"m"), b"m", &mut ReadBuf::new()).is_some());
        });
    }
}

/// The owner dies with a store half done; two others want the lock: one repairs, nobody is in there together, nothing
/// is lost.
#[test]
fn a_dead_owners_lock_is_taken_over_once() {
    model("a dead owners lock is taken over once", 3, || {
        let process = world();
        let (dying, a, b) = (process(1), process(2), process(3));
        {
            let guard = dying.lock(TIMEOUT).unwrap();
            done(put(&dying, &guard, b"k", b"1"));
            // Half an insertion: granules taken, no slot published.
            assert!(dying.mark(GranuleIndex::new(10), 3, true));
            std::mem::forget(guard);
        }
        dying.die();
        let spawn = |table: Arc<Table>, key: &'static [u8]| {
            thread::spawn(move || {
                if let Ok(guard) = table.lock(TIMEOUT) {
                    // A counter that only mutual exclusion keeps right.
                    let n = table.region.get(ctl!(expirations));
                    done(put(&table, &guard, key, b"x"));
                    table.region.set(ctl!(expirations), n + 1);
                    return 1;
                }
                0
            })
        };
        let (ta, tb) = (spawn(a.clone(), b"k"), spawn(b, b"m"));
        let entered = ta.join().unwrap() + tb.join().unwrap();
        assert_eq!(a.region.get(ctl!(expirations)), entered);
        assert_eq!(a.region.get(ctl!(repairs)), 1, "one took it over, the other found it free");
        assert_eq!(entered, 2);
        assert_eq!(a.len(), 2);
        assert_eq!(a.region.get(ctl!(used_granules)), 4, "what the dead had taken is free again");
    });
}

/// A word that damage has put there: it names a process that lives and is not in the lock. Threads of this one and of
/// others come to the lock, and their waits end at the bound: each who gets in is alone there, and nobody is robbed
/// (`LockGuard` asserts it).
#[test]
fn a_word_that_names_the_living_robs_nobody() {
    for (what, first, second) in [("two threads of one", 1, 1), ("two processes", 1, 2), ("two others", 2, 3)] {
        model(&format!("a word that names the living, {what}"), 2, move || {
            let process = world();
            let all = [process(1), process(2), process(3)];
            let region = &all[0].region;
            region.set(ctl!(lock), 1 << 32 | all[0].identity());
            let spawn = |number: usize| {
                let table = all[number - 1].clone();
                thread::spawn(move || {
                    let Ok(_guard) = table.lock(Duration::ZERO) else { return 0 };
                    let n = table.region.get(ctl!(expirations));
                    table.region.set(ctl!(expirations), n + 1);
                    1
                })
            };
            let entered: u64 = [spawn(first), spawn(second)].map(|t| t.join().unwrap()).iter().sum();
            assert_eq!(region.get(ctl!(expirations)), entered);
            assert!(entered > 0 && region.get(ctl!(repairs)) == 1);
        });
    }
}

/// A leader dies; of two who ask, exactly one becomes the next leader, and the other waits for it.
#[test]
fn a_dead_leaders_lease_is_taken_over_once() {
    model("a dead leaders lease is taken over once", 3, || {
        let process = world();
        let (dying, a, b) = (process(1), process(2), process(3));
        let long = Duration::from_secs(100);
        let Acquired::Leader(lost) = dying.acquire(b"k", long, false) else { panic!() };
        dying.die();
        let ask = |table: Arc<Table>| thread::spawn(move || table.acquire(b"k", long, false));
        let (ta, tb) = (ask(a.clone()), ask(b.clone()));
        let (lease, leader, follower) = match (ta.join().unwrap(), tb.join().unwrap()) {
            (Acquired::Leader(lease), Acquired::Follower(_)) => (lease, a, b),
            (Acquired::Follower(_), Acquired::Leader(lease)) => (lease, b, a),
            other => panic!("{other:?}"),
        };
        // The dead one's end, had it still been on its way, ends nothing; nor does another one's (a fork's child).
        dying.end(&lost);
        follower.end(&lease);
        assert!(matches!(follower.acquire(b"k", long, false), Acquired::Follower(_)));
        leader.end(&lease);
        assert!(matches!(follower.acquire(b"k", long, false), Acquired::Leader(_)));
    });
}

/// Who sees the end of a lease sees the value that was stored before it.
#[test]
fn the_end_of_a_lease_shows_the_value() {
    model("the end of a lease shows the value", 3, || {
        let process = world();
        let (leader, follower) = (process(1), process(2));
        let hash = leader.hash(b"k");
        let Acquired::Leader(lease) = leader.acquire(b"k", Duration::from_secs(100), false) else { panic!() };
        let Acquired::Follower(ticket) = follower.acquire(b"k", Duration::from_secs(100), false) else { panic!() };
        let t = thread::spawn(move || {
            {
                let guard = leader.lock(TIMEOUT).unwrap();
                done(put(&leader, &guard, b"k", b"v"));
            }
            leader.end(&lease);
        });
        if follower.wait(&ticket, Duration::from_secs(1)) == Waited::Ended {
            let mut buf = ReadBuf::new();
            assert!(follower.find(hash, b"k", &mut buf).is_some(), "ended, but not there");
        }
        t.join().unwrap();
    });
}

/// A leader ends without a value while a follower waits and a newcomer asks: the follower never takes it for anything else,
/// whether it looks before or after the newcomer has the lease. (Who took it for a take-over would wait once more.)
fn an_end_is_seen_as_one(name: &str, end: fn(&Table, &Lease), seen: Waited) {
    model(name, 3, move || {
        let process = world();
        let (leader, follower, newcomer) = (process(1), process(2), process(3));
        let long = Duration::from_secs(100);
        let Acquired::Leader(lease) = leader.acquire(b"k", long, false) else { panic!() };
        let Acquired::Follower(ticket) = follower.acquire(b"k", long, false) else { panic!() };
        let ending = thread::spawn(move || end(&leader, &lease));
        let asking = thread::spawn(move || newcomer.acquire(b"k", long, false));
        let waited = follower.wait(&ticket, Duration::from_secs(1));
        assert!(waited == seen || waited == Waited::NotYet, "{waited:?}");
        ending.join().unwrap();
        assert!(matches!(asking.join().unwrap(), Acquired::Leader(_) | Acquired::Follower(_)));
        assert_eq!(follower.wait(&ticket, Duration::ZERO), seen);
    });
}

#[test]
fn an_end_without_a_value_is_seen_as_one() {
    an_end_is_seen_as_one("an end without a value is seen as one", |t, lease| t.end(lease), Waited::Ended);
}

/// The same where the end was the leader's alone: the follower knows that too, before and after the newcomer has the lease.
#[test]
fn a_private_end_is_seen_as_one() {
    let end = |t: &Table, lease: &Lease| t.end_privately(lease);
    an_end_is_seen_as_one("a private end is seen as one", end, Waited::EndedPrivately);
}

/// A leader dies, and a newcomer takes over: the follower never takes that for an end, so it waits for the newcomer.
#[test]
fn a_take_over_from_the_dead_is_no_end() {
    model("a take-over from the dead is no end", 3, || {
        let process = world();
        let (dying, follower, newcomer) = (process(1), process(2), process(3));
        let long = Duration::from_secs(100);
        let Acquired::Leader(_) = dying.acquire(b"k", long, false) else { panic!() };
        let Acquired::Follower(ticket) = follower.acquire(b"k", long, false) else { panic!() };
        let death = thread::spawn(move || dying.die());
        let asking = thread::spawn(move || newcomer.acquire(b"k", long, false));
        let waited = follower.wait(&ticket, Duration::from_secs(1));
        assert!(matches!(waited, Waited::Lost | Waited::NotYet), "{waited:?}");
        death.join().unwrap();
        let asked = asking.join().unwrap();
        assert!(matches!(asked, Acquired::Leader(_) | Acquired::Follower(_)));
        assert_eq!(follower.wait(&ticket, Duration::ZERO), Waited::Lost);
    });
}

/// A leader ends just as somebody insists on its lease: if that one is told that it leads, the follower is not free only
/// where it did take over.
#[test]
fn an_end_and_a_take_over_exclude_each_other() {
    model("an end and a take-over exclude each other", 3, || {
        let process = world();
        let (leader, follower, insisting) = (process(1), process(2), process(3));
        let long = Duration::from_secs(100);
        let Acquired::Leader(lease) = leader.acquire(b"k", long, false) else { panic!() };
        let Acquired::Follower(ticket) = follower.acquire(b"k", long, false) else { panic!() };
        let ending = {
            let leader = leader.clone();
            thread::spawn(move || {
                leader.end(&lease);
                lease
            })
        };
        let Acquired::Leader(second) = insisting.acquire(b"k", long, true) else { panic!() };
        let lease = ending.join().unwrap();
        let waited = follower.wait(&ticket, Duration::ZERO);
        assert!(matches!(waited, Waited::Ended | Waited::Overdue), "{waited:?}");
        // What is the second one's, the first one can not end.
        leader.end(&lease);
        assert_eq!(follower.wait(&ticket, Duration::ZERO), waited);
        insisting.end(&second);
        assert_eq!(follower.wait(&ticket, Duration::ZERO), Waited::Ended);
    });
}
