//! Clusters: three masters and a replica; slots that move, nodes that fail.

mod support;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use concurrency::boottime;
use redis::cmd;
use remote::coherence::Counter;
use remote::keys::{Keys, Name};
use remote::tier::{Call, Looked, Options, Stored, Tier};
use support::cluster::{ask, cluster, slot, Cluster};
use support::tiers::{call, compute, confirmed, covered, draft, found, holds, mine, options, scope, told};
use support::{hostile, hostile_after_hello, programs, until, HELLO};

/// Runs with a cluster of each server there is; says so where there is none.
fn with_each_cluster(test: impl Fn(Cluster)) {
    with_each(|program| test(Cluster::start(program, 3)));
}

fn with_each(test: impl Fn(&Path)) {
    let programs = programs();
    if programs.is_empty() {
        eprintln!("SKIPPED: there is no redis-server and no valkey-server");
    }
    programs.iter().for_each(|program| test(program));
}

/// The slot of a call's key.
fn slot_of(key: &[u8]) -> u16 {
    slot(&Keys::new(b"test").call(&Name::new(b"f", None), key).value)
}

fn generation_slot() -> u16 {
    slot(Keys::new(b"test").generation(&Name::new(b"f", None)).as_bytes())
}

/// Keys of which each master has some; the generation's slot has none.
fn keys(cluster: &Cluster) -> Vec<Vec<u8>> {
    let keys: Vec<Vec<u8>> = (0..24u8).map(|i| vec![i]).filter(|key| slot_of(key) != generation_slot()).collect();
    let owners: HashSet<usize> = keys.iter().map(|key| cluster.owner(slot_of(key))).collect();
    assert_eq!(owners.len(), 3);
    keys
}

#[test]
fn keys_go_to_their_nodes_and_near_copies_are_covered_by_all_of_them() {
    with_each_cluster(|cluster| {
        let (one, two) = (told(&cluster.url()), told(&cluster.url()));
        for key in keys(&cluster) {
            let (a, b) = (call(&one, &key), call(&two, &key));
            compute(&one, &a, &key);
            let near = covered(&two, &b);
            assert_eq!(near.body, key);
            assert_eq!(one.invalidate(&a), Ok(true));
            until("it is told", || !holds(&two, &near));
            assert!(two.peek(&b).is_none());
        }
        // Many keys of many nodes at once.
        let calls: Vec<Call> = keys(&cluster).iter().map(|key| call(&one, key)).collect();
        let calls: Vec<&Call> = calls.iter().collect();
        let leases: Vec<_> = one.look_many(&calls).into_iter().map(mine).collect();
        let stores =
            calls.iter().zip(leases).map(|(call, lease)| remote::tier::Store { call, lease, draft: draft(b"x") });
        assert!(one.store_many(stores.collect()).iter().all(|stored| *stored == Stored::Done));
        assert!(two.peek_many(&calls).iter().all(|found| found.as_ref().is_some_and(|found| found.body == b"x")));
        two.clear(&scope(&two)).unwrap();
        assert!(one.peek_many(&calls).iter().all(Option::is_none));
    });
}

#[test]
fn tags_refreshes_and_leases_are_what_they_are_with_one_server() {
    with_each_cluster(|cluster| {
        let (one, two) = (told(&cluster.url()), told(&cluster.url()));
        for i in 0..12u8 {
            let tag = [b't', i];
            let tagged = |tier: &Arc<Tier>| scope(tier).call(&[i], &[&tag]).unwrap();
            let (a, b) = (tagged(&one), tagged(&two));
            compute(&one, &a, b"first");
            let near = covered(&two, &b);
            // A reader that does not know of the tag is told of it, too.
            let unaware = covered(&two, &call(&two, &[i]));
            assert_eq!(unaware.tags.len(), 1);
            let lease = mine(two.refresh(&b, &near.token));
            assert_eq!(two.store(&b, lease, draft(b"second")), Stored::Done);
            assert_eq!(found(one.look(&a)).body, b"second");
            let near = covered(&two, &b);
            one.invalidate_tags(&[one.tag(&tag)]).unwrap();
            until("it is told", || !holds(&two, &near));
            let lease = mine(two.look(&b));
            assert!(matches!(one.look(&a), Looked::Theirs(_)));
            // What is computed while the tag goes is not served.
            one.invalidate_tags(&[one.tag(&tag)]).unwrap();
            two.store(&b, lease, draft(b"late"));
            assert!(one.peek(&a).is_none());
            compute(&one, &a, b"third");
            let lease = mine(two.refresh(&b, &found(two.look(&b)).token));
            assert_eq!(one.invalidate(&a), Ok(true));
            assert_eq!(two.store(&b, lease, draft(b"late")), Stored::Fenced);
            assert!(one.peek(&a).is_none());
        }
    });
}

