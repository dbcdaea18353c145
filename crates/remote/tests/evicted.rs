//! A server that takes keys away at any moment, as one that evicts does: nobody is served what was computed before a change.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use redis::cmd;
use remote::tier::{Call, Looked, Stored, Tier};
use support::tiers::{call, compute, draft, found, mine, scope, told};
use support::{late, open, with_each_server, Server};

/// Takes keys away, as eviction and the end of a life do.
fn evict(server: &Server, keys: &str) {
    let mut admin = open(&server.url(), late()).unwrap();
    let script = "for _,key in ipairs(redis.call('KEYS',ARGV[1])) do redis.call('DEL',key) end";
    admin.request(cmd("EVAL").arg(script).arg(0).arg(keys), late()).unwrap();
}

const VALUES: &str = "wc1:test:k:f:*";
const GENERATIONS: &str = "wc1:test:k:#g:*";
const TAGS: &str = "wc1:test:k:#t:*";
const REFRESHES: &str = "wc1:test:r:*";
const MEMBERS: &str = "wc1:test:m:*";

#[test]
fn a_refresh_that_began_before_a_change_does_not_outlive_what_was_put() {
    type Changing = fn(&Tier, &Call);
    let changes: [(&str, Changing); 5] = [
        ("put", |tier, call| tier.put(call, draft(b"put")).unwrap()),
        ("replace", |tier, call| {
            let old = tier.read(call).unwrap().unwrap();
            assert_eq!(tier.replace(call, &old, draft(b"put")), Ok(true));
        }),
        ("replace_body", |tier, call| {
            let old = tier.read(call).unwrap().unwrap();
            assert_eq!(tier.replace_body(call, &old, draft(b"put")), Ok(true));
        }),
        ("add", |tier, call| assert_eq!(tier.add(call, draft(b"put"), |_| false), Ok(true))),
        ("invalidate", |tier, call| assert_eq!(tier.invalidate(call), Ok(true))),
    ];
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        for (i, (name, change)) in changes.iter().enumerate() {
            let (a, b) = (call(&one, &[i as u8]), call(&two, &[i as u8]));
            compute(&one, &a, b"old");
            let lease = mine(two.refresh(&b, &found(two.look(&b)).token));
            change(&one, &a);
            evict(server, VALUES);
            assert_eq!(two.store(&b, lease, draft(b"computed before")), Stored::Fenced, "{name}");
            assert!(one.peek(&a).is_none(), "{name}");
        }
        // One that is added where nothing is any more.
        let (a, b) = (call(&one, b"absent"), call(&two, b"absent"));
        compute(&one, &a, b"old");
        let lease = mine(two.refresh(&b, &found(two.look(&b)).token));
        evict(server, VALUES);
        assert_eq!(one.add(&a, draft(b"put"), |_| true), Ok(true));
        evict(server, VALUES);
        assert_eq!(two.store(&b, lease, draft(b"computed before")), Stored::Fenced);
    });
}

#[test]
fn what_is_taken_away_of_our_own_keys_costs_misses_and_never_an_old_value() {
    static TURNS: AtomicUsize = AtomicUsize::new(0);
    with_each_server(&[], |server| {
        let (one, two) = (told(&server.url()), told(&server.url()));
        let tag = one.tag(b"tag");
        type Change<'a> = &'a dyn Fn(&Call);
        let changes: [(&str, Change<'_>); 3] = [
            ("invalidate", &|call| _ = one.invalidate(call).unwrap()),
            ("tags", &|_| one.invalidate_tags(std::slice::from_ref(&tag)).unwrap()),
            ("clear", &|_| one.clear(&scope(&one)).unwrap()),
        ];
        for taken in [VALUES, GENERATIONS, TAGS, REFRESHES, MEMBERS, "wc1:*"] {
            for (name, change) in &changes {
                for (before, flush) in [(true, false), (false, false), (true, true), (false, true)] {
                    let key = TURNS.fetch_add(1, Ordering::Relaxed).to_le_bytes();
                    let calls = [&one, &two].map(|tier| scope(tier).call(&key, &[b"tag"]).unwrap());
                    let [a, b] = &calls;
                    let case = format!("{taken}, {name}, {before}, {flush}");
                    let take = || match flush {
                        true => evict(server, "*"),
                        false => evict(server, taken),
                    };
                    // A computation on its way, and a refresh.
                    let lease = mine(two.look(b));
                    if before {
                        take();
                    }
                    change(a);
                    if !before {
                        take();
                    }
                    let stored = two.store(b, lease, draft(b"computed before"));
                    assert!(matches!(stored, Stored::Done | Stored::Fenced), "{case}: {stored:?}");
                    let lease = match one.look(a) {
                        Looked::Mine(lease) => lease,
                        other => panic!("{case}: {other:?}"),
                    };
                    assert_eq!(one.store(a, lease, draft(b"old")), Stored::Done, "{case}");
                    let lease = mine(two.refresh(b, &found(two.look(b)).token));
                    if before {
                        take();
                    }
                    change(a);
                    if !before {
                        take();
                    }
                    let stored = two.store(b, lease, draft(b"computed before"));
                    assert!(matches!(stored, Stored::Done | Stored::Fenced), "{case}: {stored:?}");
                    assert!(one.peek(a).is_none() && two.peek(b).is_none(), "{case}");
                }
            }
        }
    });
}
