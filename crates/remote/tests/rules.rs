//! What a server must allow: all the tier does, under the documented access list, and without scripts.

mod support;

use std::path::Path;
use std::time::Duration;

use concurrency::boottime;
use redis::{cmd, Value};
use remote::error::Rule;
use remote::tier::{Failure, Looked, PutError, Stored, Tier, Why};
use support::cluster::{ask, Cluster};
use support::tiers::{call, compute, confirmed, draft, found, holds, mine, options, scope, wait};
use support::{late, open, programs, until, with_each_server, Server};

const SCRIPTS: &str = "+eval +evalsha +script|load";

/// The access list of the page on operations.
fn documented() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/how-to/remote-operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    let list = page.split_once("\nuser cache on ").and_then(|(_, rest)| rest.split_once("```")).expect("the list").0;
    let rules: Vec<String> = list.split_whitespace().filter(|rule| rule.starts_with('+')).map(str::to_owned).collect();
    assert!(rules.len() > 20 && list.contains(" ~wc1:"), "{list}");
    rules
}

/// The same, scripts aside.
fn rules() -> String {
    let scripts: Vec<&str> = SCRIPTS.split(' ').collect();
    let rules = documented();
    assert!(scripts.iter().all(|script| rules.iter().any(|rule| rule == script)), "{rules:?}");
    rules.into_iter().filter(|rule| !scripts.contains(&&rule[..])).collect::<Vec<_>>().join(" ")
}

fn with_rules(rules: &str, test: impl Fn(&Server, &str)) {
    let mut arguments = vec!["--user", "cache", "on", ">word", "resetchannels", "~wc1:test:*", "-@all"];
    arguments.extend(rules.split_whitespace());
    with_each_server(&arguments, |server| test(server, &server.url().replace("://", "://cache:word@")));
}

/// All that a cache does, on two hosts.
fn everything(url: &str) {
    let hosts = [0, 1].map(|_| {
        let tier = Tier::open(options(url, None)).unwrap();
        confirmed(&tier);
        tier
    });
    let [one, two] = &hosts;
    let (a, b) = (call(one, b"1"), call(two, b"1"));
    // Stored, found, refreshed.
    compute(one, &a, b"first");
    let old = found(two.look(&b));
    assert_eq!(old.body, b"first");
    let lease = mine(two.refresh(&b, &old.token));
    assert_eq!(two.store(&b, lease, draft(b"second")), Stored::Done);
    let second = found(one.look(&a));
    assert_eq!(second.body, b"second");
    // A refresh that is overtaken, and one that is given up.
    let lease = mine(two.refresh(&b, &second.token));
    one.put(&a, draft(b"third")).unwrap();
    assert_eq!(two.store(&b, lease, draft(b"late")), Stored::Fenced);
    let third = found(two.look(&b)).token;
    let lease = mine(two.refresh(&b, &third));
    two.abandon(&b, lease);
    let lease = mine(one.refresh(&a, &third));
    one.abandon(&a, lease);
    // Fenced, given up, cleared, replaced.
    assert_eq!(one.invalidate(&a), Ok(true));
    let lease = mine(one.look(&a));
    assert_eq!(two.invalidate(&b), Ok(false));
    assert_eq!(one.store(&a, lease, draft(b"late")), Stored::Fenced);
    assert!(two.peek(&b).is_none());
    let lease = mine(two.look(&b));
    assert!(matches!(one.look(&a), Looked::Theirs(_)));
    two.abandon(&b, lease);
    compute(one, &a, b"again");
    two.clear(&scope(two)).unwrap();
    two.invalidate_tags(&[two.tag(b"tag")]).unwrap();
    compute(one, &a, b"after the clear");
    assert_eq!(found(two.look(&b)).body, b"after the clear");
    // Somebody else's lease that is not to be touched.
    one.invalidate(&a).unwrap();
    let late = mine(one.look(&a));
    two.invalidate(&b).unwrap();
    let lease = mine(two.look(&b));
    one.abandon(&a, late);
    assert_eq!(two.store(&b, lease, draft(b"kept")), Stored::Done);
    until("it is told", || one.peek(&a).is_some());
}