#[test]
fn a_slot_on_its_way_is_read_written_and_invalidated_at_both_ends() {
    with_each_cluster(|cluster| {
        let (one, two) = (told(&cluster.url()), told(&cluster.url()));
        for (i, key) in keys(&cluster).iter().enumerate() {
            let (a, b) = (call(&one, key), call(&two, key));
            let (slot, from) = (slot_of(key), cluster.owner(slot_of(key)));
            let to = (from + 1) % 3;
            if i % 2 == 0 {
                compute(&one, &a, b"old");
            }
            cluster.begin(slot, from, to);
            match i % 3 {
                0 => {
                    // There, or not yet anywhere.
                    assert_eq!(one.invalidate(&a), Ok(i % 2 == 0));
                    compute(&two, &b, b"new");
                }
                1 => {
                    cluster.migrate(slot, from, to);
                    one.put(&a, draft(b"new")).unwrap();
                    // At the other end only, and uncovered: asked for in passing.
                    assert_ne!(found(two.look(&b)).cover.until, 0);
                }
                _ => one.put(&a, draft(b"new")).unwrap(),
            }
            assert_eq!(found(two.look(&b)).body, b"new");
            cluster.migrate(slot, from, to);
            cluster.end(slot, to);
            assert_eq!(found(two.look(&b)).body, b"new");
            assert_eq!(covered(&one, &a).body, b"new");
            assert_eq!(two.invalidate(&b), Ok(true));
            assert!(one.peek(&a).is_none());
        }
    });
}

#[test]
fn a_node_that_takes_slots_is_listened_to() {
    with_each(|program| {
        let mut cluster = Cluster::start(program, 3);
        let (one, two) = (told(&cluster.url()), told(&cluster.url()));
        let key = &keys(&cluster)[0];
        let (a, b) = (call(&one, key), call(&two, key));
        compute(&one, &a, b"old");
        let near = covered(&two, &b);
        cluster.grow(program);
        cluster.transfer(slot_of(key), 3);
        // Before anybody listens there, nothing of it is kept under cover.
        one.put(&a, draft(b"new")).unwrap();
        until("the old one is void", || !holds(&two, &near));
        let near = covered(&two, &b);
        assert_eq!(near.body, b"new");
        one.invalidate(&a).unwrap();
        until("it is told", || !holds(&two, &near));
    });
}

/// The latest version of each key whose write has returned.
#[derive(Default)]
struct Acknowledged([AtomicU64; 24]);

#[test]
fn slots_move_under_load_and_no_read_is_old() {
    with_each_cluster(|cluster| {
        let hosts = [told(&cluster.url()), told(&cluster.url())];
        let keys = keys(&cluster);
        let acknowledged = Acknowledged::default();
        let (stop, reads, near) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let version = |body: &[u8]| u64::from_be_bytes(body.try_into().unwrap());
        for (k, key) in keys.iter().enumerate() {
            hosts[0].put(&call(&hosts[0], key), draft(&1u64.to_be_bytes())).unwrap();
            acknowledged.0[k].store(1, Ordering::SeqCst);
        }
        std::thread::scope(|threads| {
            // One writer a host, each with keys of its own.
            for (h, host) in hosts.iter().enumerate() {
                let (keys, acknowledged, stop) = (&keys, &acknowledged, &stop);
                threads.spawn(move || {
                    for next in 2u64.. {
                        for (k, key) in keys.iter().enumerate().filter(|(k, _)| k % 2 == h) {
                            if stop.load(Ordering::Relaxed) {
                                return;
                            }
                            host.put(&call(host, key), draft(&next.to_be_bytes()))
                                .expect("a write that is acknowledged");
                            acknowledged.0[k].store(next, Ordering::SeqCst);
                        }
                    }
                });
            }
            // Readers: from the server nothing older than was acknowledged, and nothing is lost.
            for (h, host) in hosts.iter().enumerate() {
                let (keys, acknowledged, stop) = (&keys, &acknowledged, &stop);
                let (reads, near) = (&reads, &near);
                threads.spawn(move || {
                    let mut kept: Vec<Option<Box<remote::tier::Found>>> = keys.iter().map(|_| None).collect();
                    for (k, key) in keys.iter().enumerate().cycle() {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let least = acknowledged.0[k].load(Ordering::SeqCst);
                        // (A host's own writes void its copies before they return.)
                        if let Some(copy) = kept[k].take().filter(|copy| k % 2 == h && holds(host, copy)) {
                            assert!(version(&copy.body) >= least, "an old copy");
                            near.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        let there = found(host.look(&call(host, key)));
                        assert!(version(&there.body) >= least, "an old value");
                        reads.fetch_add(1, Ordering::Relaxed);
                        kept[k] = Some(there);
                    }
                });
            }
            struct Stop<'a>(&'a AtomicBool);
            impl Drop for Stop<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let _stop = Stop(&stop);
            let mut slots: Vec<u16> = keys.iter().map(|key| slot_of(key)).collect();
            slots.push(generation_slot());
            for turn in 1..=2 {
                for slot in &slots {
                    cluster.transfer(*slot, (cluster.owner(*slot) + turn) % 3);
                }
            }
            let seen = reads.load(Ordering::Relaxed);
            until("they go on", || reads.load(Ordering::Relaxed) > seen + 200);
        });
        assert!(near.load(Ordering::Relaxed) > 0, "no copy was ever valid");
    });
}

