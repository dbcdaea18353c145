//! Leases: who is given one, who waits, how a wait ends, and who takes a lease over.

use super::*;

/// What a waiter learns of how its wait ended: it decides who waits on.
#[test]
fn a_waiter_knows_how_the_computation_ended() {
    use std::time::Duration;
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let (a, b, c) = (open_isolated(&o), open_isolated(&o), open_isolated(&o));
    let (ten, none) = (Duration::from_secs(10), Duration::ZERO);
    let lead = |of: &SharedCache, bound, force| match of.acquire(b"k", bound, force) {
        Acquired::Leader(lease) => lease,
        other => panic!("{other:?}"),
    };
    let follow = || match b.acquire(b"k", ten, false) {
        Acquired::Follower(ticket) => ticket,
        other => panic!("{other:?}"),
    };
    // Given up; and so it stays, whoever leads next.
    let lease = lead(&a, ten, false);
    let ticket = follow();
    assert_eq!(b.wait(&ticket, none), Waited::NotYet);
    a.abandon(lease);
    assert_eq!(b.wait(&ticket, none), Waited::Ended);
    let lease = lead(&c, ten, false);
    assert_eq!(b.wait(&ticket, none), Waited::Ended);
    c.abandon(lease);
    assert_eq!(b.wait(&ticket, none), Waited::Ended);
    // The same by what is its caller's alone. How the next one ends, is no matter, nor where another key has the place.
    for (again, key) in [(false, &b"k"[..]), (true, b"k"), (false, b"k"), (true, b"other")] {
        let lease = lead(&a, ten, false);
        let ticket = follow();
        a.abandon_privately(lease);
        assert_eq!(b.wait(&ticket, none), Waited::EndedPrivately);
        let Acquired::Leader(lease) = c.acquire(key, ten, false) else { panic!() };
        assert_eq!(b.wait(&ticket, none), Waited::EndedPrivately);
        if again {
            c.abandon_privately(lease);
            assert_eq!(b.wait(&ticket, none), Waited::EndedPrivately);
        } else {
            c.abandon(lease);
        }
    }
    // Many have come and gone.
    let lease = lead(&a, ten, false);
    let ticket = follow();
    a.abandon(lease);
    let lease = lead(&a, ten, false);
    a.abandon(lease);
    let lease = lead(&a, ten, false);
    assert_eq!(b.wait(&ticket, none), Waited::EndedPrivately, "nobody knows");
    a.abandon(lease);
    // Not stored: no room for it.
    let lease = lead(&a, ten, false);
    let ticket = follow();
    assert_eq!(a.complete(lease, b"k", &vec![0; 1 << 24], NEVER), Stored::TooLarge);
    assert_eq!(b.wait(&ticket, none), Waited::Ended);
    // Taken over from a living owner: by whom, is no matter; how that one ends, is.
    let first = lead(&a, ten, false);
    let ticket = follow();
    let second = lead(&c, ten, true);
    assert_eq!(b.wait(&ticket, none), Waited::Overdue);
    a.abandon(first);
    assert_eq!(b.wait(&ticket, none), Waited::Overdue, "it was no longer the first one's to end");
    c.abandon(second);
    assert_eq!(b.wait(&ticket, none), Waited::Ended);
    // Left: one of those who wait computes, and the others may wait for that one.
    let lease = lead(&a, ten, false);
    let ticket = follow();
    a.leave(lease);
    assert_eq!(b.wait(&ticket, none), Waited::Lost);
    let lease = lead(&c, ten, false);
    assert_eq!(b.wait(&ticket, none), Waited::Lost);
    let ticket = follow();
    assert_eq!(b.wait(&ticket, none), Waited::NotYet);
    c.leave(lease);
    assert_eq!(b.wait(&ticket, none), Waited::Lost);
    let lease = lead(&a, ten, false);
    a.abandon(lease);
    assert_eq!(b.wait(&ticket, none), Waited::Ended);
    // Its deadline has come.
    let lease = lead(&a, Duration::from_millis(1), false);
    let ticket = match b.acquire(b"k", ten, false) {
        Acquired::Follower(ticket) => Some(ticket),
        _ => None,
    };
    std::thread::sleep(Duration::from_millis(2));
    if let Some(ticket) = ticket {
        assert_eq!(b.wait(&ticket, none), Waited::Overdue);
    }
    a.abandon(lease);
    // Cleared: what is being computed is not stored.
    for successor in [false, true] {
        let lease = lead(&a, ten, false);
        let Acquired::Follower(ticket) = b.acquire(b"k", ten, false) else { panic!() };
        c.clear();
        let next = successor.then(|| lead(&c, ten, false));
        assert_eq!(b.wait(&ticket, none), Waited::Lost);
        a.abandon(lease);
        next.into_iter().for_each(|lease| c.abandon(lease));
        assert_eq!(b.wait(&ticket, none), Waited::Ended);
    }
}

