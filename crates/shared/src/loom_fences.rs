//! Loom: an invalidation against a computation that stores, and against a reader. `loom_models` says how such models work.

use crate::file::atomic::{AtomicU64, Ordering};
use crate::loom_models::{faulty, model, must_fail, world, TIMEOUT};
use crate::table::block::ReadBuf;
use crate::table::head::{Freshness, Terms};
use crate::table::reading::{Remembered, NEVER};
use crate::table::storing::Put;
use crate::table::{Mutant, Table};
use loom::thread;
use std::sync::Arc;

/// What stands for a source of values: a word of which computations take a byte.
fn compute(source: &AtomicU64) -> [u8; 1] {
    // Relaxed: what orders it is what is to be proved.
    [source.load(Ordering::Relaxed) as u8]
}

/// What a lookup finds.
fn found(table: &Table) -> Option<u8> {
    let mut buf = ReadBuf::new();
    let hit = table.find(table.hash(b"k"), b"k", &mut buf)?;
    (table.freshness(&hit) != Freshness::Gone).then(|| buf.value()[0])
}

/// The source changes, and the key is invalidated, while it is being computed: by then, or later, nobody finds the old value.
fn fence_against_a_store(mutant: Mutant) {
    model("a fence against a store", 2, move || {
        let process = world();
        let (computing, other) = (process(1), faulty(process(2), mutant));
        let source = Arc::new(AtomicU64::new(0));
        let from = source.clone();
        let t = thread::spawn(move || {
            let hash = computing.hash(b"k");
            let began = computing.begin(hash);
            let block = computing.prepare(hash, b"k", &compute(&from), &NEVER.into()).unwrap();
            if let Ok(guard) = computing.lock(TIMEOUT) {
                computing.put(&guard, b"k", &block, Put { began: Some(began), ..Put::WHATEVER });
            }
        });
        source.store(1, Ordering::Relaxed);
        other.invalidate(b"k").unwrap();
        assert_ne!(found(&other), Some(0), "served after the invalidation");
        t.join().unwrap();
        assert_ne!(found(&other), Some(0), "stored after the invalidation");
    });
}

#[test]
fn a_fence_against_a_store() {
    fence_against_a_store(Mutant::None);
    must_fail("without the stamp", || fence_against_a_store(Mutant::NoStamp));
}

/// The same with a tag: its stamp is changed without the lock. `late`: the computation notes the stamp when it is done.
fn tag_against_a_reader(late: bool) {
    model("a tag against a reader", 2, move || {
        let process = world();
        let (computing, other) = (process(1), process(2));
        let source = Arc::new(AtomicU64::new(0));
        let from = source.clone();
        let t = thread::spawn(move || {
            let early = computing.tags(&[3]);
            let value = compute(&from);
            let tags = if late { computing.tags(&[3]) } else { early };
            let terms = Terms { tags, ..NEVER.into() };
            let block = computing.prepare(computing.hash(b"k"), b"k", &value, &terms).unwrap();
            if let Ok(guard) = computing.lock(TIMEOUT) {
                computing.put(&guard, b"k", &block, Put::WHATEVER);
            }
        });
        source.store(1, Ordering::Relaxed);
        other.invalidate_tags(&[3]).unwrap();
        assert_ne!(found(&other), Some(0), "served after the invalidation");
        t.join().unwrap();
        assert_ne!(found(&other), Some(0), "stored as valid after the invalidation");
    });
}

#[test]
fn a_tag_against_a_reader() {
    tag_against_a_reader(false);
    must_fail("the stamp noted late", || tag_against_a_reader(true));
}

/// An entry is found, remembered and hit again while its tag is invalidated: whoever finds it may remember it, and hits it no
/// more once that has returned.
fn tag_against_a_remembered_hit(mutant: Mutant) {
    model("a tag against a remembered hit", 3, move || {
        let process = world();
        let (reading, other) = (process(1), faulty(process(2), mutant));
        let terms = Terms { tags: other.tags(&[3]), ..NEVER.into() };
        let block = other.prepare(other.hash(b"k"), b"k", &[0], &terms).unwrap();
        other.put(&other.lock(TIMEOUT).unwrap(), b"k", &block, Put::WHATEVER);
        let finder = reading.clone();
        let t = thread::spawn(move || {
            let hit = finder.find(finder.hash(b"k"), b"k", &mut ReadBuf::new()).unwrap();
            let remembered = Remembered::from(hit);
            // The second one goes by what the first has remembered.
            let held = [finder.tags_hold_again(&remembered), finder.tags_hold_again(&remembered)];
            assert!(held[0] || !held[1], "valid again");
            remembered
        });
        other.invalidate_tags(&[3]).unwrap();
        let remembered = t.join().unwrap();
        assert!(!reading.tags_hold_again(&remembered), "hit after the invalidation");
    });
}

#[test]
fn a_tag_against_a_remembered_hit() {
    tag_against_a_remembered_hit(Mutant::None);
    must_fail("the epoch before the stamps", || tag_against_a_remembered_hit(Mutant::EpochFirst));
}
