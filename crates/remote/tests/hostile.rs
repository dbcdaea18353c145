//! Servers that do what no server should: every request ends, with an error, and the connection is not used again.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use redis::{cmd, Value};
use remote::connection::Connection;
use remote::deadline::Deadline;
use remote::error::Error;
use support::{drain, hostile, hostile_after_hello, late, open, soon, HELLO};

/// Repeats a piece until the peer has gone.
fn forever(mut stream: TcpStream, piece: &[u8], pause: Duration) {
    while stream.write_all(piece).is_ok() {
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
}

/// What a request to a server that behaves so after `HELLO` ends with.
fn request(script: impl Fn(TcpStream) + Send + Sync + 'static, deadline: fn() -> Deadline) -> Error {
    let mut connection = open(&hostile_after_hello(script), late()).unwrap();
    let error = connection.request(cmd("GET").arg("k"), deadline()).unwrap_err();
    assert!(!connection.is_usable() && !connection.is_quiet());
    if error != Error::Timeout {
        // What is broken says so at once from then on.
        assert!(connection.request(cmd("GET").arg("k"), late()).is_err());
    }
    error
}

#[test]
fn a_server_that_never_answers_ends_at_the_deadline() {
    assert_eq!(open(&hostile(drain), soon()).err(), Some(Error::Timeout));
    assert_eq!(request(drain, soon), Error::Timeout);
}

#[test]
fn an_answer_that_drips_ends_at_the_deadline() {
    let drips = |piece: &'static [u8]| {
        move |mut stream: TcpStream| {
            let _ = stream.write_all(b"$10000000\r\n");
            forever(stream, piece, Duration::from_millis(1));
        }
    };
    assert_eq!(request(drips(b"x"), soon), Error::Timeout);
    assert_eq!(open(&hostile(drips(b"x")), soon()).err(), Some(Error::Timeout));
    // (A line, an aggregate without an end.)
    assert_eq!(request(|stream| forever(stream, b"+", Duration::from_millis(1)), soon), Error::Timeout);
}

#[test]
fn an_answer_without_an_end_ends_at_its_bound() {
    assert_eq!(request(|stream| forever(stream, &[b'x'; 4096].map(|_| b'+'), Duration::ZERO), late), Error::TooLarge);
    let numbers = |mut stream: TcpStream| {
        let _ = stream.write_all(b"*1048577\r\n");
        forever(stream, b":1\r\n:1\r\n:1\r\n:1\r\n", Duration::ZERO);
    };
    assert_eq!(request(numbers, late), Error::TooLarge);
    let nested = |stream| forever(stream, b"*1000\r\n", Duration::ZERO);
    assert!(matches!(request(nested, late), Error::Protocol(_)));
    let strings = |mut stream: TcpStream| {
        let _ = stream.write_all(b"*1000000\r\n");
        let mut piece = b"$1000000\r\n".to_vec();
        piece.resize(piece.len() + 1_000_000, b'x');
        piece.extend(b"\r\n");
        forever(stream, &piece, Duration::ZERO);
    };
    assert_eq!(request(strings, late), Error::TooLarge);
}

#[test]
fn a_length_of_gigabytes_is_refused_when_it_is_read() {
    for header in ["$3000000000\r\n", "*3000000000\r\n", "%3000000000\r\n", "=3000000000\r\n", ">3000000000\r\n"] {
        let answer = move |mut stream: TcpStream| {
            let _ = stream.write_all(header.as_bytes());
            drain(stream);
        };
        assert_eq!(request(answer, late), Error::TooLarge);
    }
}

#[test]
fn pushes_without_an_end_end_at_the_deadline_or_their_bound() {
    let error = request(|stream| forever(stream, b">1\r\n+invalidate\r\n", Duration::from_millis(1)), soon);
    assert_eq!(error, Error::Timeout);
    let mut large = b">2\r\n+invalidate\r\n$1000000\r\n".to_vec();
    large.resize(large.len() + 1_000_000, b'x');
    large.extend(b"\r\n");
    assert_eq!(request(move |stream| forever(stream, &large, Duration::ZERO), late), Error::TooLarge);
}

#[test]
fn nonsense_is_no_answer() {
    assert!(matches!(request(|stream| forever(stream, b"\0\0\0\0", Duration::ZERO), late), Error::TooLarge));
    let http = |mut stream: TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        drain(stream);
    };
    assert!(matches!(request(http, late), Error::Protocol(_)));
    assert!(matches!(open(&hostile(http), late()).err(), Some(Error::Protocol(_))));
    // An answer to HELLO of the wrong kind.
    let text = |mut stream: TcpStream| {
        let _ = stream.write_all(b"+OK\r\n");
        drain(stream);
    };
    assert!(matches!(open(&hostile(text), late()).err(), Some(Error::Protocol(_))));
}

#[test]
fn a_server_that_goes_away_is_gone() {
    assert!(open(&hostile(drop), late()).err().unwrap().is_unreachable());
    assert!(request(drop, late).is_unreachable());
    let half = |mut stream: TcpStream| drop(stream.write_all(b"$10\r\nabc"));
    assert!(request(half, late).is_unreachable());
}

