//! The coherence file and its stamps without a server.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use concurrency::boottime;
use proptest::prelude::*;
use tempfile::TempDir;

use super::file::Subject;
use super::layout::{at, Stripe};
use super::{Coherence, Pair, Tracking};
use crate::keys::{Keys, Name};

const SUBJECT: Subject<'_> = Subject { server: "localhost:6379/0", namespace: b"n" };
const SECOND: u64 = 1_000_000_000;

fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    directory
}

fn open(directory: &TempDir) -> Arc<Coherence> {
    let opened = Coherence::open(Some(directory.path()), SUBJECT).unwrap();
    assert!(opened.is_shared(), "{:?}", opened.why_private().map(ToString::to_string));
    opened
}

fn private() -> Arc<Coherence> {
    Coherence::open(None, SUBJECT).unwrap()
}

/// The files of a directory.
fn files(directory: &TempDir) -> Vec<PathBuf> {
    std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn hits(coherence: &Coherence, pair: Pair, stripes: &[Stripe]) -> bool {
    let words = coherence.words();
    words.look(boottime::now(), SECOND * 1000).is_some_and(|look| words.holds(&look, pair, stripes))
}

fn stripes() -> [Stripe; 3] {
    let (keys, name) = (Keys::new(b"n"), Name::new(b"f", None));
    let value = Stripe::of_value(&keys.call(&name, b"1").value);
    [value, Stripe::of_stamp(keys.generation(&name).as_bytes()), Stripe::of_stamp(keys.tag("t").as_bytes())]
}

#[test]
fn one_file_for_each_directory_server_and_namespace() {
    let (one, other) = (directory(), directory());
    let first = open(&one);
    assert!(Arc::ptr_eq(&first, &open(&one)));
    let elsewhere = open(&other);
    assert!(!Arc::ptr_eq(&first, &elsewhere));
    for subject in [Subject { server: "localhost:6379/1", ..SUBJECT }, Subject { namespace: b"m", ..SUBJECT }] {
        let opened = Coherence::open(Some(one.path()), subject).unwrap();
        assert!(opened.is_shared() && !Arc::ptr_eq(&first, &opened));
    }
    assert_eq!(files(&one).len(), 3);
    for file in files(&one) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(!name.contains("localhost") && !name.contains("6379"));
    }
    // Nothing that was kept under one is valid under the other.
    first.words().confirm(boottime::now());
    elsewhere.words().confirm(boottime::now());
    let pair = first.words().pair(&stripes());
    assert!(hits(&first, pair, &stripes()) && !hits(&elsewhere, pair, &stripes()));
    assert_eq!((first.words().epoch(), first.words().tracking()), (pair.epoch, Tracking::Unknown));
}

#[test]
fn a_directory_that_cannot_be_used_leaves_private_memory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let opened = Coherence::open(Some(directory.path()), SUBJECT).unwrap();
    assert!(!opened.is_shared() && opened.why_private().is_some() && files(&directory).is_empty());
    opened.words().confirm(boottime::now());
    let pair = opened.words().pair(&stripes());
    assert!(hits(&opened, pair, &stripes()));
    assert!(opened.words().memory.try_hold().unwrap().is_some());
}

#[test]
fn a_file_of_an_earlier_boot_or_a_damaged_one_is_replaced() {
    for (word, what) in [(at::MAGIC, 1), (at::VERSION, 7), (at::BOOT, 7), (at::CREATED, u64::MAX), (at::CHECKSUM, 7)] {
        let directory = directory();
        let pair = open(&directory).words().pair(&stripes());
        let [file] = &files(&directory)[..] else { panic!() };
        let mut bytes = std::fs::read(file).unwrap();
        bytes[word * 8..][..8].copy_from_slice(&u64::to_ne_bytes(what));
        std::fs::write(file, &bytes).unwrap();
        let new = open(&directory);
        assert_ne!(new.words().pair(&stripes()), pair);
        assert_eq!(files(&directory).len(), 1);
    }
}

#[test]
fn a_file_that_is_deleted_while_in_use_begins_anew() {
    let directory = directory();
    let old = open(&directory);
    old.words().confirm(boottime::now());
    let pair = old.words().pair(&stripes());
    std::fs::remove_file(&files(&directory)[0]).unwrap();
    let new = open(&directory);
    assert!(!Arc::ptr_eq(&old, &new));
    new.words().confirm(boottime::now());
    assert!(hits(&old, pair, &stripes()) && !hits(&new, pair, &stripes()));
}