#[test]
fn after_a_fail_over_the_replica_is_asked_and_listened_to() {
    with_each(|program| {
        let mut cluster = Cluster::with_replica(program, 3);
        let hosts = [told(&cluster.url()), told(&cluster.url())];
        let key = keys(&cluster).into_iter().find(|key| cluster.owner(slot_of(key)) == 0).unwrap();
        let calls = [0, 1].map(|i| call(&hosts[i], &key));
        compute(&hosts[0], &calls[0], b"old");
        let near = covered(&hosts[1], &calls[1]);
        let sessions = hosts.each_ref().map(|host| host.coherence().words().counter(Counter::Sessions));
        ask(&cluster.masters[0], cmd("WAIT").arg(1).arg(60000));
        drop(cluster.masters.remove(0));
        // (With a master that is not there, nobody listens, and what it has is out of reach.)
        let replica = cluster.replica.take().unwrap();
        ask(&replica, &self::cluster(&["FAILOVER", "TAKEOVER"]));
        cluster.masters.push(replica);
        until("both listen to it", || {
            hosts.iter().zip(sessions).all(|(host, sessions)| {
                host.attend();
                let words = host.coherence().words();
                words.counter(Counter::Sessions) > sessions && words.record().beat.is_some()
            })
        });
        assert!(!holds(&hosts[1], &near), "what was before is void");
        until("it is written to", || hosts[0].put(&calls[0], draft(b"new")).is_ok());
        until(
            "the other host reads it",
            || matches!(hosts[1].look(&calls[1]), Looked::Found(found) if found.body == b"new"),
        );
        let there = covered(&hosts[1], &calls[1]);
        hosts[0].invalidate(&calls[0]).unwrap();
        until("it is told", || !holds(&hosts[1], &there));
    });
}

#[test]
fn a_node_that_is_down_keeps_nobody_from_the_others() {
    with_each_cluster(|mut cluster| {
        let host = told(&cluster.url());
        let (dead, rest): (Vec<_>, Vec<_>) =
            keys(&cluster).into_iter().partition(|key| cluster.owner(slot_of(key)) == 0);
        assert_ne!(cluster.owner(generation_slot()), 0, "(the function's own key is elsewhere)");
        for key in dead.iter().chain(&rest) {
            compute(&host, &call(&host, key), b"there");
        }
        drop(cluster.masters.remove(0));
        for _ in 0..10 {
            for key in &dead {
                assert!(matches!(host.look(&call(&host, key)), Looked::Alone(..)));
                assert!(host.invalidate(&call(&host, key)).is_err());
            }
            for key in &rest {
                assert_eq!(found(host.look(&call(&host, key))).body, b"there");
            }
        }
        assert!(!host.is_down());
    });
}

#[test]
fn near_hits_last_only_while_every_master_confirms() {
    with_each_cluster(|cluster| {
        let options = Options { staleness: Duration::from_secs(1), ..options(&cluster.url(), None) };
        let host = Tier::open(options).unwrap();
        confirmed(&host);
        // What depends on one master only.
        let there = cluster.owner(generation_slot());
        let key = keys(&cluster).into_iter().find(|key| cluster.owner(slot_of(key)) == there).unwrap();
        let call = call(&host, &key);
        compute(&host, &call, b"value");
        let stopped = (there + 1) % 3;
        let near = covered(&host, &call);
        cluster.masters[stopped].stop();
        let since = boottime::now();
        until("the others alone do not cover it", || {
            let now = boottime::now();
            let is_later = host.coherence().words().is_confirmed(now, now - since);
            assert!(!is_later, "one that is stopped has confirmed");
            !holds(&host, &near)
        });
        // It is got from its master, and nothing covers it.
        let far = found(host.look(&call));
        assert!(far.cover.until != 0 || !holds(&host, &far));
        cluster.masters[stopped].resume();
        until("all confirm again", || holds(&host, &found(host.look(&call))));
    });
}

