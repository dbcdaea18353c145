//! The tier with real servers: what two hosts see of each other's values, leases and invalidations.

mod support;

use std::time::Duration;

use concurrency::boottime;
use redis::{cmd, Value};
use remote::envelope::Kind;
use remote::tier::{Draft, Failure, Looked, Stored, Tier, Why};
use support::tiers::{
    call, compute, covered, draft, found, holds, host, mine, options, scope, theirs, told, wait, HOUR,
};
use support::{late, open, until, with_each_server};

#[test]
fn what_one_host_computes_another_finds_and_keeps_near() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let (a, b) = (call(&one, b"1"), call(&two, b"1"));
        compute(&one, &a, b"value");
        let far = covered(&two, &b);
        assert_eq!((far.kind, &far.body[..], far.computed), (Kind::Value, &b"value"[..], Duration::from_millis(3)));
        let now = boottime::now();
        assert!(far.fresh_until > now && far.ends >= far.fresh_until && far.ends - now <= HOUR.as_nanos() as u64);
        assert!(holds(&two, &far));
        assert_eq!(two.peek(&b).unwrap().body, b"value");

        // An invalidation here, and one that is told.
        let here = covered(&one, &a);
        assert_eq!(one.invalidate(&a), Ok(true));
        assert!(!holds(&one, &here), "near copies are void at once");
        until("it is told", || !holds(&two, &far));
        assert_eq!(one.invalidate(&a), Ok(false));
        assert!(two.peek(&b).is_none());
    });
}

#[test]
fn long_keys_exceptions_and_large_bodies() {
    with_each_server(&[], |server| {
        let tier = host(&server.url());
        let key = vec![7; 100_000];
        let call = call(&tier, &key);
        let body: Vec<u8> = (0..1_000_000u32).flat_map(|n| (n / 100).to_le_bytes()).collect();
        let lease = mine(tier.look(&call));
        let raised = Draft { kind: Kind::Exception, ..draft(&body) };
        assert_eq!(tier.store(&call, lease, raised), Stored::Done);
        let found = found(tier.look(&call));
        assert!(found.kind == Kind::Exception && found.body == body);
        assert_eq!(tier.invalidate(&call), Ok(true));
    });
}

#[test]
fn an_invalidation_during_a_computation_fences_its_store() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let (a, b) = (call(&one, b"1"), call(&two, b"1"));
        let lease = mine(one.look(&a));
        // A lease is no value.
        assert_eq!(two.invalidate(&b), Ok(false));
        assert_eq!(one.store(&a, lease, draft(b"old")), Stored::Fenced);
        assert!(two.peek(&b).is_none());

        let lease = mine(one.look(&a));
        two.put(&b, draft(b"set")).unwrap();
        assert_eq!(one.store(&a, lease, draft(b"old")), Stored::Fenced);
        assert_eq!(found(one.look(&a)).body, b"set");

        // Cleared: what was computed before is stored, and does not count.
        two.invalidate(&b).unwrap();
        let lease = mine(one.look(&a));
        two.clear(&scope(&two)).unwrap();
        one.store(&a, lease, draft(b"old"));
        assert!(two.peek(&b).is_none());
        compute(&two, &b, b"new");
        assert_eq!(found(one.look(&a)).body, b"new");
    });
}

#[test]
fn a_clear_voids_a_scope_and_no_other() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let (a, b) = (call(&one, b"1"), call(&two, b"1"));
        let other = two.scope(b"g", Some(b"2"), HOUR).call(b"1", &[]).unwrap();
        compute(&one, &a, b"1");
        compute(&two, &other, b"2");
        let (far, others) = (covered(&two, &b), covered(&two, &other));
        let (at_home, home) = (covered(&one, &a), scope(&one));
        one.clear(&home).unwrap();
        assert!(!holds(&one, &at_home));
        until("it is told", || !holds(&two, &far));
        assert!(holds(&two, &others));
        assert!(two.peek(&b).is_none() && two.peek(&other).is_some());
    });
}

