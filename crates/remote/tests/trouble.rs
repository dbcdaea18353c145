//! The tier in trouble: servers that do not answer, answers that come late, connections that lead elsewhere.

mod support;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use concurrency::boottime;
use redis::{cmd, Value};
use remote::coherence::Tracking;
use remote::connection::Connection;
use remote::error::Error;
use remote::tier::{Cover, Failure, Looked, Tier, Why};
use support::forwarder::{Direction, Forwarder};
use support::host::attended;
use support::tiers::{call, compute, covered, found, holds, host, options, Apart};
use support::{drain, hostile_after_hello, late, open, programs, until, with_each_server, Server};

#[test]
fn a_server_that_does_not_answer_is_soon_not_asked_until_it_answers_again() {
    let url = hostile_after_hello(drain);
    let mut options = options(&url, None);
    options.timeout = Duration::from_millis(50);
    let tier = Tier::open(options).unwrap();
    let call = call(&tier, b"1");
    loop {
        match tier.look(&call) {
            // (A greeting of its listener that was answered counts as an answer, too.)
            Looked::Alone(cover, Why::Failed(Failure::Unanswered(Error::Timeout))) => assert!(cover.until > 0),
            Looked::Alone(_, Why::Failed(Failure::Open)) => break,
            other => panic!("{other:?}"),
        }
    }
    // What must be tried is.
    assert_eq!(tier.invalidate(&call), Err(Failure::Unanswered(Error::Timeout)));

    with_each_server(&[], |server| {
        let mut options = support::tiers::options(&server.url(), None);
        options.timeout = Duration::from_millis(250);
        let tier = Tier::open(options).unwrap();
        let call = support::tiers::call(&tier, b"1");
        until("it is stored", || match tier.look(&call) {
            Looked::Mine(lease) => tier.store(&call, lease, support::tiers::draft(b"1")) == remote::tier::Stored::Done,
            Looked::Found(_) => true,
            _ => false,
        });
        server.stop();
        until("it is not asked any more", || tier.peek(&call).is_none() && tier.is_down());
        server.resume();
        until("it is asked again", || tier.peek(&call).is_some());
    });
}

#[test]
fn who_waits_for_another_goes_on_when_the_server_is_known_to_be_gone() {
    for program in programs() {
        let server = Server::start(&program, &[], None).expect("a server");
        let (one, two) = (support::tiers::told(&server.url()), support::tiers::told(&server.url()));
        let (a, b) = (call(&one, b"1"), call(&two, b"1"));
        let Looked::Mine(_lease) = one.look(&a) else { panic!("somebody has it") };
        let Looked::Theirs(theirs) = two.look(&b) else { panic!("nobody has it") };
        drop(server);
        let mut theirs = Some(theirs);
        // How often in a row he waits on although nobody may ask. (Once or twice: whether one may changes as he looks.)
        let mut in_a_row = 0;
        until("he computes", || {
            let was_denied = two.is_denied();
            match two.wait(&b, theirs.take().unwrap(), Duration::ZERO) {
                Looked::Theirs(still) => {
                    in_a_row = if was_denied && two.is_denied() { in_a_row + 1 } else { 0 };
                    assert!(in_a_row < 10, "he sleeps until his next look");
                    theirs = Some(still);
                    false
                }
                looked => matches!(looked, Looked::Alone(..)),
            }
        });
    }
}

#[test]
fn what_is_no_answer_is_a_failure_and_no_value() {
    let answers: [&'static [u8]; 4] =
        [b"$5\r\nhello\r\n:1\r\n$-1\r\n", b":7\r\n", b"+OK\r\n:5\r\n+OK\r\n", b"-WRONGTYPE x\r\n:-1\r\n_\r\n"];
    for answer in answers {
        let url = hostile_after_hello(move |mut stream| {
            use std::io::{Read, Write};
            while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) && stream.write_all(answer).is_ok() {}
        });
        let mut options = options(&url, None);
        options.timeout = Duration::from_millis(200);
        let tier = Tier::open(options).unwrap();
        let call = call(&tier, b"1");
        assert!(matches!(tier.look(&call), Looked::Alone(..)), "{answer:?}");
        assert!(tier.peek(&call).is_none());
    }
}

