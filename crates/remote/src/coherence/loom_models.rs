//! Loom: the orders of near hits, fills, pushes, epochs and waits, in the code that ships; and that each fault shows.
//!
//! `make test-loom`. The server is a queue under a lock: what is written is told, and then acknowledged. Time is the number
//! of writes that were acknowledged: a heartbeat that is sent after the first write confirms `AFTER`, and the reader asks for
//! no less. So a hit that it gets must not be of before that write.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

use loom::sync::{Arc, Mutex};
use loom::thread;
use shared::file::fixed::{Content, FixedFile};

use super::layout::{at, Stripe, HALVES};
use super::stamp::Pair;
use super::words::{Mutant, Words};

const KEY: Stripe = Stripe::value(0);
const BEFORE: u64 = 10;
const AFTER: u64 = 11;

fn words(mutant: Mutant) -> Arc<Words> {
    let mut words = vec![0; at::END];
    words[at::EPOCH] = 5;
    let mut words = Words::new(FixedFile::model(&Content { words, halves: vec![7; HALVES] }));
    words.mutant = mutant;
    Arc::new(words)
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// A model of this fault must not hold.
fn must_fail(what: &str, f: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err(), "{what}: nobody noticed");
}

#[derive(Clone, Copy)]
enum Message {
    Key,
    Flush,
    Heartbeat(u64),
}

struct Server {
    version: u64,
    tracked: bool,
    told: Vec<Message>,
}

impl Server {
    fn new(tracked: bool) -> Arc<Mutex<Server>> {
        Arc::new(Mutex::new(Server { version: 0, tracked, told: Vec::new() }))
    }

    fn write(&mut self, what: Message) {
        self.version = 1;
        if self.tracked {
            self.told.push(what);
        }
    }

    /// A heartbeat is sent, and told of in its turn.
    fn beat(&mut self) {
        let sent = BEFORE + self.version;
        self.told.push(Message::Heartbeat(sent));
    }
}

fn hear(words: &Words, server: &Mutex<Server>, ignores_flushes: bool) {
    let told = std::mem::take(&mut server.lock().unwrap().told);
    for message in told {
        match message {
            Message::Key => words.raise(&[KEY]),
            Message::Flush if ignores_flushes => {}
            Message::Flush => words.raise_epoch(),
            Message::Heartbeat(sent) => words.confirm(sent),
        }
    }
}

type Entry = Arc<Mutex<Option<(Pair, u64)>>>;

/// The whole near hit; what it returns.
fn read(words: &Words, entry: &Entry) -> Option<u64> {
    let look = words.look(AFTER, 1)?;
    let (kept, version) = (*entry.lock().unwrap())?;
    words.holds(&look, kept, &[KEY]).then_some(version)
}

fn check(hit: Option<u64>) {
    assert!(hit != Some(0), "a near hit of what was overwritten before the confirmation");
}

/// A reader, an entry from before the write, and a listener that is told of it.
fn told(mutant: Mutant, what: Message, ignores_flushes: bool, reader: fn(&Words, &Entry) -> Option<u64>) {
    model(move || {
        let (words, server) = (words(mutant), Server::new(true));
        let entry: Entry = Arc::new(Mutex::new(Some((words.pair(&[KEY]), 0))));
        let (listening, its) = (words.clone(), server.clone());
        let listener = thread::spawn(move || {
            its.lock().unwrap().beat();
            hear(&listening, &its, ignores_flushes);
            its.lock().unwrap().beat();
            hear(&listening, &its, ignores_flushes);
        });
        let writer = thread::spawn(move || server.lock().unwrap().write(what));
        check(reader(&words, &entry));
        writer.join().unwrap();
        listener.join().unwrap();
    });
}

#[test]
fn what_is_confirmed_is_in_the_stripes() {
    told(Mutant::None, Message::Key, false, read);
}

#[test]
fn a_flush_voids_all() {
    told(Mutant::None, Message::Flush, false, read);
}

#[test]
fn a_flush_that_is_ignored_shows() {
    must_fail("flush", || told(Mutant::None, Message::Flush, true, read));
}

#[test]
fn a_confirmation_that_orders_nothing_shows() {
    must_fail("relaxed", || told(Mutant::RelaxedConfirmation, Message::Key, false, read));
}