#[test]
fn tags_void_what_has_them_in_every_scope() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let tagged = one.scope(b"f", None, HOUR).call(b"1", &[b"user:1", b"all"]).unwrap();
        let others = one.scope(b"g", None, HOUR).call(b"2", &[b"all"]).unwrap();
        let plain = call(&one, b"3");
        compute(&one, &tagged, b"1");
        compute(&one, &others, b"2");
        compute(&one, &plain, b"3");
        // A reader that does not know the tags finds them with the value.
        let reader = call(&two, b"1");
        let far = covered(&two, &reader);
        assert_eq!(far.tags, ["user%3A1", "all"]);
        assert_eq!(far.stripes.len(), 4);
        let lease = {
            one.invalidate(&others).unwrap();
            mine(one.look(&others))
        };
        two.invalidate_tags(&[two.tag(b"all")]).unwrap();
        assert!(!holds(&two, &far));
        assert!(one.peek(&tagged).is_none() && two.peek(&reader).is_none());
        assert!(one.peek(&plain).is_some());
        one.store(&others, lease, draft(b"old"));
        assert!(one.peek(&others).is_none());
        compute(&one, &tagged, b"new");
        one.invalidate_tags(&[one.tag(b"nobody's")]).unwrap();
        assert_eq!(found(two.look(&reader)).body, b"new");
    });
}

#[test]
fn one_of_two_hosts_computes_and_the_other_waits() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let (a, b) = (call(&one, b"1"), call(&two, b"1"));
        let lease = mine(one.look(&a));
        let other = theirs(two.look(&b));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait(&two, &b, Looked::Theirs(other)));
            assert_eq!(one.store(&a, lease, draft(b"value")), Stored::Done);
            assert_eq!(found(waiter.join().unwrap()).body, b"value");
        });
    });
}

#[test]
fn who_waits_for_a_computation_that_gives_nothing_computes() {
    with_each_server(&[], |server| {
        let hosts = [0; 3].map(|_| told(&server.url()));
        let calls = [0, 1, 2].map(|i| call(&hosts[i], b"1"));
        let lease = mine(hosts[0].look(&calls[0]));
        let waiting = [1, 2].map(|i| theirs(hosts[i].look(&calls[i])));
        hosts[0].abandon(&calls[0], lease);
        let mut leases = Vec::new();
        let mut alone = 0;
        for (i, theirs) in (1..).zip(waiting) {
            match wait(&hosts[i], &calls[i], Looked::Theirs(theirs)) {
                Looked::Mine(lease) => leases.push((i, lease)),
                Looked::Alone(_, Why::Ended) => alone += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((leases.len(), alone), (1, 1));
        let (i, lease) = leases.pop().unwrap();
        assert_eq!(hosts[i].store(&calls[i], lease, draft(b"2")), Stored::Done);
    });
}

#[test]
fn a_lease_of_this_process_is_known_as_such_and_its_flight_is_looked_at() {
    with_each_server(&[], |server| {
        let tier = told(&server.url());
        let other = told(&server.url());
        let call = call(&tier, b"1");
        let began = boottime::now();
        let pair = tier.pair(&call);
        let lease = mine(tier.look(&call));
        let token = *lease.token();
        let Looked::Ours(found, _) = tier.look(&call) else { panic!("it is ours") };
        assert_eq!(found, token);
        // Its own lease is told, so the pair from before it is another one.
        until("the lease is told", || !tier.may_join(&call, pair, began));
        // (Nor is that of before its stamps have been told, which were made for it.)
        let mut newer = pair;
        until("it is joined without a look", || {
            newer = tier.look_at_flight(&call, &token).unwrap().pair;
            tier.may_join(&call, newer, began)
        });
        other.invalidate(&support::tiers::call(&other, b"1")).unwrap();
        until("it is told", || !tier.may_join(&call, newer, began));
        assert_eq!(tier.look_at_flight(&call, &token), None);
        // The next caller begins one of his own; the first is fenced.
        let second = mine(tier.look(&call));
        assert_eq!(tier.store(&call, lease, draft(b"old")), Stored::Fenced);
        assert_eq!(tier.store(&call, second, draft(b"new")), Stored::Done);
    });
}

#[test]
fn leases_with_stamps_that_have_passed_and_dropped_ones_are_replaced() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let (a, b) = (call(&one, b"1"), call(&two, b"1"));
        let first = mine(one.look(&a));
        two.clear(&scope(&two)).unwrap();
        let second = mine(two.look(&b));
        assert_eq!(one.store(&a, first, draft(b"old")), Stored::Fenced);
        drop(second);
        let third = mine(two.look(&b));
        assert_eq!(two.store(&b, third, draft(b"new")), Stored::Done);
        assert_eq!(found(one.look(&a)).body, b"new");
    });
}