/// The commands that the server refused.
fn refused(server: &Server) -> Vec<String> {
    let mut admin = open(&server.url(), late()).unwrap();
    let Ok(Value::Array(entries)) = admin.request(cmd("ACL").arg("LOG"), late()) else { panic!("a log") };
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        _ => String::new(),
    };
    let object = |entry: Value| match entry {
        Value::Map(fields) => fields.iter().find(|field| text(&field.0) == "object").map(|field| text(&field.1)),
        _ => None,
    };
    entries.into_iter().map(|entry| object(entry).unwrap_or_default()).collect()
}

#[test]
fn the_documented_access_list_is_enough() {
    with_rules(&documented().join(" "), |server, url| {
        everything(url);
        // What only some servers have is done without where it is not allowed.
        let refused = refused(server);
        assert!(refused.iter().all(|command| command == "delifeq" || command == "delex"), "{refused:?}");
    });
}

#[test]
fn without_scripts_changes_are_watched() {
    with_rules(&rules(), |server, url| {
        everything(url);
        assert!(refused(server).contains(&"eval".to_owned()));
    });
}

/// Whether the server compares and stores in one command, and needs no transaction for it.
fn compares(server: &Server) -> bool {
    let mut admin = open(&server.url(), late()).unwrap();
    admin.request(cmd("SET").arg("probe").arg("1"), late()).unwrap();
    !matches!(
        admin.request(cmd("SET").arg("probe").arg("2").arg("IFEQ").arg("1"), late()),
        Err(_) | Ok(Value::ServerError(_))
    )
}

/// Without scripts, and without one command of a transaction: nothing of a change is written.
#[test]
fn a_transaction_that_is_refused_changes_nothing() {
    for missing in ["+multi", "+exec", "+multi +exec +unwatch", "+watch"] {
        let rules =
            missing.split(' ').fold(format!("{} ", rules()), |rules, rule| rules.replace(&format!("{rule} "), ""));
        with_rules(&rules, |server, url| {
            if compares(server) {
                return;
            }
            let tier = Tier::open(options(url, None)).unwrap();
            let (new, old) = (call(&tier, b"1"), call(&tier, b"2"));
            // The lease stays, where a value was to take its place; so does what a refresh was to replace.
            let lease = mine(tier.look(&new));
            assert!(matches!(tier.store(&new, lease, draft(b"value")), Stored::Failed(..)), "{missing}");
            assert!(tier.peek(&new).is_none(), "{missing}");
            tier.put(&old, draft(b"old")).unwrap();
            let Some(value) = tier.peek(&old) else { panic!("it is there") };
            let lease = mine(tier.refresh(&old, &value.token));
            assert!(matches!(tier.store(&old, lease, draft(b"new")), Stored::Failed(..)), "{missing}");
            let Some(value) = tier.peek(&old) else { panic!("it is there still") };
            assert_eq!(value.body, b"old", "{missing}");
            // Neither is what was watched in the way of what comes next on the connection.
            assert!(tier.take_many(&[&old]).is_err(), "{missing}");
            assert!(tier.peek(&old).is_some(), "{missing}");
        });
    }
}

#[test]
fn the_same_list_is_enough_for_a_cluster_also_without_scripts() {
    for program in programs() {
        let cluster = Cluster::start(&program, 3);
        let url = cluster.url().replace("://", "://cache:word@");
        for scripts in [SCRIPTS, "-eval"] {
            for node in &cluster.masters {
                let mut user = cmd("ACL");
                user.arg("SETUSER").arg("cache").arg("reset").arg("on").arg(">word").arg("~wc1:test:*");
                rules().split_whitespace().chain(scripts.split_whitespace()).for_each(|rule| _ = user.arg(rule));
                ask(node, &user);
                ask(node, cmd("ACL").arg("LOG").arg("RESET"));
                ask(node, &cmd("FLUSHALL"));
            }
            everything(&url);
            let refused: Vec<String> = cluster.masters.iter().flat_map(refused).collect();
            let spared = ["delifeq", "delex", if scripts == SCRIPTS { "delex" } else { "eval" }];
            assert!(refused.iter().all(|command| spared.contains(&&command[..])), "{refused:?}");
        }
    }
}

#[test]
fn all_rights() {
    with_each_server(&[], |server| everything(&server.url()));
}