/// A miss asks for its lease without looking again, unless something has changed in the file since it looked.
#[test]
fn who_has_looked_in_vain_is_told_what_came_since() {
    use std::time::Duration;
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 100);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    let hash = a.hash(b"k");
    let look = || {
        let changes = a.changes();
        assert!(a.get_hashed(hash, b"k", &mut ReadBuf::new()).is_none());
        Sought { key: b"k", hash, absent_since: Some(changes) }
    };
    let ask = |sought: &Sought<'_>| a.acquire_sought(Purpose::Miss, sought, &Tags::NONE, Duration::from_secs(9), false);
    let leads = |sought: &Sought<'_>| match ask(sought) {
        Acquired::Leader(lease) => lease,
        other => panic!("{other:?}"),
    };
    // Nothing has changed; something else has; all was cleared.
    a.abandon(leads(&look()));
    let sought = look();
    b.set(b"other", b"v", NEVER);
    a.abandon(leads(&sought));
    let sought = look();
    b.clear();
    a.abandon(leads(&sought));
    // The value came.
    let sought = look();
    b.set(b"k", b"theirs", NEVER);
    assert!(matches!(ask(&sought), Acquired::Present));
    // Damage hides that: it is computed once more, and what is there stays.
    a.table().region.set(crate::file::layout::ctl!(change_seq), sought.absent_since.unwrap());
    assert_eq!(a.complete(leads(&sought), b"k", b"ours", NEVER), Stored::Outdated);
    let mut buf = ReadBuf::new();
    assert!(a.get_hashed(hash, b"k", &mut buf).is_some() && buf.value() == b"theirs");
    assert_eq!(a.info().repairs, 0);
}

/// The owner goes between the look of who takes its lease over and the taking: whoever asks leads all the same, and those
/// who wait learn of it as if the owner had gone before.
#[test]
fn who_takes_a_lease_over_leads_though_the_owner_goes_at_that_moment() {
    use crate::file::layout::{lease_at, Lease as Record, LEASES};
    use core::mem::offset_of;
    use std::time::Duration;
    for ended in [Waited::Ended, Waited::EndedPrivately, Waited::Lost] {
        let dir = tempfile::tempdir().unwrap();
        let o = options(&dir, Strategy::Lru, 10);
        let (a, b, c) = (std::sync::Arc::new(open_isolated(&o)), open_isolated(&o), open_isolated(&o));
        let (ten, none) = (Duration::from_secs(10), Duration::ZERO);
        let Acquired::Leader(lease) = a.acquire(b"k", ten, false) else { panic!() };
        let Acquired::Follower(ticket) = c.acquire(b"k", ten, false) else { panic!() };
        b.table().identity();
        let (owner, lease) = (a.clone(), std::sync::Mutex::new(Some(lease)));
        // Within `acquire` the deadline is written after the state was looked at, and before it is exchanged.
        let (region, hash) = (&b.table().region, b.hash(b"k"));
        let record = (0..LEASES).map(lease_at).find(|at| region.get(*at + offset_of!(Record, hash) as u64) == hash);
        let deadline = record.unwrap() + offset_of!(Record, deadline) as u64;
        let before = region.get(deadline);
        let hook = move |region: &crate::file::mapping::Region| {
            if region.get(deadline) != before {
                if let Some(lease) = lease.lock().unwrap().take() {
                    match ended {
                        Waited::Lost => owner.leave(lease),
                        Waited::EndedPrivately => owner.abandon_privately(lease),
                        _ => owner.abandon(lease),
                    }
                }
            }
        };
        assert!(b.table().region.hook.set(Box::new(hook)).is_ok());
        let Acquired::Leader(next) = b.acquire(b"k", Duration::from_secs(20), true) else { panic!("{ended:?}") };
        assert_eq!(c.wait(&ticket, none), ended);
        let Acquired::Follower(ticket) = c.acquire(b"k", ten, false) else { panic!("{ended:?}") };
        b.abandon(next);
        assert_eq!(c.wait(&ticket, none), Waited::Ended);
    }
}