#[test]
fn what_cannot_be_read_is_left_to_those_who_can() {
    with_each_server(&[], |server| {
        let plain = host(&server.url());
        let signed = |secrets: &[&str]| {
            let mut options = options(&server.url(), None);
            options.secrets = secrets.iter().map(|secret| remote::secret::Secret::new(*secret)).collect();
            Tier::open(options).unwrap()
        };
        let (old, both, other) = (signed(&["old"]), signed(&["new", "old"]), signed(&["other"]));
        compute(&old, &call(&old, b"1"), b"value");
        assert_eq!(found(both.look(&call(&both, b"1"))).body, b"value");
        for tier in [&plain, &other] {
            let Looked::Alone(cover, Why::Unreadable(_)) = tier.look(&call(tier, b"1")) else { panic!("readable") };
            assert!(cover.until > boottime::now());
            assert!(tier.peek(&call(tier, b"1")).is_none());
        }
        assert_eq!(old.peek(&call(&old, b"1")).unwrap().body, b"value");
        // Values that nothing ends are nobody's, and are replaced.
        let mut raw = open(&server.url(), late()).unwrap();
        let mut persist = cmd("EVAL");
        persist.arg("for _,k in ipairs(redis.call('KEYS','*:{=1}')) do redis.call('PERSIST',k) end return 1").arg(0);
        assert_eq!(raw.request(&persist, late()), Ok(Value::Int(1)));
        compute(&old, &call(&old, b"1"), b"again");
    });
}

#[test]
fn a_server_that_is_down_costs_one_wait_and_then_none() {
    let tier = host("unix:///nowhere/socket");
    let call = call(&tier, b"1");
    // (Its listener may have been faster to find out.)
    let Looked::Alone(cover, Why::Failed(Failure::Unanswered(_) | Failure::Open)) = tier.look(&call) else {
        panic!("an answer")
    };
    assert!(cover.until > boottime::now() && !cover.is_void());
    assert!(tier.near(boottime::now()).holds(cover, call.stripes()));
    assert!(tier.is_down());
    assert!(tier.peek(&call).is_none());
    // What must be tried is tried; what is near is void all the same.
    assert!(matches!(tier.invalidate(&call), Err(Failure::Unanswered(_))));
    assert!(!tier.near(boottime::now()).holds(cover, call.stripes()));
    assert!(tier.clear(&scope(&tier)).is_err() && tier.put(&call, draft(b"1")).is_err());
}

#[test]
fn many_keys_are_looked_up_stored_put_and_removed_together() {
    with_each_server(&[], |server| {
        let tier = told(&server.url());
        let scope = scope(&tier);
        let calls: Vec<_> = (0..100u8).map(|i| scope.call(&[i], &[b"t"]).unwrap()).collect();
        let calls: Vec<_> = calls.iter().collect();
        let stores = tier.look_many(&calls[..50]).into_iter().zip(&calls).map(|(looked, call)| {
            let lease = mine(looked);
            remote::tier::Store { call, lease, draft: draft(b"computed") }
        });
        assert_eq!(tier.store_many(stores.collect()), vec![Stored::Done; 50]);
        let puts: Vec<_> = calls[50..].iter().map(|call| (*call, draft(b"put"))).collect();
        assert_eq!(tier.put_many(&puts), vec![Ok(()); 50]);
        let bodies: Vec<_> = tier.peek_many(&calls).into_iter().map(|found| found.unwrap().body).collect();
        assert!(bodies[..50].iter().all(|body| body == b"computed") && bodies[50..].iter().all(|body| body == b"put"));
        assert_eq!(tier.invalidate_many(&calls).unwrap(), vec![true; 100]);
        assert!(tier.peek_many(&calls).iter().all(Option::is_none));
        assert!(tier.look_many(&[]).is_empty() && tier.put_many(&[]).is_empty());
    });
}

