//! Servers that refuse: what they refuse of many things at once, what is too long for them, and that each reason is known.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use redis::{cmd, Cmd, Value};
use remote::envelope::Unstorable;
use remote::stream::Stream;
use remote::tier::{Call, Failure, Looked, PutError, Refusal, Store, Stored, Tier, Why};
use support::tiers::{call, compute, draft, found, host, mine, told};
use support::{drain, hostile, hostile_after_hello, late, open, until, with_each_server, Server};

fn say(server: &Server, words: &[&str]) -> Value {
    let mut command = Cmd::new();
    words.iter().for_each(|word| _ = command.arg(word));
    open(&server.url(), late()).unwrap().request(&command, late()).unwrap()
}

fn counted(server: &Server, name: &str) -> u64 {
    let text = match say(server, &["INFO", "stats"]) {
        Value::VerbatimString { text, .. } => text,
        Value::BulkString(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    };
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().parse().unwrap()
}

/// Bytes that no compression makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

const MANY: u8 = 60;
const THERE: u8 = 20;

#[test]
fn of_many_keys_what_is_refused_is_asked_for_once_and_the_rest_is_served() {
    type Refusing = (&'static [&'static str], &'static [&'static str], &'static str, Refusal);
    let cases: [Refusing; 4] = [
        (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"], "OOM", Refusal::Memory),
        (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"], "READONLY", Refusal::Replica),
        (
            &["CONFIG", "SET", "min-replicas-to-write", "1"],
            &["CONFIG", "SET", "min-replicas-to-write", "0"],
            "NOREPLICAS",
            Refusal::Replicas,
        ),
        (&["ACL", "SETUSER", "default", "-set"], &["ACL", "SETUSER", "default", "+set"], "NOPERM", Refusal::Rights),
    ];
    with_each_server(&[], |server| {
        let tier = host(&server.url());
        let calls: Vec<Call> = (0..MANY).map(|key| call(&tier, &[key])).collect();
        calls[..usize::from(THERE)].iter().for_each(|call| compute(&tier, call, b"value"));
        let all: Vec<&Call> = calls.iter().collect();
        for (refuse, mend, word, refusal) in cases {
            say(server, refuse);
            let before = (counted(server, "total_commands_processed"), counted(server, "total_connections_received"));
            let looked = tier.look_many(&all);
            let asked = counted(server, "total_commands_processed") - before.0;
            let connected = counted(server, "total_connections_received") - before.1;
            for (i, looked) in looked.into_iter().enumerate() {
                match looked {
                    Looked::Found(found) => assert!(i < usize::from(THERE) && found.body == b"value", "{word}"),
                    Looked::Alone(_, Why::Failed(Failure::Refused(code))) => {
                        assert!(i >= usize::from(THERE) && code.as_str() == word, "{word}, {i}: {code}");
                    }
                    other => panic!("{word}, {i}: {other:?}"),
                }
            }
            // Three commands each, and what belongs to the whole; the server's own, and those that count.
            assert!(asked < 3 * u64::from(MANY) + 30, "{word}: {asked} commands");
            assert!(connected < 10, "{word}: {connected} connections");
            assert_eq!(tier.refusal(), Some(refusal));
            assert!(tier.refused().unwrap().starts_with(word));
            assert!(!tier.is_down());
            assert!(tier.peek_many(&all).iter().filter(|found| found.is_some()).count() == usize::from(THERE));
            say(server, mend);
            let last = calls.last().unwrap();
            until("it is mended", || match tier.look(last) {
                Looked::Mine(lease) => tier.store(last, lease, draft(b"value")) == Stored::Done,
                _ => false,
            });
            assert_eq!(tier.refusal(), None, "{word}");
            tier.invalidate(last).unwrap();
        }
    });
}

/// A server that refuses all commands but `HELLO`; its address, and how many those were.
fn refusing(said: String) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let url = hostile_after_hello(move |mut stream| {
        let mut buffer = vec![0; 1 << 20];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            let commands =
                buffer[..read].split(|byte| *byte == b'\n').filter(|line| line.first() == Some(&b'*')).count();
            counted.fetch_add(commands, Ordering::Relaxed);
            if stream.write_all(format!("-{said}\r\n").repeat(commands).as_bytes()).is_err() {
                return;
            }
        }
    });
    (url, asked)
}

#[test]
fn a_server_that_loads_is_asked_once_for_many_keys() {
    let (url, asked) = refusing("LOADING the dataset".to_owned());
    let tier = host(&url);
    let calls: Vec<Call> = (0..MANY).map(|key| call(&tier, &[key])).collect();
    for looked in tier.look_many(&calls.iter().collect::<Vec<_>>()) {
        assert!(matches!(looked, Looked::Alone(_, Why::Failed(Failure::Refused(code))) if code.as_str() == "LOADING"));
    }
    assert_eq!(tier.refusal(), Some(Refusal::Loading));
    // (The listener asks, too.)
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked < 3 * usize::from(MANY), "{asked}");
}

