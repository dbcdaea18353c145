//! What a cache object does beyond a function's values: changes by comparison, and locks.

mod support;

use concurrency::boottime;
use remote::tier::{Draft, Looked, Stored};
use support::tiers::{call, covered, draft, found, holds, mine, scope, told, wait, HOUR};
use support::with_each_server;

#[test]
fn what_an_object_changes_it_changes_by_comparison() {
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let (a, b) = (call(&one, b"1"), call(&two, b"1"));
        assert!(one.read(&a).unwrap().is_none());
        assert_eq!(one.add(&a, draft(b"1")), Ok(true));
        assert_eq!(two.add(&b, draft(b"2")), Ok(false));
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
        assert_eq!(two.add(&b, draft(b"4")), Ok(true));
        assert_eq!(one.store(&a, lease, draft(b"late")), Stored::Fenced);
        one.clear(&scope(&one)).unwrap();
        assert_eq!(two.add(&b, draft(b"5")), Ok(true));
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