/// A node of this process that says it has all slots, and answers anything else as it is told: to what, and its port.
fn hostile_node(answer: impl Fn(&str, u16) -> String + Send + Sync + 'static) -> String {
    let port = Arc::new(AtomicU64::new(0));
    let known = port.clone();
    let url = hostile(move |mut stream| {
        let port = known.load(Ordering::SeqCst) as u16;
        let mut buffer = [0; 65536];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            // (Each command is an array, and no value here has a star.)
            let answers = text.split('*').skip(1).map(|command| match command {
                hello if hello.contains("HELLO") => String::from_utf8(HELLO.to_vec()).unwrap(),
                slots if slots.contains("SLOTS") => {
                    format!("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$2\r\nab\r\n")
                }
                asking if asking.contains("ASKING") => "+OK\r\n".to_owned(),
                command => answer(command, port),
            });
            if stream.write_all(answers.collect::<String>().as_bytes()).is_err() {
                return;
            }
        }
    });
    port.store(url.rsplit(':').next().unwrap().parse().unwrap(), Ordering::SeqCst);
    url.replace("redis://", "redis+cluster://")
}

#[test]
fn redirections_without_an_end_end_at_the_deadline() {
    let answers: [fn(&str, u16) -> String; 5] = [
        |_, port| format!("-MOVED 1 127.0.0.1:{port}\r\n"),
        |_, port| format!("-ASK 1 127.0.0.1:{port}\r\n"),
        |_, _| "-TRYAGAIN later\r\n".to_owned(),
        |_, port| format!("-MOVED 1 localhost:{port}\r\n"),
        // To where nobody is.
        |_, _| "-MOVED 1 127.0.0.1:1\r\n".to_owned(),
    ];
    for answer in answers {
        let mut options = options(&hostile_node(answer), None);
        options.timeout = Duration::from_millis(150);
        let host = Tier::open(options).unwrap();
        let call = call(&host, b"1");
        for _ in 0..3 {
            assert!(matches!(host.look(&call), Looked::Alone(..)));
            assert!(host.invalidate(&call).is_err());
        }
    }
}

#[test]
fn what_is_no_map_of_slots_is_an_error_and_no_server_is_taken_for_a_cluster() {
    let maps = ["*0\r\n", "$-1\r\n", "*1\r\n:1\r\n", "-ERR This instance has cluster support disabled\r\n", ":1\r\n"];
    for map in maps {
        let url = hostile_after_hello(move |mut stream| {
            while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) && stream.write_all(map.as_bytes()).is_ok() {}
        });
        let mut options = options(&url.replace("redis://", "redis+cluster://"), None);
        options.timeout = Duration::from_millis(150);
        let host = Tier::open(options).unwrap();
        let call = call(&host, b"1");
        assert!(matches!(host.look(&call), Looked::Alone(..)), "{map}");
        assert!(host.invalidate(&call).is_err());
    }
}

/// Nodes that say no address of their own, as older ones do before they know it (the host is empty in redirections, and null in the
/// map), or a name.
#[test]
fn nodes_that_say_no_address_or_a_name_are_found() {
    with_each_cluster(|cluster| {
        for (endpoint, name) in [("unknown-endpoint", ""), ("hostname", "localhost"), ("ip", "")] {
            for node in &cluster.masters {
                ask(node, cmd("CONFIG").arg("SET").arg("cluster-preferred-endpoint-type").arg(endpoint));
                ask(node, cmd("CONFIG").arg("SET").arg("cluster-announce-hostname").arg(name));
            }
            // (Names are told to the others in their own time.)
            until("all have said it", || {
                let said = cluster.masters.iter().map(|node| format!("{:?}", ask(node, &self::cluster(&["SLOTS"]))));
                said.into_iter().all(|said| match endpoint {
                    "hostname" => said.matches("localhost").count() >= 3,
                    "unknown-endpoint" => !said.contains("localhost"),
                    _ => true,
                })
            });
            let (one, two) = (told(&cluster.url()), told(&cluster.url()));
            for key in keys(&cluster) {
                let (a, b) = (call(&one, &key), call(&two, &key));
                let _ = one.invalidate(&a);
                compute(&one, &a, b"value");
                assert_eq!(found(two.look(&b)).body, b"value", "{endpoint}");
            }
            // What both know is old now: they are sent elsewhere.
            let key = keys(&cluster).remove(0);
            let slot = slot_of(&key);
            let owner = cluster.owner(slot);
            cluster.transfer(slot, (owner + 1) % 3);
            let (a, b) = (call(&one, &key), call(&two, &key));
            assert_eq!(found(two.look(&b)).body, b"value", "{endpoint}");
            assert_eq!(one.invalidate(&a), Ok(true), "{endpoint}");
            assert!(two.peek(&b).is_none(), "{endpoint}");
        }
    });
}
