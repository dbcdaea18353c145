//! The striped lock under loom's model checker: every interleaving within a bound on preemptions, under the C11 memory model.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p concurrency --release --test loom_striped`. What runs is the code that
//! ships, with loom's atomics and cells and a buffer of two uses. The value under the lock is made of loom's cells too, so
//! that a race on it is an error however harmless its outcome.
#![cfg(loom)]

use std::collections::BTreeSet;
use std::sync::Mutex;

use concurrency::access::RecordAccess;
use concurrency::primitives::UnsafeCell;
use concurrency::striped::{Shared, Writer};
use concurrency::thread_id::MODEL_INDEX;
use engine::policy::HitEffect;
use engine::slab::Token;
use loom::sync::Arc;
use loom::thread::{spawn, JoinHandle};

/// A slot whose entry is known by the number it was given, and the uses that reached the order.
#[derive(Debug)]
struct World {
    entry: UnsafeCell<Option<usize>>,
    order: UnsafeCell<Vec<usize>>,
}

/// The only token.
const TOKEN: Token = 1;

// SAFETY: that accesses are ordered is what is tested; loom's cells complain if not.
unsafe impl Sync for World {}

impl World {
    fn shared() -> Arc<Shared<World>> {
        let world = World { entry: UnsafeCell::new(Some(0)), order: UnsafeCell::new(Vec::new()) };
        Arc::new(Shared::with_stripes(world, 2))
    }

    fn entry(&self) -> Option<usize> {
        // SAFETY: loom checks the access.
        self.entry.with(|entry| unsafe { *entry })
    }

    fn set(&mut self, new: Option<usize>) {
        // SAFETY: loom checks the access.
        self.entry.with_mut(|entry| unsafe { *entry = new });
    }

    /// How often the uses of each entry reached the order.
    fn uses(&self) -> [usize; 2] {
        // SAFETY: loom checks the access.
        self.order.with(|order| [0, 1].map(|n| unsafe { &*order }.iter().filter(|&&entry| entry == n).count()))
    }
}

impl RecordAccess for World {
    fn broken(&mut self) {}

    fn counts_repeats(&mut self) -> bool {
        true
    }

    fn hit_effect(&self) -> HitEffect {
        HitEffect::Exclusive
    }

    unsafe fn touch(&self, token: Token) {
        assert_eq!(token, TOKEN);
        let entry = self.entry().expect("a use reached the order after its entry was gone");
        // SAFETY: loom checks the access.
        self.order.with_mut(|order| unsafe { (*order).push(entry) });
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(4));
    builder.check(model);
}

/// A thread that reads on a stripe `times` times; returns how often it saw each entry, and none.
fn reader(shared: &Arc<Shared<World>>, stripe: usize, times: usize) -> JoinHandle<[usize; 3]> {
    let shared = Arc::clone(shared);
    spawn(move || {
        MODEL_INDEX.with(|index| index.set(stripe));
        let mut seen = [0; 3];
        for _ in 0..times {
            shared.read(|reader| match reader.entry() {
                // SAFETY: the token names the entry just seen.
                Some(entry) => unsafe {
                    reader.hit(TOKEN);
                    seen[entry] += 1;
                },
                None => {
                    reader.miss();
                    seen[2] += 1;
                }
            });
        }
        seen
    })
}

/// The counters and uses that a last writer finds are those of what the readers saw.
fn settle(shared: &Shared<World>, readers: Vec<JoinHandle<[usize; 3]>>) -> ([usize; 3], [usize; 2]) {
    let mut seen = [0; 3];
    for reader in readers {
        let part = reader.join().unwrap();
        (0..3).for_each(|i| seen[i] += part[i]);
    }
    shared.write(|writer: Writer<'_, World>| {
        assert_eq!(writer.counters(), ((seen[0] + seen[1]) as u64, seen[2] as u64));
        (seen, writer.value.uses())
    })
}

