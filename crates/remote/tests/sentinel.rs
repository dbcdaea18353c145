//! A master that fails, and Sentinels that name another; Sentinels that are none.

mod support;

use std::fmt::Display;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::Arc;
use std::time::Duration;

use redis::{cmd, Value};
use remote::coherence::Counter;
use remote::connection::Role;
use remote::tier::{Looked, Options, Stored, Tier};
use support::tiers::{call, compute, confirmed, covered, draft, found, holds, options};
use support::{hostile_after_hello, late, open, programs, until, Server};

/// One Sentinel of a master, which decides alone.
struct Sentinel {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Sentinel {
    fn start(program: &Path, master: u16) -> Sentinel {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sentinel.conf");
        let mut config = std::fs::File::create(&file).unwrap();
        writeln!(config, "port {port}\nbind 127.0.0.1\ndir {}", directory.path().display()).unwrap();
        writeln!(config, "sentinel monitor cache 127.0.0.1 {master} 1\nsentinel down-after-milliseconds cache 400")
            .unwrap();
        writeln!(config, "sentinel failover-timeout cache 3000").unwrap();
        let mut command = Command::new(program);
        command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Sentinel { child: command.spawn().unwrap(), port, _directory: directory }
    }

    /// Whether it knows the master and a replica of it.
    fn is_ready(&self) -> bool {
        let Ok(mut connection) = open(&format!("redis://127.0.0.1:{}", self.port), late()) else { return false };
        let replicas = connection.request(cmd("SENTINEL").arg("replicas").arg("cache"), late());
        matches!(replicas, Ok(Value::Array(replicas)) if replicas.len() == 1)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn after_a_fail_over_the_new_master_is_asked_and_listened_to() {
    for program in programs() {
        let master = Server::start(&program, &[], None).unwrap();
        let of_master = ["--replicaof", "127.0.0.1", &master.port.to_string()];
        let replica = Server::start(&program, &of_master, None).unwrap();
        let sentinel = Sentinel::start(&program, master.port);
        until("the Sentinel knows both", || sentinel.is_ready());
        // (A Sentinel that is down is passed over.)
        let url = format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/cache/0", sentinel.port);
        let tiers = [0, 1].map(|_| {
            let tier = Tier::open(options(&url, None)).unwrap();
            confirmed(&tier);
            tier
        });
        let calls = [0, 1].map(|i| call(&tiers[i], b"1"));
        compute(&tiers[0], &calls[0], b"old");
        let near = covered(&tiers[1], &calls[1]);
        let sessions = tiers[1].coherence().words().counter(Counter::Sessions);
        drop(master);
        until("the replica is the master", || {
            open(&replica.url(), late()).is_ok_and(|connection| connection.peer().role == Role::Master)
        });
        until("both listen to it", || {
            tiers.iter().all(|tier| {
                tier.attend();
                let words = tier.coherence().words();
                words.counter(Counter::Sessions) > sessions && words.record().beat.is_some()
            })
        });
        assert!(!holds(&tiers[1], &near), "what was before is void");
        until("it is written to", || match tiers[0].look(&calls[0]) {
            Looked::Mine(lease) => tiers[0].store(&calls[0], lease, draft(b"new")) == Stored::Done,
            Looked::Found(_) => tiers[0].put(&calls[0], draft(b"new")).is_ok(),
            _ => false,
        });
        until("the other host reads it", || match tiers[1].look(&calls[1]) {
            Looked::Found(found) => found.body == b"new",
            _ => false,
        });
        let there = covered(&tiers[1], &calls[1]);
        tiers[0].invalidate(&calls[0]).unwrap();
        until("it is told", || !holds(&tiers[1], &there));
        compute(&tiers[0], &calls[0], b"newer");
        assert_eq!(found(tiers[1].look(&calls[1])).body, b"newer");
    }
}

type Answer = Box<dyn Fn(&mut TcpStream) + Send + Sync>;

/// A Sentinel of this process that answers what it is asked by this.
fn hostile_sentinel(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> u16 {
    let url = hostile_after_hello(move |mut stream| {
        while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
            answer(&mut stream);
        }
    });
    url.rsplit(':').next().unwrap().parse().unwrap()
}

fn says(text: String) -> impl Fn(&mut TcpStream) + Send + Sync {
    move |stream| _ = stream.write_all(text.as_bytes())
}

fn master(host: &str, port: impl Display) -> String {
    let port = port.to_string();
    format!("*2\r\n${}\r\n{host}\r\n${}\r\n{port}\r\n", host.len(), port.len())
}

#[test]
fn a_sentinel_that_lies_or_never_ends_costs_the_bound_and_no_more() {
    let itself = Arc::new(AtomicU16::new(0));
    let named = itself.clone();
    let answers: Vec<Answer> = vec![
        // Nobody, nowhere, no port, no host, nonsense, an error, gigabytes.
        Box::new(says("*-1\r\n".to_owned())),
        Box::new(says(master("127.0.0.1", 1))),
        Box::new(says(master("127.0.0.1", 0))),
        Box::new(says(master("127.0.0.1", 70000))),
        Box::new(says(master("", 6379))),
        Box::new(says(master(&"x".repeat(10_000), 6379))),
        Box::new(says("*2\r\n:1\r\n*0\r\n".to_owned())),
        Box::new(says("-ERR no such command\r\n".to_owned())),
        Box::new(says("*2\r\n$9000000000\r\n".to_owned())),
        // A part of an answer, and no more.
        Box::new(says("*2\r\n$9\r\n127.".to_owned())),
        Box::new(|_| {}),
        // Without an end.
        Box::new(|stream| while stream.write_all(&[b'1'; 4096]).is_ok() {}),
        Box::new(|stream| while stream.write_all(b">1\r\n+message\r\n").is_ok() {}),
        // One that names itself: it is no master of data, and answers so.
        Box::new(move |stream| says(master("127.0.0.1", named.load(Ordering::SeqCst)))(stream)),
    ];
    let count = answers.len();
    for (i, answer) in answers.into_iter().enumerate() {
        let port = hostile_sentinel(answer);
        itself.store(port, Ordering::SeqCst);
        let mut options = options(&format!("redis+sentinel://127.0.0.1:{port}/cache/0"), None);
        options.timeout = Duration::from_millis(150);
        let tier = Tier::open(options).unwrap();
        let call = call(&tier, b"1");
        assert!(matches!(tier.look(&call), Looked::Alone(..)), "{i} of {count}");
        assert!(tier.invalidate(&call).is_err(), "{i} of {count}");
        assert!(tier.put(&call, draft(b"value")).is_err(), "{i} of {count}");
    }
}

#[test]
fn one_honest_sentinel_beside_hostile_ones_is_enough() {
    for program in programs() {
        let server = Server::start(&program, &[], None).unwrap();
        let silent = hostile_sentinel(|_| {});
        let nonsense = hostile_sentinel(says("*2\r\n:1\r\n*0\r\n".to_owned()));
        let honest = hostile_sentinel(says(master("127.0.0.1", server.port)));
        let url = format!("redis+sentinel://127.0.0.1:{silent},127.0.0.1:{nonsense},127.0.0.1:{honest}/cache/0");
        // (The silent one takes its share of it.)
        let tier = Tier::open(Options { timeout: Duration::from_secs(8), ..options(&url, None) }).unwrap();
        let call = call(&tier, b"1");
        compute(&tier, &call, b"value");
        assert_eq!(found(tier.look(&call)).body, b"value");
    }
}
