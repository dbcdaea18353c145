//! Real servers: whatever of them is installed.

mod support;

use std::sync::Arc;

use redis::{cmd, Value};
use remote::connection::{Connection, Role};
use remote::error::Error;
use remote::pool::Pool;
use support::{certificates, late, open, programs, soon, target, with_each_server, Server};

fn text(value: &str) -> Value {
    Value::BulkString(value.as_bytes().to_vec())
}

fn pool(server: &Server) -> Arc<Pool> {
    let (target, login) = target(&server.url());
    Pool::new(target, Box::new(move |_| Ok(login.clone())), 4)
}

#[test]
fn commands_pipelines_and_transactions_over_tcp_and_unix_sockets() {
    with_each_server(&[], |server| {
        let unix = format!("unix://{}?db=3&client_name=tester", server.socket().display());
        for (url, db, name) in [(format!("{}/3?client_name=tester", server.url()), 3, "tester"), (unix, 3, "tester")] {
            let mut connection = open(&url, late()).unwrap();
            let peer = connection.peer().clone();
            assert_eq!((peer.protocol, peer.role, peer.cluster), (3, Role::Master, false));
            assert!(peer.version.0 >= 6 && !peer.server.is_empty());
            assert_eq!(connection.request(cmd("CLIENT").arg("ID"), late()), Ok(Value::Int(peer.id)));
            assert_eq!(connection.request(cmd("CLIENT").arg("GETNAME"), late()), Ok(text(name)));

            let value: Vec<u8> = (0..=255).cycle().take(100_000).collect();
            assert_eq!(connection.request(cmd("SET").arg("k").arg(&value), late()), Ok(Value::Okay));
            assert_eq!(connection.request(cmd("GET").arg("k"), late()), Ok(Value::BulkString(value)));
            let mut pipeline = redis::Pipeline::new();
            pipeline.cmd("PTTL").arg("k").cmd("GET").arg("none").cmd("INCR").arg("k");
            let replies = connection.pipeline(&pipeline, late()).unwrap();
            assert_eq!(replies[..2], [Value::Int(-1), Value::Nil]);
            assert!(matches!(replies[2], Value::ServerError(_)));
            pipeline.atomic();
            let replies = connection.pipeline(&pipeline, late()).unwrap();
            assert!(replies.len() == 5 && matches!(&replies[4], Value::Array(results) if results.len() == 3));
            assert!(connection.is_quiet());

            let (target, login) = target(&url);
            let mut other = Connection::open(&target.with_db(db + 1), &login, late()).unwrap();
            assert_eq!(other.request(cmd("EXISTS").arg("k"), late()), Ok(Value::Int(0)));
        }
    });
}

#[test]
fn logins() {
    let rules = ["--requirepass", "p@ss", "--user", "alice", "on", ">word", "~*", "+@all"];
    with_each_server(&rules, |server| {
        let url = |login: &str| server.url().replace("://", &format!("://{login}"));
        for (login, code) in [
            (":p%40ss@", None),
            ("default:p%40ss@", None),
            ("alice:word@", None),
            ("", Some("NOAUTH")),
            (":wrong@", Some("WRONGPASS")),
            ("alice:p%40ss@", Some("WRONGPASS")),
            ("bob:word@", Some("WRONGPASS")),
        ] {
            match (open(&url(login), late()), code) {
                (Ok(mut connection), None) => assert!(connection.request(&cmd("DBSIZE"), late()).is_ok()),
                (Err(Error::Refused(found)), Some(code)) => assert_eq!(found.as_str(), code),
                (outcome, _) => panic!("{login}: {:?}", outcome.err()),
            }
        }
        assert!(matches!(open(&format!("{}/99999", url(":p%40ss@")), late()), Err(Error::Refused(_))));
    });
}

#[test]
fn a_server_without_hello_is_spoken_to_as_of_old() {
    // Old servers know no users; a new one without the command is the nearest that is to be had.
    with_each_server(&["--rename-command", "HELLO", "", "--requirepass", "word"], |server| {
        let url = server.url().replace("://", "://:word@");
        let mut connection = open(&format!("{url}/2?client_name=old"), late()).unwrap();
        assert_eq!((connection.peer().protocol, connection.peer().role), (2, Role::Master));
        assert_eq!(connection.request(cmd("SET").arg("k").arg("v"), late()), Ok(Value::Okay));
        assert_eq!(connection.request(cmd("CLIENT").arg("GETNAME"), late()), Ok(text("old")));
        assert!(connection.is_quiet());
        let mut other = open(&url, late()).unwrap();
        assert_eq!(other.request(cmd("EXISTS").arg("k"), late()), Ok(Value::Int(0)));
        for wrong in ["://:wrong@", "://"] {
            assert!(matches!(open(&server.url().replace("://", wrong), late()), Err(Error::Refused(_))));
            assert!(matches!(
                open(&format!("{}/2", server.url().replace("://", wrong)), late()),
                Err(Error::Refused(_))
            ));
        }
    });
}