#[test]
fn leases_are_given_once_taken_over_and_waited_for() {
    use std::time::{Duration, Instant};
    let dir = tempfile::tempdir().unwrap();
    let o = options(&dir, Strategy::Lru, 10);
    let (a, b) = (open_isolated(&o), open_isolated(&o));
    let ten = Duration::from_secs(10);
    let Acquired::Leader(lease) = a.acquire(b"k", ten, false) else { panic!() };
    let Acquired::Follower(ticket) = b.acquire(b"k", ten, false) else { panic!() };
    assert!(!ticket.mine);
    assert_eq!(b.wait(&ticket, Duration::from_millis(5)), Waited::NotYet);
    std::thread::scope(|s| {
        let waiter = s.spawn(|| {
            let since = Instant::now();
            assert_eq!(b.wait(&ticket, ten), Waited::Ended);
            assert!(since.elapsed() < Duration::from_secs(2));
            let mut buf = ReadBuf::new();
            b.get(b"k", &mut buf).unwrap();
            assert_eq!(buf.value(), b"v");
        });
        std::thread::sleep(Duration::from_millis(30));
        assert!(matches!(a.complete(lease, b"k", b"v", NEVER), Stored::Done(_)));
        waiter.join().unwrap();
    });
    // Set by hand meanwhile: not stored over it.
    let Acquired::Leader(lease) = a.acquire(b"s", ten, false) else { panic!() };
    b.set(b"s", b"by hand", NEVER);
    assert_eq!(a.complete(lease, b"s", b"computed", NEVER), Stored::Outdated);
    // Cleared meanwhile: not stored, and others begin anew.
    let Acquired::Leader(lease) = a.acquire(b"c", ten, false) else { panic!() };
    b.clear();
    let Acquired::Leader(second) = b.acquire(b"c", ten, false) else { panic!() };
    assert_eq!(a.complete(lease, b"c", b"old", NEVER), Stored::Outdated);
    assert!(matches!(b.complete(second, b"c", b"new", NEVER), Stored::Done(_)));
    // Past its deadline.
    let Acquired::Leader(late) = a.acquire(b"d", Duration::ZERO, false) else { panic!() };
    let Acquired::Leader(taken) = b.acquire(b"d", ten, false) else { panic!() };
    assert!(matches!(a.complete(late, b"d", b"late", NEVER), Stored::Done(_)), "a late result is as good");
    b.abandon(taken);
    assert!(matches!(b.acquire(b"d", ten, false), Acquired::Present), "not computed a second time");
    b.invalidate(b"d").unwrap();
    assert!(matches!(b.acquire(b"d", ten, false), Acquired::Leader(_)));
    assert!(matches!(a.acquire(b"d", ten, true), Acquired::Leader(_)), "insisting");
}
