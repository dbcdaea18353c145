//! What a cache object does beyond a function's values: changes by comparison, and locks.

mod support;

use std::time::Duration;

use concurrency::boottime;
use redis::{cmd, Value};
use remote::tier::{Draft, Lock, Locking, Looked, Stored, Tier};
use support::tiers::{call, covered, draft, found, holds, mine, scope, told, wait, HOUR};
use support::{late, open, until, with_each_server};

#[test]
fn what_an_object_changes_it_changes_by_comparison() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let (a, b) = (call(&one, b"1"), call(&two, b"1"));
        assert!(one.read(&a).unwrap().is_none());
        assert_eq!(one.add(&a, draft(b"1"), |_| true), Ok(true));
        assert_eq!(two.add(&b, draft(b"2"), |_| true), Ok(false));
        let old = two.read(&b).unwrap().unwrap();
        let far = covered(&two, &b);
        assert_eq!(two.replace(&b, &old, draft(b"2")), Ok(true));
        assert!(!holds(&two, &far));
        assert_eq!(one.replace(&a, &old, draft(b"3")), Ok(false));
        assert_eq!(one.discard(&a, &old), Ok(false));
        let new = one.read(&a).unwrap().unwrap();
        assert_eq!(new.body, b"2");
        // Another life for the same body.
        let longer = Draft { lifetime: 2 * HOUR, fresh: 2 * HOUR, ..draft(&new.body) };
        assert_eq!(one.replace(&a, &new, longer), Ok(true));
        let new = one.read(&a).unwrap().unwrap();
        assert!(new.ends - boottime::now() > HOUR.as_nanos() as u64);
        assert_eq!(one.discard(&a, &new), Ok(true));
        assert!(two.read(&b).unwrap().is_none());
        // Neither a lease nor what was cleared is a value.
        let lease = mine(one.look(&a));
        assert_eq!(two.add(&b, draft(b"4"), |_| true), Ok(true));
        assert_eq!(one.store(&a, lease, draft(b"late")), Stored::Fenced);
        one.clear(&scope(&one)).unwrap();
        assert_eq!(two.add(&b, draft(b"5"), |_| true), Ok(true));
        assert_eq!(found(one.look(&a)).body, b"5");
        // Of many that count, none is lost.
        std::thread::scope(|scope| {
            for (tier, call) in [(&one, &a), (&two, &b)] {
                scope.spawn(move || {
                    for _ in 0..50 {
                        loop {
                            let found = tier.read(call).unwrap().unwrap();
                            let next: u64 = std::str::from_utf8(&found.body).unwrap().parse::<u64>().unwrap() + 1;
                            if tier.replace(call, &found, draft(next.to_string().as_bytes())).unwrap() {
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(one.peek(&a).unwrap().body, b"105");
    });
}

#[test]
fn a_lock_is_a_lease_without_a_value() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let [a, b] = [&one, &two].map(|tier| tier.scope(b"f.locks", None, HOUR).call(b"1", &[]).unwrap());
        let held = mine(one.look(&a));
        assert!(matches!(one.look(&a), Looked::Ours(..)));
        let waiting = two.look(&b);
        assert!(one.abandon(&a, held));
        let held = mine(wait(&two, &b, waiting));
        one.invalidate(&a).unwrap();
        assert!(!two.abandon(&b, held), "it was lost");
    });
}

#[test]
fn what_is_taken_out_is_known_to_have_been_there() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let keys: Vec<_> = (0..4).map(|i| call(&one, &[i])).collect();
        let calls: Vec<_> = keys.iter().collect();
        one.put(calls[0], draft(b"0")).unwrap();
        one.put(calls[1], draft(b"1")).unwrap();
        let tagged = scope(&one).call(&[2], &[b"tag"]).unwrap();
        one.put(&tagged, draft(b"2")).unwrap();
        let lease = mine(two.look(&call(&two, &[3])));
        one.invalidate_tags(&[one.tag(b"tag")]).unwrap();
        let far = covered(&two, &call(&two, &[0]));
        let taken = one.take_many(&calls).unwrap();
        let bodies: Vec<_> = taken.iter().map(|found| found.as_ref().map(|found| &found.body[..])).collect();
        assert_eq!(bodies, [Some(&b"0"[..]), Some(b"1"), None, None]);
        until("it is told", || !holds(&two, &far));
        assert_eq!(two.store(&call(&two, &[3]), lease, draft(b"late")), Stored::Fenced);
        assert!(one.read_many(&calls).unwrap().into_iter().all(|found| found.unwrap().is_none()));
        // A fence leaves values.
        let lease = mine(two.look(&call(&two, &[3])));
        one.put(calls[0], draft(b"0")).unwrap();
        [0, 3].iter().for_each(|i| one.fence(calls[*i]).unwrap());
        assert_eq!(two.store(&call(&two, &[3]), lease, draft(b"late")), Stored::Fenced);
        assert_eq!(one.read(calls[0]).unwrap().unwrap().body, b"0");
    });
}