#[test]
fn a_server_that_does_not_read_ends_a_large_request() {
    let mut connection = open(&hostile_after_hello(|stream| drop((std::thread::park(), stream))), late()).unwrap();
    let value = vec![0u8; 64 << 20];
    assert_eq!(connection.request(cmd("SET").arg("k").arg(value), soon()), Err(Error::Timeout));
    assert!(!connection.is_usable());
    assert_eq!(connection.request(&cmd("PING"), late()), Err(Error::Closed));
}

#[test]
fn a_server_that_does_not_accept_ends_at_the_deadline() {
    use rustix::net::{bind, listen, socket, AddressFamily, SocketAddrUnix, SocketType};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    let url = format!("unix://{}", path.display());
    // The first ones stand in the queue and wait for an answer; for the others there is no room.
    for _ in 0..4 {
        assert_eq!(open(&url, soon()).err(), Some(Error::Timeout));
    }
}

#[test]
fn pushes_and_replies_are_told_apart_wherever_they_are_and_however_split() {
    const PUSH: &[u8] = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    const REPLIES: &[&[u8]] = &[b"$3\r\none\r\n", b":2\r\n", b"*2\r\n+3\r\n_\r\n", b"-ERR four\r\n"];
    // Pushes before, between and after the replies, each byte a segment of its own.
    let script = |mut stream: TcpStream| {
        let mut bytes = PUSH.to_vec();
        for reply in REPLIES {
            bytes.extend(*reply);
            bytes.extend(PUSH);
        }
        for byte in bytes {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
        }
        drain(stream);
    };
    let mut connection = open(&hostile_after_hello(script), late()).unwrap();
    let mut pipeline = redis::Pipeline::new();
    for _ in REPLIES {
        pipeline.cmd("GET").arg("k");
    }
    let replies = connection.pipeline(&pipeline, late()).unwrap();
    let expected: Vec<Value> = REPLIES.iter().map(|reply| redis::parse_redis_value(reply).unwrap()).collect();
    assert_eq!(replies, expected);
    for _ in 0..=REPLIES.len() {
        assert_eq!(connection.next_push(late()).unwrap(), redis::parse_redis_value(PUSH).unwrap());
    }
    assert_eq!(connection.next_push(soon()), Err(Error::Timeout));
    assert!(connection.is_usable() && connection.is_quiet());
}

#[test]
fn what_comes_unasked_makes_a_connection_unusable() {
    let script = |mut stream: TcpStream| {
        let _ = stream.write_all(b"+unasked\r\n");
        drain(stream);
    };
    let mut connection = open(&hostile_after_hello(script), late()).unwrap();
    assert!(matches!(connection.next_push(late()), Err(Error::Protocol(_))));
    assert!(!connection.is_usable());
}

#[test]
fn a_late_answer_never_becomes_the_next_requests() {
    let timed_out = Arc::new(Barrier::new(2));
    let script = {
        let timed_out = timed_out.clone();
        move |mut stream: TcpStream| {
            timed_out.wait();
            let _ = stream.write_all(b"$5\r\nfirst\r\n");
            drain(stream);
        }
    };
    let mut connection = open(&hostile_after_hello(script), late()).unwrap();
    assert_eq!(connection.request(cmd("GET").arg("a"), soon()), Err(Error::Timeout));
    assert!(!connection.is_usable());
    timed_out.wait();
    // It is still owed: who waits on gets it, and then all is answered.
    assert_eq!(connection.receive(late()), Ok(Value::BulkString(b"first".to_vec())));
    assert!(connection.is_usable());
}

#[test]
fn errors_that_name_another_server_retire_the_connection() {
    for (answer, retired) in [
        ("-MOVED 1 127.0.0.1:1\r\n", true),
        ("-READONLY replica\r\n", true),
        ("-CLUSTERDOWN no\r\n", true),
        ("-LOADING wait\r\n", true),
        ("*2\r\n+OK\r\n-READONLY replica\r\n", true),
        ("-ERR wrong\r\n", false),
        ("-OOM full\r\n", false),
        ("$8\r\nREADONLY\r\n", false),
    ] {
        let script = move |mut stream: TcpStream| {
            let _ = stream.write_all(answer.as_bytes());
            drain(stream);
        };
        let mut connection = open(&hostile_after_hello(script), late()).unwrap();
        connection.request(&cmd("PING"), late()).unwrap();
        assert_eq!((connection.is_retired(), connection.is_usable()), (retired, !retired), "{answer}");
    }
}

/// A server that refuses says why by a code only: its text may repeat what was sent.
#[test]
fn refusals_show_no_password() {
    let url = hostile(|mut stream| {
        // As servers before Redis 6 answer: with the arguments.
        let _ = stream.write_all(b"-ERR unknown command `HELLO`, with args beginning with: `hunter2`\r\n");
        let _ = stream.write_all(b"-hunter2 invalid password hunter2\r\n");
        drain(stream);
    });
    let error = open(&url.replace("://", "://:hunter2@"), late()).err().unwrap();
    assert!(matches!(error, Error::Refused(_)));
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn a_hello_split_at_each_byte_is_understood() {
    let url = hostile(|mut stream| {
        for byte in HELLO {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
        }
        drain(stream);
    });
    let connection: Connection = open(&url, late()).unwrap();
    assert_eq!((connection.peer().server.as_str(), connection.peer().protocol), ("redis", 3));
}
