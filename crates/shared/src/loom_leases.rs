//! Loom: leases, between leaders that end or die and those that wait. `loom_models` says how such models work.

use crate::loom_models::{done, model, put, world, TIMEOUT};
use crate::process::lease::{Acquired, Lease, Waited};
use crate::table::block::ReadBuf;
use crate::table::Table;
use loom::thread;
use std::sync::Arc;
use std::time::Duration;

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