/// A token is taken from its entry and given to another while readers of both stripes use it: each use reaches the order
/// exactly once, for the entry that was seen.
#[test]
fn a_reused_token_keeps_the_uses_of_its_entries_apart() {
    check(|| {
        let shared = World::shared();
        let readers = vec![reader(&shared, 0, 1), reader(&shared, 1, 1)];
        shared.write(|writer| {
            assert_eq!(writer.value.entry(), Some(0));
            writer.value.set(None);
            writer.value.set(Some(1));
        });
        let (seen, uses) = settle(&shared, readers);
        assert_eq!(uses, seen[..2]);
    });
}

/// The same in two steps, between which the token is free.
#[test]
fn no_use_of_a_freed_token_is_left() {
    check(|| {
        let shared = World::shared();
        let readers = vec![reader(&shared, 1, 2)];
        shared.write(|writer| writer.value.set(None));
        shared.write(|writer| writer.value.set(Some(1)));
        let (seen, uses) = settle(&shared, readers);
        assert_eq!(uses, seen[..2]);
    });
}

/// Threads that share a stripe exclude each other, so their full buffer never finds the order in other hands.
#[test]
fn readers_of_one_stripe_lose_nothing() {
    check(|| {
        let shared = World::shared();
        let readers = vec![reader(&shared, 1, 2), reader(&shared, 1, 1)];
        let (seen, uses) = settle(&shared, readers);
        assert_eq!((seen, uses), ([3, 0, 0], [3, 0]));
    });
}

/// Full buffers on two stripes want the order at once: one changes it at a time, and a buffer is applied whole or dropped
/// whole.
#[test]
fn contention_for_the_order_drops_whole_buffers_at_most() {
    static OUTCOMES: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());
    check(|| {
        let shared = World::shared();
        let readers = vec![reader(&shared, 0, 2), reader(&shared, 1, 2)];
        let (seen, uses) = settle(&shared, readers);
        assert_eq!((seen, uses[1]), ([4, 0, 0], 0));
        OUTCOMES.lock().unwrap().insert(uses[0]);
    });
    assert_eq!(*OUTCOMES.lock().unwrap(), BTreeSet::from([2, 4]));
}

/// A full buffer is applied by its reader while a writer comes.
#[test]
fn a_reader_that_applies_its_buffer_excludes_a_writer() {
    check(|| {
        let shared = World::shared();
        let readers = vec![reader(&shared, 0, 2), reader(&shared, 1, 1)];
        shared.write(|writer| writer.value.set(Some(1)));
        let (seen, uses) = settle(&shared, readers);
        assert_eq!(uses, seen[..2]);
    });
}

/// Writers exclude each other, and the garbage collector's look either fails or sees a whole value.
#[test]
fn writers_exclude_each_other_and_a_look() {
    static LOOKS: Mutex<BTreeSet<Option<Option<usize>>>> = Mutex::new(BTreeSet::new());
    check(|| {
        let shared = World::shared();
        let others: Vec<_> = (0..2)
            .map(|n| {
                let shared = Arc::clone(&shared);
                spawn(move || {
                    shared.write(|writer| {
                        let entry = writer.value.entry();
                        writer.value.set(None);
                        writer.value.set(entry.map(|entry| entry + n + 1));
                    });
                })
            })
            .collect();
        let look = shared.try_read(World::entry);
        LOOKS.lock().unwrap().insert(look);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(shared.write(|writer| writer.value.entry()), Some(3));
    });
    let looks = LOOKS.lock().unwrap();
    assert_eq!(*looks, BTreeSet::from([None, Some(Some(0)), Some(Some(1)), Some(Some(2)), Some(Some(3))]));
}

/// Counters that are read and zeroed meanwhile lose nothing and count nothing twice.
#[test]
fn counters_are_exact_when_they_are_reset() {
    check(|| {
        let shared = World::shared();
        let threads = [reader(&shared, 0, 1), reader(&shared, 1, 1)];
        let (before, _) = shared.write(|writer| {
            let counters = writer.counters();
            writer.reset_counters();
            counters
        });
        assert!(threads.into_iter().all(|thread| thread.join().is_ok()));
        let (after, misses) = shared.write(|writer| writer.counters());
        assert_eq!((before + after, misses), (2, 0));
    });
}