#[test]
fn invalidations_come_as_pushes_beside_replies() {
    with_each_server(&[], |server| {
        let mut listener = open(&server.url(), late()).unwrap();
        let mut tracking = cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg("wc1::k:");
        assert_eq!(listener.request(&tracking, late()), Ok(Value::Okay));
        let mut writer = open(&server.url(), late()).unwrap();
        for key in ["wc1::k:a", "other", "wc1::k:b"] {
            assert_eq!(writer.request(cmd("SET").arg(key).arg(1), late()), Ok(Value::Okay));
        }
        let told = |push| match push {
            Value::Push { data, .. } => data,
            other => panic!("{other:?}"),
        };
        assert_eq!(told(listener.next_push(late()).unwrap()), [Value::Array(vec![text("wc1::k:a")])]);
        // Also while a reply is waited for.
        while !matches!(listener.take_push(), Some(Value::Push { data, .. }) if data == [Value::Array(vec![text("wc1::k:b")])])
        {
            assert_eq!(listener.request(&cmd("DBSIZE"), late()), Ok(Value::Int(3)));
        }
        writer.request(&cmd("FLUSHALL"), late()).unwrap();
        assert_eq!(told(listener.next_push(late()).unwrap()), [Value::Nil]);
    });
}

#[test]
fn an_answer_beyond_the_bound_is_not_read() {
    with_each_server(&[], |server| {
        let mut writer = open(&server.url(), late()).unwrap();
        writer.request(cmd("SET").arg("k").arg(vec![b'x'; 1 << 20]), late()).unwrap();
        let (target, login) = target(&server.url());
        let mut reader = Connection::open(&target.with_max_reply(1 << 19), &login, late()).unwrap();
        assert_eq!(reader.request(cmd("GET").arg("k"), late()), Err(Error::TooLarge));
        assert!(!reader.is_usable());
    });
}

#[test]
fn a_pool_keeps_what_is_usable_and_nothing_else() {
    with_each_server(&[], |server| {
        let pool = pool(server);
        let id = |lease: &remote::pool::Lease| lease.peer().id;
        let mut first = pool.take(late()).unwrap();
        let second = pool.take(late()).unwrap();
        let (first_id, second_id) = (id(&first), id(&second));
        assert!(first_id != second_id && !first.is_reused());
        first.request(&cmd("PING"), late()).unwrap();
        drop(second);
        drop(first);
        assert_eq!(pool.idle(), 2);
        // The last one returned is taken first.
        let again = pool.take(late()).unwrap();
        assert!(id(&again) == first_id && again.is_reused());
        let second = pool.take(late()).unwrap();

        // The server closes them all, which nobody notices before they are taken: a new one is opened.
        let mut admin = open(&server.url(), late()).unwrap();
        let mut kill = cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
        assert!(matches!(admin.request(&kill, late()), Ok(Value::Int(2..))));
        while !(again.stream().is_readable() && second.stream().is_readable()) {
            std::thread::yield_now();
        }
        drop((again, second));
        assert_eq!(pool.idle(), 2);
        let new = pool.take(late()).unwrap();
        assert!(![first_id, second_id].contains(&id(&new)));
        assert_eq!(pool.idle(), 0);

        // One with an unanswered command is not returned, nor one that was taken before a clear.
        let mut unanswered = pool.take(late()).unwrap();
        unanswered.send(&cmd("PING").get_packed_command(), 1, late()).unwrap();
        drop(unanswered);
        pool.clear();
        drop(new);
        assert_eq!(pool.idle(), 0);
        let many: Vec<_> = (0..6).map(|_| pool.take(late()).unwrap()).collect();
        drop(many);
        assert_eq!(pool.idle(), 4);
    });
}

#[test]
fn a_stopped_server_costs_the_deadline_and_the_connection() {
    with_each_server(&[], |server| {
        let pool = pool(server);
        let mut lease = pool.take(late()).unwrap();
        server.stop();
        assert_eq!(lease.request(&cmd("PING"), soon()), Err(Error::Timeout));
        drop(lease);
        assert_eq!(pool.idle(), 0);
        // The system still accepts for it.
        assert_eq!(pool.take(soon()).err(), Some(Error::Timeout));
        server.resume();
        assert!(pool.take(late()).unwrap().request(&cmd("PING"), late()).is_ok());
    });
}

#[test]
fn a_replica_is_known_as_one_and_its_refusal_retires_the_connection() {
    with_each_server(&[], |server| {
        let pool = pool(server);
        let mut lease = pool.take(late()).unwrap();
        lease.request(cmd("REPLICAOF").arg("127.0.0.1").arg(1), late()).unwrap();
        assert!(matches!(lease.request(cmd("SET").arg("k").arg(1), late()), Ok(Value::ServerError(_))));
        assert!(lease.is_retired());
        drop(lease);
        assert_eq!(pool.idle(), 0);
        assert_eq!(pool.take(late()).unwrap().peer().role, Role::Replica);
    });
}

#[test]
fn no_server_is_an_error_at_once() {
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("redis://{}", listener.local_addr().unwrap())
    };
    assert!(open(&url, late()).err().unwrap().is_unreachable());
    assert!(open("unix:///nowhere/socket", late()).err().unwrap().is_unreachable());
}

#[test]
fn tls_with_certificates_of_both_sides() {
    let files = certificates::files("localhost", false);
    for program in programs() {
        let Some(server) = Server::start(&program, &[], Some(&files)) else {
            eprintln!("SKIPPED: {} has no TLS", program.display());
            continue;
        };
        let url = format!("rediss://localhost:{}/1?ssl_ca_certs={}", server.tls_port.unwrap(), files.ca.display());
        let both = format!("{url}&ssl_certfile={}&ssl_keyfile={}", files.certificate.display(), files.key.display());
        let mut connection = open(&both, late()).unwrap();
        let value = vec![7u8; 3 << 20];
        assert_eq!(connection.request(cmd("SET").arg("k").arg(&value), late()), Ok(Value::Okay));
        assert_eq!(connection.request(cmd("GET").arg("k"), late()), Ok(Value::BulkString(value)));
        assert!(connection.is_quiet());
        assert!(open(&url, late()).is_err(), "without a certificate of its own");
    }
}
