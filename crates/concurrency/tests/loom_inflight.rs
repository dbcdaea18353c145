//! Single-flight under loom's model checker: every interleaving within a bound on preemptions. A wait that never ends is a
//! deadlock, which loom reports; so is a wake-up that is lost.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p concurrency --release --test loom_inflight`. What runs is the code that
//! ships, with loom's locks. Loom's waits have no timeouts, so a bound is either none or over from the start.
#![cfg(loom)]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use concurrency::inflight::{Flight, Outcome, Waited, Waiting};
use concurrency::thread_id::ThreadId;
use loom::sync::Arc;
use loom::thread::spawn;

const LONG: Duration = Duration::from_secs(1_000_000);
const NOW: Option<Duration> = Some(Duration::ZERO);

type Shared = Arc<Flight<u64>>;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(4));
    builder.check(model);
}

/// Waits to the end, or is refused.
fn wait(me: ThreadId, flight: &Flight<u64>) -> Option<Outcome<u64>> {
    let _waiting = Waiting::begin(me, flight)?;
    match flight.wait(LONG, None) {
        Waited::Outcome(outcome) => Some(outcome),
        other => panic!("{other:?}"),
    }
}

/// Thread `me` leads `own`, and on the way wants what `other` will bring. True if that was refused.
fn lead(me: ThreadId, own: &Flight<u64>, other: &Flight<u64>) -> bool {
    let refused = match wait(me, other) {
        None => true,
        Some(Outcome::Value(value)) => {
            assert_ne!(value, me);
            false
        }
        Some(outcome) => panic!("{outcome:?}"),
    };
    assert!(own.complete(Outcome::Value(me)).is_none());
    refused
}

/// A computes x and needs y, B computes y and needs x, and so on round: just one of the waits is refused.
fn a_cycle_of(length: ThreadId) {
    check(move || {
        let flights: Vec<Shared> = (1..=length).map(|leader| Arc::new(Flight::new(leader))).collect();
        let others: Vec<_> = (2..=length)
            .map(|me| {
                let own = Arc::clone(&flights[me as usize - 1]);
                let other = Arc::clone(&flights[(me % length) as usize]);
                spawn(move || lead(me, &own, &other))
            })
            .collect();
        let mut refused = usize::from(lead(1, &flights[0], &flights[1]));
        refused += others.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>();
        assert_eq!(refused, 1);
    });
}

#[test]
fn of_two_threads_that_need_each_other_one_is_refused() {
    a_cycle_of(2);
}

#[test]
fn of_three_threads_in_a_circle_one_is_refused() {
    a_cycle_of(3);
}

/// However the leader's end and the waits meet, all waiters get the outcome.
#[test]
fn every_waiter_gets_the_outcome() {
    check(|| {
        let flight: Shared = Arc::new(Flight::new(1));
        let waiters = [2, 3].map(|me| {
            let flight = Arc::clone(&flight);
            spawn(move || matches!(wait(me, &flight), Some(Outcome::Value(7))))
        });
        assert!(flight.complete(Outcome::Value(7)).is_none());
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
    });
}

/// A leader without an outcome to share: the waiters start over.
#[test]
fn an_abandoned_flight_wakes_its_waiters() {
    check(|| {
        let flight: Shared = Arc::new(Flight::new(1));
        let waiter = {
            let flight = Arc::clone(&flight);
            spawn(move || matches!(wait(2, &flight), Some(Outcome::Abandoned)))
        };
        assert!(flight.complete(Outcome::Abandoned).is_none());
        assert!(waiter.join().unwrap());
    });
}

/// The leader's time is up: a waiter takes over, or finds that the leader came first. Of the two who then compute, one
/// outcome counts, and it is what another waiter gets.
#[test]
fn of_an_old_and_a_new_leader_one_outcome_counts() {
    static WINNERS: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());
    check(|| {
        let flight: Shared = Arc::new(Flight::new(1));
        let successor = {
            let flight = Arc::clone(&flight);
            spawn(move || {
                let waiting = Waiting::begin(2, &flight).unwrap();
                let lead = match flight.wait(LONG, NOW) {
                    Waited::TimeIsUp => flight.take_over(2, Duration::ZERO),
                    Waited::Outcome(Outcome::Value(1)) => false,
                    other => panic!("{other:?}"),
                };
                drop(waiting);
                lead && flight.complete(Outcome::Value(2)).is_none()
            })
        };
        let waiter = {
            let flight = Arc::clone(&flight);
            spawn(move || wait(3, &flight))
        };
        let first = flight.complete(Outcome::Value(1)).is_none();
        let second = successor.join().unwrap();
        assert!(first != second);
        match waiter.join().unwrap() {
            Some(Outcome::Value(winner)) => {
                assert_eq!(winner, if first { 1 } else { 2 });
                WINNERS.lock().unwrap().insert(winner);
            }
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(*WINNERS.lock().unwrap(), BTreeSet::from([1, 2]));
}

/// Who takes over is then the one whom the other waiters wait for: a wait for one of these is refused, or theirs is.
#[test]
fn a_new_leader_can_not_close_a_cycle() {
    check(|| {
        // The first is led by a thread that never comes back; the second by 3, who needs the first.
        let flights: [Shared; 2] = [Arc::new(Flight::new(1)), Arc::new(Flight::new(3))];
        let waiter = {
            let [first, second] = flights.clone();
            spawn(move || lead(3, &second, &first))
        };
        let [first, second] = &flights;
        let waiting = Waiting::begin(2, first).unwrap();
        assert!(matches!(first.wait(LONG, NOW), Waited::TimeIsUp));
        assert!(first.take_over(2, Duration::ZERO));
        drop(waiting);
        let refused = lead(2, first, second);
        assert!(refused != waiter.join().unwrap());
    });
}

/// One thread runs two green threads; one of them waits for 3, and the other wants what 2 computes, which needs what this
/// thread computes. Whatever the order of the registrations, no cycle is closed, and all that is let in ends.
#[test]
fn of_two_green_threads_none_closes_a_cycle() {
    check(|| {
        let flights: Vec<Shared> = [1, 2, 3].map(|leader| Arc::new(Flight::new(leader))).into();
        let second = {
            let flights = flights.clone();
            spawn(move || lead(2, &flights[1], &flights[0]))
        };
        let third = {
            let flights = flights.clone();
            spawn(move || assert!(flights[2].complete(Outcome::Value(3)).is_none()))
        };
        // Both wait at once; as the thread is not blocked, what it computes ends, too.
        let one = Waiting::begin_green(1, &flights[2]).expect("3 waits for nobody");
        let other = Waiting::begin_green(1, &flights[1]);
        let refused = other.is_none();
        drop(one);
        if !refused {
            // 2 was refused, or is about to be, or has been through: its computation ends without this thread's.
            assert!(matches!(flights[1].wait(LONG, None), Waited::Outcome(Outcome::Value(2))));
        }
        drop(other);
        assert!(flights[0].complete(Outcome::Value(1)).is_none());
        let second_refused = second.join().unwrap();
        assert!(refused || second_refused, "a cycle");
        third.join().unwrap();
    });
}