#[test]
fn an_entry_that_is_judged_before_the_confirmation_shows() {
    must_fail("entry first", || {
        told(Mutant::None, Message::Key, false, |words, entry| {
            let look = words.look_unconfirmed();
            let (kept, version) = (*entry.lock().unwrap())?;
            let holds = words.holds(&look, kept, &[KEY]);
            words.look(AFTER, 1).filter(|_| holds).map(|_| version)
        });
    });
}

#[test]
fn an_epoch_that_is_read_before_the_confirmation_shows() {
    must_fail("epoch first", || {
        told(Mutant::None, Message::Flush, false, |words, entry| {
            let look = words.look_unconfirmed();
            words.look(AFTER, 1)?;
            let (kept, version) = (*entry.lock().unwrap())?;
            words.holds(&look, kept, &[KEY]).then_some(version)
        });
    });
}

#[derive(Clone, Copy, PartialEq)]
enum Fill {
    AsDesigned,
    StampAfter,
    EpochAfter,
}

#[derive(Clone, Copy, PartialEq)]
enum Begin {
    AsDesigned,
    NoEpoch,
    EpochBeforeConsent,
}

/// A fetch while the server is written to and tells a listener, which is tracked already or (`begin`) begins to be.
fn filled(fill: Fill, begin: Option<Begin>) {
    model(move || {
        let (words, server) = (words(Mutant::None), Server::new(begin.is_none()));
        let entry: Entry = Arc::new(Mutex::new(None));
        let (listening, its) = (words.clone(), server.clone());
        let listener = thread::spawn(move || {
            if begin == Some(Begin::EpochBeforeConsent) {
                listening.publish(1, 1, 1);
            }
            its.lock().unwrap().tracked = true;
            if begin == Some(Begin::AsDesigned) {
                listening.publish(1, 1, 1);
            }
            its.lock().unwrap().beat();
            hear(&listening, &its, false);
        });
        let (fetching, from, to) = (words.clone(), server.clone(), entry.clone());
        let fetcher = thread::spawn(move || {
            let before = fetching.pair(&[KEY]);
            let version = from.lock().unwrap().version;
            let pair = match fill {
                Fill::AsDesigned => before,
                Fill::StampAfter => fetching.pair(&[KEY]),
                Fill::EpochAfter => Pair { epoch: fetching.epoch(), ..before },
            };
            *to.lock().unwrap() = Some((pair, version));
        });
        server.lock().unwrap().write(Message::Key);
        listener.join().unwrap();
        check(read(&words, &entry));
        fetcher.join().unwrap();
        check(read(&words, &entry));
    });
}

#[test]
fn a_fill_that_a_push_overtakes_is_void() {
    filled(Fill::AsDesigned, None);
}

#[test]
fn a_stamp_that_is_read_after_the_value_shows() {
    must_fail("stamp after", || filled(Fill::StampAfter, None));
}

#[test]
fn a_session_that_begins_voids_what_was_read_before() {
    filled(Fill::AsDesigned, Some(Begin::AsDesigned));
}

#[test]
fn a_session_without_an_epoch_shows() {
    must_fail("no epoch", || filled(Fill::AsDesigned, Some(Begin::NoEpoch)));
}

#[test]
fn an_epoch_from_before_the_servers_consent_shows() {
    must_fail("epoch early", || filled(Fill::AsDesigned, Some(Begin::EpochBeforeConsent)));
}

#[test]
fn an_epoch_that_is_read_after_the_value_shows() {
    must_fail("epoch after", || filled(Fill::EpochAfter, Some(Begin::AsDesigned)));
}

/// Somebody is about to sleep while the key is told of, or all is voided.
fn woken(mutant: Mutant, epoch: bool) {
    model(move || {
        let words = words(mutant);
        let seen = words.pair(&[KEY]);
        let telling = words.clone();
        let teller = thread::spawn(move || if epoch { telling.raise_epoch() } else { telling.raise(&[KEY]) });
        let bell = words.may_sleep(KEY, seen, Duration::from_secs(10));
        teller.join().unwrap();
        let now = words.memory.half(KEY.bell()).load(std::sync::atomic::Ordering::Relaxed);
        assert!(bell != Some(now), "it sleeps, and nobody wakes it");
    });
}

#[test]
fn no_wake_is_lost() {
    woken(Mutant::None, false);
    woken(Mutant::None, true);
}

#[test]
fn without_fences_a_wake_is_lost() {
    must_fail("no fence", || woken(Mutant::NoFence, false));
}