#[test]
fn a_file_that_is_cut_short_validates_nothing() {
    let directory = directory();
    let cut = open(&directory);
    cut.words().confirm(boottime::now());
    let pair = cut.words().pair(&stripes());
    assert!(hits(&cut, pair, &stripes()));
    let file = std::fs::File::options().write(true).open(&files(&directory)[0]).unwrap();
    // The stripes only, then all.
    for length in [4096, 0] {
        file.set_len(length).unwrap();
        assert!(!hits(&cut, pair, &stripes()));
        // What this process writes there, no other one sees: it makes nothing valid.
        cut.words().raise(&stripes());
        cut.words().raise_epoch();
        cut.words().confirm(boottime::now());
        assert!(cut.words().is_lost() && cut.words().pair(&stripes()).is_void());
        assert!(!hits(&cut, pair, &stripes()));
    }
    // It is of no use any more, and nobody who comes is given it.
    assert!(!Arc::ptr_eq(&cut, &open(&directory)));
}

#[test]
fn confirmations_count_for_their_time_and_not_before_it() {
    let coherence = private();
    let words = coherence.words();
    let now = boottime::now();
    assert!(words.look(now, u64::MAX).is_none(), "nothing is confirmed yet");
    words.confirm(now);
    words.confirm(now - 1);
    assert!(words.look(now, 1).is_some() && words.look(now + 9, 10).is_some());
    assert!(words.look(now + 10, 10).is_none());
    // A clock that lags is read anew; a moment of the future is no confirmation.
    assert!(words.look(now - SECOND, 1000 * SECOND).is_some());
    words.confirm(now + 1000 * SECOND);
    assert!(words.look(now, u64::MAX).is_none());
}

#[test]
fn a_stripe_that_comes_to_0_raises_the_epoch_and_validates_nothing_meanwhile() {
    let coherence = private();
    let words = coherence.words();
    let [value, generation, _] = stripes();
    words.stripe(value).store(u32::MAX, Ordering::Relaxed);
    let pair = words.pair(&[value, generation]);
    words.raise(&[value]);
    assert_eq!((words.epoch(), words.stripe(value).load(Ordering::Relaxed)), (pair.epoch + 1, 1));
    words.stripe(value).store(0, Ordering::Relaxed);
    assert!(words.pair(&[value, generation]).is_void());
    assert!(words.with_more(words.pair(&[generation]), &[value]).is_void());
    assert!(words.with_more(Pair::VOID, &[generation]).is_void());
}

#[test]
fn who_waits_is_woken_by_the_key_or_by_an_epoch_and_by_nothing_else() {
    let coherence = private();
    let words = coherence.words();
    let [value, generation, _] = stripes();
    let long = Duration::from_secs(600);
    for wake in [|words: &super::Words| words.raise(&[stripes()[0]]), |words: &super::Words| words.raise_epoch()] {
        let seen = words.pair(&[value]);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| words.wait(value, seen, long));
            words.raise(&[generation]);
            wake(words);
            assert!(waiter.join().unwrap());
        });
    }
    assert!(!words.wait(value, words.pair(&[value]), Duration::from_millis(5)));
}

#[test]
fn the_smallest_staleness_counts_within_bounds() {
    let coherence = private();
    let words = coherence.words();
    for (asked, counts) in [(90_000, 60_000), (1000, 1000), (5000, 1000), (1, 20)] {
        words.ask_staleness(Duration::from_millis(asked));
        assert_eq!(words.staleness(), Duration::from_millis(counts));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Raise(usize),
    Epoch,
    Confirm,
}

proptest! {
    #[test]
    fn an_entry_holds_until_one_of_its_stripes_or_the_epoch_is_raised(
        steps in prop::collection::vec(
            prop_oneof![(0..3usize).prop_map(Step::Raise), Just(Step::Epoch), Just(Step::Confirm)], 0..20
        ),
        of in 1..4usize,
    ) {
        let coherence = private();
        let (words, all) = (coherence.words(), stripes());
        words.confirm(boottime::now());
        let kept = words.with_more(words.pair(&all[..1]), &all[1..of]);
        prop_assert_eq!(kept, words.pair(&all[..of]));
        let mut valid = true;
        for step in steps {
            match step {
                Step::Raise(i) => {
                    words.raise(&[all[i]]);
                    valid &= i >= of;
                }
                Step::Epoch => {
                    words.raise_epoch();
                    valid = false;
                }
                Step::Confirm => words.confirm(boottime::now()),
            }
            prop_assert_eq!(hits(&coherence, kept, &all[..of]), valid);
        }
    }
}