#[test]
fn a_lease_whose_owner_has_died_is_replaced_and_one_whose_owner_computes_is_not() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let (dead, alive) = (call(&one, b"dead"), call(&one, b"alive"));
        let at_two = [b"dead".as_slice(), b"alive"].map(|key| call(&two, key));
        // (One that is dropped is as one of a process that was killed.)
        drop(mine(one.look(&dead)));
        let kept = mine(one.look(&alive));
        std::thread::scope(|scope| {
            let (at_two, host) = (&at_two, &two);
            let waiter = scope.spawn(move || found(wait(host, &at_two[1], host.look(&at_two[1]))));
            let lease = mine(wait(&two, &at_two[0], two.look(&at_two[0])));
            assert_eq!(two.store(&at_two[0], lease, draft(b"again")), Stored::Done);
            // The other's is older than the one that was taken for dead, and waited for.
            let theirs = theirs(two.look(&at_two[1]));
            assert!(matches!(two.wait(&at_two[1], theirs, Duration::from_millis(1)), Looked::Theirs(_)));
            assert_eq!(one.store(&alive, kept, draft(b"once")), Stored::Done);
            assert_eq!(waiter.join().unwrap().body, b"once");
        });
    });
}

#[test]
fn a_refresh_lies_beside_its_value_and_is_one_for_all_hosts() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let (a, b) = (call(&one, b"1"), call(&two, b"1"));
        compute(&one, &a, b"old");
        let old = found(one.look(&a)).token;
        let lease = mine(one.refresh(&a, &old));
        assert_eq!(found(two.look(&b)).body, b"old");
        let other = two.refresh(&b, &old);
        assert!(matches!(other, Looked::Theirs(_)));
        assert!(matches!(one.refresh(&a, &old), Looked::Ours(..)));
        assert_eq!(one.store(&a, lease, draft(b"new")), Stored::Done);
        assert_eq!(found(wait(&two, &b, other)).body, b"new");
        // Who comes with the old one learns that there is another.
        assert_eq!(found(one.refresh(&a, &old)).body, b"new");

        // One that gives nothing leaves the old one, and leaves the place to the next.
        let new = found(one.look(&a)).token;
        let lease = mine(one.refresh(&a, &new));
        let other = two.refresh(&b, &new);
        one.abandon(&a, lease);
        let lease = mine(wait(&two, &b, other));
        assert_eq!(found(one.look(&a)).body, b"new");

        // An invalidation and a set in between win; a clear does, too.
        one.invalidate(&a).unwrap();
        assert_eq!(two.store(&b, lease, draft(b"late")), Stored::Fenced);
        assert!(one.peek(&a).is_none());
        let lease = mine(two.refresh(&b, &new));
        assert_eq!(two.store(&b, lease, draft(b"plain")), Stored::Done);
        let plain = found(two.look(&b)).token;
        let lease = mine(two.refresh(&b, &plain));
        one.put(&a, draft(b"set")).unwrap();
        assert_eq!(two.store(&b, lease, draft(b"late")), Stored::Fenced);
        assert_eq!(found(two.look(&b)).body, b"set");
        let set = found(two.look(&b)).token;
        let lease = mine(two.refresh(&b, &set));
        one.clear(&scope(&one)).unwrap();
        two.store(&b, lease, draft(b"late"));
        assert!(one.peek(&a).is_none());
        // A value that ended meanwhile is replaced.
        compute(&one, &a, b"short");
        let short = found(one.look(&a)).token;
        let lease = mine(one.refresh(&a, &short));
        let mut raw = open(&server.url(), late()).unwrap();
        let mut end = cmd("EVAL");
        end.arg("for _,k in ipairs(redis.call('KEYS','*:k:f:{=1}')) do redis.call('DEL',k) end return 1").arg(0);
        assert_eq!(raw.request(&end, late()), Ok(Value::Int(1)));
        assert_eq!(one.store(&a, lease, draft(b"long")), Stored::Done);
    });
}