#[test]
fn another_body_has_the_life_that_was_there() {
    with_each_server(&[], |server| {
        let one = told(&server.url());
        let a = call(&one, b"1");
        let life = Duration::from_secs(100);
        let short = |body| Draft { lifetime: life, fresh: life / 2, ..draft(body) };
        one.put(&a, short(b"0")).unwrap();
        let first = one.read(&a).unwrap().unwrap();
        for _ in 0..20 {
            let found = one.read(&a).unwrap().unwrap();
            assert_eq!(one.replace_body(&a, &found, draft(b"1")), Ok(true));
        }
        let last = one.read(&a).unwrap().unwrap();
        assert_eq!((&last.body[..], last.lifetime, last.fresh), (&b"1"[..], life, life / 2));
        // (By its reader's clock; the server's counts milliseconds.)
        let drift = last.ends.abs_diff(first.ends);
        assert!(drift < 5_000_000_000, "{drift} ns");
        assert_eq!(one.replace_body(&a, &first, draft(b"2")), Ok(false));
    });
}

#[test]
fn stamps_outlive_what_names_them() {
    with_each_server(&[], |server| {
        let one = told(&server.url());
        let month = Duration::from_secs(30 * 24 * 3600);
        let long = |body| Draft { lifetime: month, fresh: month, ..draft(body) };
        let a = scope(&one).call(b"1", &[b"tag"]).unwrap();
        one.put(&a, long(b"0")).unwrap();
        for key in ["wc1::k:#g:f", "wc1::k:#t:tag"] {
            let asked = open(&server.url(), late()).unwrap().request(cmd("PTTL").arg(key), late()).unwrap();
            let Value::Int(left) = asked else { panic!("{asked:?}") };
            assert!(left as u128 >= month.as_millis(), "{key}: {left}");
        }
    });
}

fn taken(locking: Locking) -> Box<Lock> {
    match locking {
        Locking::Taken(lock) => lock,
        Locking::Theirs(_) => panic!("somebody has it"),
    }
}

#[test]
fn a_lock_is_of_one_at_a_time() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let [a, b] = [&one, &two].map(|tier| tier.object_scopes(b"f", None, HOUR).1.call(b"1", &[]).unwrap());
        let is_free = |tier: &Tier, call| matches!(tier.lock(call, None), Ok(Locking::Taken(_)));
        let hour = Some(HOUR);
        for lasting in [None, hour] {
            assert!(!two.is_locked(&b).unwrap());
            let lock = taken(one.lock(&a, lasting).unwrap());
            assert!(!is_free(&one, &a) && !is_free(&two, &b));
            assert!(one.is_locked(&a).unwrap() && two.is_locked(&b).unwrap());
            // Neither a clear nor another object of the same name under another kind concerns it.
            one.clear(&one.object_scopes(b"f", None, HOUR).0).unwrap();
            one.clear(&scope(&one)).unwrap();
            let Ok(Locking::Theirs(waiting)) = two.lock(&b, lasting) else { panic!("it was taken") };
            std::thread::scope(|scope| {
                let woken = scope.spawn(|| two.wait_for_lock(&b, &waiting, Duration::from_secs(60)));
                assert_eq!(one.unlock(&a, &lock), Ok(true));
                assert!(woken.join().unwrap());
            });
            let next = taken(two.lock(&b, lasting).unwrap());
            assert_eq!(one.unlock(&a, &lock), Ok(false));
            assert_eq!(two.unlock(&b, &next), Ok(true));
        }
        // One with a time of its own falls free after it.
        let lock = taken(one.lock(&a, Some(Duration::from_millis(1))).unwrap());
        let next = loop {
            match two.lock(&b, hour).unwrap() {
                Locking::Taken(lock) => break lock,
                Locking::Theirs(waiting) => drop(two.wait_for_lock(&b, &waiting, Duration::from_secs(1))),
            }
        };
        assert_eq!(one.unlock(&a, &lock), Ok(false));
        assert_eq!(two.unlock(&b, &next), Ok(true));
    });
}