#[test]
fn what_is_longer_than_the_server_takes_is_not_its_failure() {
    with_each_server(&["--proto-max-bulk-len", "1mb"], |server| {
        let (tier, other) = (told(&server.url()), told(&server.url()));
        for length in [2 << 20, 16 << 20] {
            let body = noise(length);
            for _ in 0..5 {
                let (a, b) = (call(&tier, b"long"), call(&other, b"long"));
                let lease = mine(tier.look(&a));
                assert_eq!(tier.store(&a, lease, draft(&body)), Stored::Unstorable(Unstorable::Length(length)));
                assert!(!tier.is_down());
                // Its lease is gone: nobody waits for it.
                let lease = mine(other.look(&b));
                other.abandon(&b, lease);
                assert_eq!(tier.put(&a, draft(&body)), Err(PutError::Unstorable(Unstorable::Length(length))));
                assert!(!tier.is_down());
            }
            // It takes nothing with it.
            let calls: Vec<Call> = (0..5).map(|key| call(&tier, &[key])).collect();
            let short = noise(900_000);
            let bodies: [&[u8]; 5] = [b"1", &body, b"3", &short, b"5"];
            let leases = tier.look_many(&calls.iter().collect::<Vec<_>>()).into_iter().map(mine);
            let stores = leases.zip(&calls).zip(bodies);
            let stores = stores.map(|((lease, call), body)| Store { call, lease, draft: draft(body) }).collect();
            let stored = tier.store_many(stores);
            for (i, (call, stored)) in calls.iter().zip(stored).enumerate() {
                match i {
                    1 => assert_eq!(stored, Stored::Unstorable(Unstorable::Length(length))),
                    _ => {
                        assert!(matches!(stored, Stored::Done | Stored::Fenced), "{stored:?}");
                        assert_eq!(found(tier.look(call)).body, bodies[i]);
                    }
                }
                tier.invalidate(call).unwrap();
            }
        }
    });
}

/// What a tier at an address finds refused.
fn refusal(url: &str) -> Option<Refusal> {
    let tier = host(url);
    let _ = tier.look(&call(&tier, b"1"));
    tier.refusal()
}

#[test]
fn each_reason_is_known() {
    with_each_server(&["--maxclients", "6"], |server| {
        assert_eq!(refusal(&server.url()), None);
        assert_eq!(refusal(&format!("{}/99999", server.url())), Some(Refusal::Database));
        assert_eq!(refusal(&server.url().replace("redis://", "redis+cluster://")), Some(Refusal::Single));
        // (Connections of before may still have been counted when these were let in or not.)
        let mut held = Vec::new();
        until("all places are taken", || {
            held.extend((0..20).map(|_| TcpStream::connect(("127.0.0.1", server.port)).unwrap()));
            refusal(&server.url()) == Some(Refusal::Clients)
        });
        drop(held);
    });
    with_each_server(&["--lua-time-limit", "5"], |server| {
        let url = server.url();
        let script = std::thread::spawn(move || {
            let mut busy = open(&url, late()).unwrap();
            busy.request(cmd("EVAL").arg("while true do end").arg(0), late())
        });
        until("it is busy", || matches!(say(server, &["GET", "x"]), Value::ServerError(_)));
        assert_eq!(refusal(&server.url()), Some(Refusal::Busy));
        say(server, &["SCRIPT", "KILL"]);
        script.join().unwrap().unwrap();
    });
    for (said, refusal) in [
        ("MISCONF Redis is configured to save RDB snapshots", Refusal::Disk),
        ("DENIED Redis is running in protected mode", Refusal::Protected),
        ("CLUSTERDOWN Hash slot not served", Refusal::Slots),
        ("MASTERDOWN Link with MASTER is down", Refusal::Replica),
        ("WHATEVER it is", Refusal::Other),
    ] {
        assert_eq!(self::refusal(&refusing(said.to_owned()).0), Some(refusal), "{said}");
    }
    let web = hostile_after_hello(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    assert_eq!(refusal(&web), Some(Refusal::Nonsense));
    let plain = hostile(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        drain(stream);
    });
    assert_eq!(refusal(&plain.replace("redis://", "rediss://")), Some(Refusal::Tls));
}

#[test]
fn addresses_of_the_sixth_version_and_names_of_which_one_address_answers() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: there is no IPv6");
        return;
    }
    with_each_server(&["--bind", "127.0.0.1", "::1"], |server| {
        let url = format!("redis://[::1]:{}", server.port);
        let (one, two) = (told(&url), told(&server.url()));
        compute(&one, &call(&one, b"1"), b"value");
        assert_eq!(found(two.look(&call(&two, b"1"))).body, b"value");
        assert_eq!(one.invalidate(&call(&one, b"1")), Ok(true));
    });
    with_each_server(&[], |server| {
        let addresses = |hosts: [&str; 2]| hosts.map(|host| SocketAddr::new(host.parse().unwrap(), server.port));
        for hosts in [["::1", "127.0.0.1"], ["127.0.0.1", "::1"]] {
            assert!(Stream::tcp(&addresses(hosts), late()).is_ok(), "{hosts:?}");
        }
        let tier: Arc<Tier> = host(&format!("redis://localhost:{}", server.port));
        compute(&tier, &call(&tier, b"1"), b"value");
    });
}