fn gets(connection: &mut Connection) -> u64 {
    let text = match connection.request(cmd("INFO").arg("commandstats"), late()).unwrap() {
        Value::BulkString(text) => String::from_utf8(text).unwrap(),
        Value::VerbatimString { text, .. } => text,
        other => panic!("{other:?}"),
    };
    let calls = text.lines().find_map(|line| line.strip_prefix("cmdstat_pttl:calls=")).unwrap_or("0,");
    calls.split_once(',').unwrap().0.parse().unwrap()
}

#[test]
fn a_value_that_an_invalidation_overtakes_is_not_kept() {
    with_each_server(&[], |server| {
        let forwarder = Forwarder::to(server.port);
        let apart = Apart::new(&server.url(), &forwarder.url());
        let other = host(&server.url());
        let (call, at_other) = (call(&apart.tier, b"1"), call(&other, b"1"));
        compute(&other, &at_other, b"old");
        covered(&apart.tier, &call);
        let mut admin = open(&server.url(), late()).unwrap();
        let (before, seen) = (gets(&mut admin), apart.tier.pair(&call));
        forwarder.hold(Direction::ToClient);
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| apart.tier.look(&call));
            until("the server has answered", || gets(&mut admin) > before);
            other.invalidate(&at_other).unwrap();
            until("it is told", || apart.tier.pair(&call) != seen);
            let after = apart.tier.pair(&call);
            forwarder.release();
            let found = found(looking.join().unwrap());
            assert!(!holds(&apart.tier, &found));
            // With a pair from after the answer it would be.
            let later = Cover { pair: after, until: 0 };
            assert!(apart.tier.near(boottime::now()).holds(later, &found.stripes));
        });
    });
}

#[test]
fn what_another_server_gives_is_not_covered_by_this_ones_pushes() {
    for program in programs() {
        let [first, second] = [0, 1].map(|_| Server::start(&program, &[], None).unwrap());
        let forwarder = Forwarder::to(first.port);
        let tier = host(&forwarder.url());
        support::tiers::confirmed(&tier);
        // The listener's connection stays where it is; those for data lead elsewhere.
        forwarder.lead_to(second.port);
        let other = host(&second.url());
        let (call, at_other) = (call(&tier, b"1"), call(&other, b"1"));
        compute(&other, &at_other, b"old");
        let far = found(tier.look(&call));
        assert!(far.cover.until > boottime::now(), "it is kept for the staleness, if at all");
        other.invalidate(&at_other).unwrap();
        // Covered, it would be valid for good.
        let unproved = Cover { until: 0, ..far.cover };
        assert!(tier.near(boottime::now()).holds(unproved, &far.stripes));
    }
}

#[test]
fn a_stamp_that_is_soon_to_end_is_renewed_by_who_computes() {
    with_each_server(&[], |server| {
        let tier = host(&server.url());
        let call = call(&tier, b"1");
        compute(&tier, &call, b"1");
        let mut admin = open(&server.url(), late()).unwrap();
        let generation = b"wc1:test:k:#g:f";
        let shortened = admin.request(cmd("PEXPIRE").arg(generation).arg(3_600_000), late());
        assert_eq!(shortened, Ok(Value::Int(1)));
        tier.invalidate(&call).unwrap();
        compute(&tier, &call, b"2");
        let Ok(Value::Int(left)) = admin.request(cmd("PTTL").arg(generation), late()) else { panic!("a number") };
        assert!(left > 12 * 3_600_000, "{left}");
        assert_eq!(found(tier.look(&call)).body, b"2");
    });
}

#[test]
fn a_server_that_is_busy_is_not_taken_for_one_that_tells_nothing() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let url = hostile_after_hello(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"-BUSY a script runs\r\n");
        count.fetch_add(1, Ordering::Relaxed);
    });
    let host = attended(None, &url, Duration::from_millis(400));
    until("it was asked again", || asked.load(Ordering::Relaxed) > 2);
    assert_eq!(host.words().tracking(), Tracking::Unknown);
}
