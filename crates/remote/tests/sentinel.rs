//! A master that fails, and Sentinels that name another.

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use redis::{cmd, Value};
use remote::coherence::Counter;
use remote::connection::Role;
use remote::tier::{Looked, Stored, Tier};
use support::tiers::{call, compute, confirmed, covered, draft, found, holds, options};
use support::{late, open, programs, until, Server};

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
