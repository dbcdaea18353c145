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

pub(crate) fn put(table: &Table, guard: &WriteGuard<'_>, key: &[u8], value: &[u8]) -> Stored {
    let hash = table.hash(key);
    table.put(guard, key, &table.prepare(hash, key, value, &NEVER.into()).unwrap(), WHENEVER)
}

pub(crate) fn done(stored: Stored) {
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