#[test]
fn without_tracking_copies_are_kept_for_the_staleness_and_all_else_goes_on() {
    let rules = documented().join(" ").replace("+client|tracking ", "");
    with_rules(&rules, |_, url| {
        let [one, two] = [0, 1].map(|_| Tier::open(options(url, None)).unwrap());
        let [a, b] = [&one, &two].map(|tier| call(tier, b"1"));
        compute(&one, &a, b"value");
        two.attend();
        until("that is known", || one.is_untold() && two.is_untold());
        let far = found(two.look(&b));
        let left = far.cover.until - boottime::now();
        assert!(left <= Duration::from_secs(40).as_nanos() as u64 && holds(&two, &far));
        // Here it is void at once, elsewhere when its time is over.
        two.invalidate(&b).unwrap();
        assert!(!holds(&two, &far));
        // Nobody is woken: who waits looks again and again.
        let lease = mine(one.look(&a));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| found(wait(&two, &b, two.look(&b))).body);
            assert_eq!(one.store(&a, lease, draft(b"once")), Stored::Done);
            assert_eq!(waiter.join().unwrap(), b"once");
        });
    });
}

/// What an operation was refused for want of: a rule, or nothing.
fn lacks(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Refused(code) => {
            code.missing().map(Rule::to_string).or_else(|| panic!("refused without a rule: {code}"))
        }
        other => panic!("{other:?}"),
    }
}

/// Each operation, by its name, and the rule that it was refused for want of.
fn attempts(tier: &Tier) -> Vec<(&'static str, Option<String>)> {
    let (there, absent) = (call(tier, b"there"), call(tier, b"absent"));
    let put = |why| match why {
        PutError::Failed(failure) => lacks(&failure),
        other => panic!("{other:?}"),
    };
    let read =
        tier.read(&there).map(|found| assert_eq!(found.expect("it is there").body, b"value")).err().and_then(put);
    let (looked, stored) = match tier.look(&absent) {
        Looked::Mine(lease) => match tier.store(&absent, lease, draft(b"stored")) {
            Stored::Done => (None, None),
            Stored::Failed(failure) => (None, lacks(&failure)),
            other => panic!("{other:?}"),
        },
        Looked::Alone(_, Why::Failed(failure)) => (lacks(&failure), None),
        other => panic!("{other:?}"),
    };
    let put_one = tier.put(&call(tier, b"another"), draft(b"put")).err().and_then(put);
    let invalidated = match tier.invalidate(&there) {
        Ok(was_there) => {
            assert!(was_there, "a value that was there was not reported");
            None
        }
        Err(failure) => lacks(&failure),
    };
    let cleared = tier.clear(&scope(tier)).err().as_ref().and_then(lacks);
    vec![
        ("read", read),
        ("look", looked),
        ("store", stored),
        ("put", put_one),
        ("invalidate", invalidated),
        ("clear", cleared),
    ]
}

/// By the rule that is dropped: what is refused then. What is not named works, whatever rule is dropped.
const REFUSED: [(&str, &[&str]); 5] = [
    ("+get", &["read", "look", "put"]),
    ("+pttl", &["read", "look"]),
    ("+set", &["look", "put"]),
    ("+del", &["put", "invalidate", "clear"]),
    // (Where the server does not compare by itself.)
    ("+getrange", &["store"]),
];

#[test]
fn each_rule_that_is_missing_is_named_and_what_needs_it_not_goes_on() {
    let all = documented();
    for missing in &all {
        let rest: Vec<&str> = all.iter().filter(|rule| *rule != missing).map(String::as_str).collect();
        with_rules(&rest.join(" "), |server, url| {
            let admin = Tier::open(options(&server.url(), None)).unwrap();
            compute(&admin, &call(&admin, b"there"), b"value");
            let tier = Tier::open(options(url, None)).unwrap();
            let refused = REFUSED.iter().find(|(rule, _)| rule == missing).map_or(&[][..], |(_, refused)| refused);
            let spared = missing == "+getrange" && compares(server);
            for (operation, rule) in attempts(&tier) {
                match refused.contains(&operation) && !spared {
                    true => assert_eq!(rule.as_ref(), Some(missing), "{operation}"),
                    false => assert_eq!(rule, None, "{operation} without {missing}"),
                }
            }
            // It is said, too.
            if !refused.is_empty() && !spared {
                assert_eq!(tier.missing_rule().map(|rule| rule.to_string()).as_ref(), Some(missing));
            }
        });
    }
}
