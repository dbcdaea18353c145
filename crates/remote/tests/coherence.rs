//! Coherence with real servers: hosts that are told, cut off, stopped and killed.

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use concurrency::boottime;
use redis::{cmd, Value};
use remote::breaker::{Admission, Failure};
use remote::coherence::{Coherence, Counter, Stripe, Tracking};
use remote::connection::Connection;
use rustix::process::Signal;
use support::forwarder::{Direction, Forwarder};
use support::host::{attended, key, keys, settings, with_readers, From, History, Reader, Seen, KEYS, SUBJECT};
use tempfile::TempDir;

use support::member::Member;
use support::{late, open, programs, until, with_each_server, Server};

/// So long that nothing in a test waits for it: only a push tells.
const LONG: Duration = Duration::from_secs(40);
/// So short that a test can wait for it to pass.
const SHORT: Duration = Duration::from_millis(400);

/// One that is its owner's alone, as coherence files want it.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    directory
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}

fn confirmed(coherence: &Coherence) {
    until("a heartbeat comes back", || coherence.words().record().beat.is_some());
}

fn listens(coherence: &Coherence, pid: u64) {
    let words = coherence.words();
    until("it listens", || words.record().pid == pid && words.record().beat.is_some());
}

fn confirmed_anew(coherence: &Coherence) {
    let before = coherence.words().counter(Counter::Confirmations);
    until("another heartbeat comes back", || coherence.words().counter(Counter::Confirmations) > before);
}

/// Near hits come, of whatever.
fn hits(seen: &Seen) {
    let before = seen.near.load(Ordering::Relaxed);
    until("near hits", || seen.near.load(Ordering::Relaxed) > before + 100);
}

#[test]
fn what_one_host_writes_another_is_told() {
    with_each_server(&[], |server| {
        let dirs = [directory(), directory()];
        let hosts = [0, 1].map(|i| attended(Some(dirs[i].path()), &server.url(), LONG));
        hosts.iter().for_each(|host| confirmed(host));
        for host in &hosts {
            assert!(host.is_shared(), "{:?}", host.why_private().map(ToString::to_string));
            assert_eq!(host.words().tracking(), Tracking::Told);
        }
        let mut writer = open(&server.url(), late()).unwrap();
        let (history, mut reader) = (History::default(), Reader::new(&hosts[1], &server.url(), nanoseconds(LONG)));
        for (round, i) in (0..3).flat_map(|round| (0..KEYS).map(move |i| (round, i))) {
            history.write(&mut writer, i);
            until("the new value", || reader.read(i).unwrap().0 == Some(round + 1));
            until("a near copy", || reader.read(i) == Some((Some(round + 1), From::Near)));
        }
        // A flush names no key.
        writer.request(&cmd("FLUSHALL"), late()).unwrap();
        until("all is void", || reader.read(0) == Some((None, From::Far)));
        until("that it is not there is known", || reader.read(0) == Some((None, From::Near)));
        assert!(hosts[1].words().counter(Counter::Flushes) == 1 && hosts[1].words().counter(Counter::Sessions) == 1);

        // Who waits is woken by a push, long before its time.
        let (words, stripe) = (hosts[1].words(), Stripe::of_value(&key(0)));
        let seen = words.pair(&[stripe]);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| words.wait(stripe, seen, LONG * 10));
            writer.request(cmd("DEL").arg(key(0)), late()).unwrap();
            writer.request(cmd("SET").arg(key(0)).arg(1), late()).unwrap();
            assert!(waiter.join().unwrap());
        });
    });
}

/// The listener's connection goes silent; the reader's own goes on. `bound`: what the reader takes for fresh.
fn cut(server: &Server, direction: Direction, bound: u64) -> Seen {
    let dir = directory();
    let forwarder = Forwarder::to(server.port);
    let host = attended(Some(dir.path()), &forwarder.url(), SHORT);
    confirmed(&host);
    let (history, mut writer) = (History::default(), open(&server.url(), late()).unwrap());
    writer.request(&cmd("FLUSHALL"), late()).unwrap();
    let readers = (0..2).map(|_| Reader::new(&host, &server.url(), bound)).collect();
    with_readers(readers, &history, |seen| {
        for _ in 0..2 {
            (0..KEYS).for_each(|i| history.write(&mut writer, i));
            hits(seen);
            forwarder.hold(direction);
            let held = boottime::now();
            // Until all that was confirmed before has long passed.
            until("time passes", || {
                history.write(&mut writer, 0);
                history.write(&mut writer, (held % u64::from(KEYS)) as u8);
                boottime::now() > held + 3 * nanoseconds(SHORT)
            });
            forwarder.release();
            confirmed_anew(&host);
        }
    })
}

#[test]
fn nothing_is_older_than_the_bound_while_a_connection_is_silent() {
    with_each_server(&[], |server| {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let seen = cut(server, direction, nanoseconds(SHORT));
            assert!(seen.lateness.into_inner() < nanoseconds(SHORT), "{direction:?}");
            assert!(seen.far.into_inner() > 0);
        }
    });
}

#[test]
fn without_the_bound_the_checker_finds_what_is_older() {
    with_each_server(&[], |server| {
        let seen = cut(server, Direction::ToClient, u64::MAX);
        assert!(seen.lateness.into_inner() > nanoseconds(SHORT));
    });
}

/// A reader asks for a value, which is overwritten and told of before its answer comes; what it has near then.
fn overtaken(server: &Server, stamp_after: bool) -> Option<Option<u64>> {
    let host = attended(None, &server.url(), LONG);
    confirmed(&host);
    let (history, mut writer) = (History::default(), open(&server.url(), late()).unwrap());
    let forwarder = Forwarder::to(server.port);
    let mut reader = Reader::new(&host, &forwarder.url(), nanoseconds(LONG));
    reader.stamp_after = stamp_after;
    history.write(&mut writer, 0);
    // (Its connection is proved with another key.)
    reader.read(1).unwrap();
    let mut gets = cmd("INFO");
    gets.arg("commandstats");
    let gets = |writer: &mut Connection| {
        let text = match writer.request(&gets, late()).unwrap() {
            Value::BulkString(text) => String::from_utf8(text).unwrap(),
            Value::VerbatimString { text, .. } => text,
            other => panic!("{other:?}"),
        };
        let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls=")).unwrap_or("0,");
        line.split_once(',').unwrap().0.parse::<u64>().unwrap()
    };
    let (before, stripe) = (gets(&mut writer), Stripe::of_value(&key(0)));
    forwarder.hold(Direction::ToClient);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| reader.read(0).unwrap());
        until("the server has answered", || gets(&mut writer) > before);
        let seen = host.words().pair(&[stripe]);
        history.write(&mut writer, 0);
        until("it is told", || host.words().pair(&[stripe]) != seen);
        forwarder.release();
        assert_eq!(reading.join().unwrap(), (Some(1), From::Far));
    });
    reader.near(0)
}

#[test]
fn a_value_that_a_push_has_overtaken_is_void_and_with_a_later_stamp_it_would_not_be() {
    with_each_server(&[], |server| {
        assert_eq!(overtaken(server, false), None);
        open(&server.url(), late()).unwrap().request(&cmd("FLUSHALL"), late()).unwrap();
        assert_eq!(overtaken(server, true), Some(Some(1)));
    });
}

/// A process of a host, which listens until its parent ends it.
#[test]
fn member() {
    let (Ok(dir), Ok(url)) = (std::env::var("WARP_MEMBER_DIR"), std::env::var("WARP_MEMBER_URL")) else { return };
    let staleness = Duration::from_millis(std::env::var("WARP_MEMBER_STALENESS").unwrap().parse().unwrap());
    let host = attended(Some(Path::new(&dir)), &url, staleness);
    assert!(host.is_shared());
    listens(&host, u64::from(std::process::id()));
    println!("\nlistening");
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

#[test]
fn a_listener_that_is_stopped_is_stood_in_for_and_one_that_is_killed_replaced() {
    with_each_server(&[], |server| {
        let dir = directory();
        let member = Member::start(dir.path(), &server.url(), SHORT);
        let host = attended(Some(dir.path()), &server.url(), SHORT);
        let (words, me) = (host.words(), u64::from(std::process::id()));
        let (history, mut writer) = (History::default(), open(&server.url(), late()).unwrap());
        writer.request(&cmd("FLUSHALL"), late()).unwrap();
        let readers = (0..2).map(|_| Reader::new(&host, &server.url(), nanoseconds(SHORT))).collect();
        let seen = with_readers(readers, &history, |seen| {
            let mut write = || (0..KEYS).for_each(|i| history.write(&mut writer, i));
            write();
            hits(seen);
            let former = words.record().client;
            member.signal(Signal::STOP);
            until("it is stood in for", || {
                write();
                words.record().pid == me
            });
            listens(&host, me);
            hits(seen);
            assert_eq!(words.counter(Counter::StandIns), 1);
            // Nobody reads its session any more.
            let mut admin = open(&server.url(), late()).unwrap();
            let mut list = cmd("CLIENT");
            list.arg("LIST").arg("ID").arg(former);
            until("the stopped one's session is ended", || {
                // (Some versions give it as verbatim text.)
                match admin.request(&list, late()).unwrap() {
                    Value::BulkString(text) => text.is_empty(),
                    Value::VerbatimString { text, .. } => text.is_empty(),
                    other => panic!("{other:?}"),
                }
            });
            member.signal(Signal::CONT);
            until("it takes its place back", || {
                write();
                words.record().pid == member.pid()
            });
            listens(&host, member.pid());
            hits(seen);
            member.signal(Signal::KILL);
            until("it is replaced", || {
                write();
                words.record().pid == me
            });
            listens(&host, me);
            write();
            hits(seen);
        });
        assert!(seen.lateness.into_inner() < nanoseconds(SHORT));
    });
}

#[test]
fn what_is_written_while_nobody_listens_is_not_missed() {
    with_each_server(&[], |server| {
        let dir = directory();
        let host = attended(Some(dir.path()), &server.url(), SHORT);
        let words = host.words();
        confirmed(&host);
        let (history, mut writer) = (History::default(), open(&server.url(), late()).unwrap());
        writer.request(&cmd("FLUSHALL"), late()).unwrap();
        let readers = (0..2).map(|_| Reader::new(&host, &server.url(), nanoseconds(SHORT))).collect();
        let seen = with_readers(readers, &history, |seen| {
            for _ in 0..12 {
                hits(seen);
                let (sessions, client) = (words.counter(Counter::Sessions), words.record().client);
                let killed = writer.request(cmd("CLIENT").arg("KILL").arg("ID").arg(client), late());
                assert_eq!(killed, Ok(Value::Int(1)));
                until("a new session", || {
                    (0..KEYS).for_each(|i| history.write(&mut writer, i));
                    words.counter(Counter::Sessions) > sessions
                });
                until("a heartbeat of it", || words.record().beat.is_some());
            }
        });
        assert!(seen.lateness.into_inner() < nanoseconds(SHORT));
    });
}

#[test]
fn a_server_that_is_restarted_empty_has_nothing() {
    for program in programs() {
        let mut server = Server::start(&program, &[], None).unwrap();
        let dir = directory();
        let host = attended(Some(dir.path()), &server.url(), SHORT);
        confirmed(&host);
        let (history, url) = (History::default(), server.url());
        let readers = (0..2).map(|_| Reader::new(&host, &url, nanoseconds(SHORT))).collect();
        let seen = with_readers(readers, &history, |seen| {
            for _ in 0..2 {
                let mut writer = open(&url, late()).unwrap();
                (0..KEYS).for_each(|i| history.write(&mut writer, i));
                hits(seen);
                let sessions = host.words().counter(Counter::Sessions);
                server.restart(|| history.wiped());
                until("it is listened to again", || host.words().counter(Counter::Sessions) > sessions);
                hits(seen);
            }
        });
        assert!(seen.lateness.into_inner() < nanoseconds(SHORT));
    }
}

#[test]
fn a_breaker_is_closed_by_the_thread_whether_it_listens_or_not() {
    for program in programs() {
        let mut server = Server::start(&program, &[], None).unwrap();
        let dir = directory();
        let member = Member::start(dir.path(), &server.url(), SHORT);
        let other = Coherence::open(Some(dir.path()), SUBJECT).unwrap();
        let alone = Coherence::open(None, SUBJECT).unwrap();
        let both = [&other, &alone].map(|host| {
            let settings = settings(&server.url());
            host.attend(&settings);
            (host, settings)
        });
        listens(&alone, u64::from(std::process::id()));
        server.restart(|| {
            for (_, settings) in &both {
                settings.breaker.failed(Admission::Pass, Failure::Connect);
                assert!(settings.breaker.is_open());
            }
        });
        for (_, settings) in &both {
            until("it is closed", || !settings.breaker.is_open());
        }
        // Nor does one stay open while the listener's connection stands.
        both[1].1.breaker.failed(Admission::Pass, Failure::Connect);
        until("it is closed again", || !both[1].1.breaker.is_open());
        listens(&other, member.pid());
    }
}

#[test]
fn who_listens_no_more_leaves_the_lock_to_others() {
    with_each_server(&[], |server| {
        let dir = directory();
        let first = attended(Some(dir.path()), &server.url(), LONG);
        confirmed(&first);
        let session = first.words().record().session;
        drop(first);
        let second = attended(Some(dir.path()), &server.url(), LONG);
        until("another session", || {
            let record = second.words().record();
            record.session != session && record.beat.is_some()
        });
        assert_eq!(second.words().counter(Counter::StandIns), 0);
    });
}

#[test]
fn a_full_server_that_refuses_writes_is_listened_to() {
    with_each_server(&["--maxmemory-policy", "noeviction"], |server| {
        let dir = directory();
        let host = attended(Some(dir.path()), &server.url(), SHORT);
        let mut admin = open(&server.url(), late()).unwrap();
        until("the reserve is made", || {
            let Ok(Value::Array(all)) = admin.request(cmd("KEYS").arg("*"), late()) else { panic!() };
            let mut lives = redis::Pipeline::new();
            for key in all {
                let Value::BulkString(key) = key else { panic!("{key:?}") };
                lives.cmd("PTTL").arg(key);
            }
            let lives = admin.pipeline(&lives, late()).unwrap();
            lives.iter().filter(|life| matches!(life, Value::Int(3_600_000..))).count() == 16
        });
        admin.request(cmd("CONFIG").arg("SET").arg("maxmemory").arg(1), late()).unwrap();
        until("a heartbeat is refused", || host.words().counter(Counter::Refusals) > 0);
        (0..20).for_each(|_| confirmed_anew(&host));
        assert_eq!(host.words().counter(Counter::Sessions), 1);
        admin.request(cmd("CONFIG").arg("SET").arg("maxmemory").arg(0), late()).unwrap();
        until("it takes writes again", || {
            let before = host.words().counter(Counter::Refusals);
            (0..10).for_each(|_| confirmed_anew(&host));
            host.words().counter(Counter::Refusals) == before
        });
    });
}

#[test]
fn a_server_without_tracking_is_known_as_such() {
    with_each_server(&["--rename-command", "CLIENT", ""], |server| {
        let dir = directory();
        let host = attended(Some(dir.path()), &server.url(), SHORT);
        until("it is known", || host.words().tracking() == Tracking::Untold);
        let now = boottime::now();
        let words = host.words();
        assert!(!words.is_confirmed(now, u64::MAX) && words.look(now, u64::MAX).is_none());
        // What is kept until a moment of its own counts, and own writes void it.
        let stripe = Stripe::of_value(&key(0));
        let pair = words.pair(&[stripe]);
        let holds = |now| words.look_until(now, 100).is_some_and(|look| words.holds(&look, pair, &[stripe]));
        assert!(holds(99) && !holds(100));
        words.raise(&[stripe]);
        assert!(!holds(99));
    });
}

#[test]
fn a_connection_is_proved_by_the_listeners_heartbeat() {
    with_each_server(&[], |server| {
        let other = Server::start(&server.program, &[], None).unwrap();
        let host = attended(None, &server.url(), LONG);
        assert!(!host.is_shared());
        confirmed(&host);
        let prove = |url: &str| {
            let mut connection = open(url, late()).unwrap();
            (host.words().prove(&mut connection, &keys(), "", late()), connection)
        };
        let (proved, mut connection) = prove(&server.url());
        assert!(proved == Ok(true) && connection.proof == host.words().epoch());
        assert_eq!(prove(&other.url()).0, Ok(false));
        // Of another epoch: asked again. Of a demoted server: not at all.
        host.words().raise_epoch();
        assert_ne!(connection.proof, host.words().epoch());
        assert_eq!(host.words().prove(&mut connection, &keys(), "", late()), Ok(true));
        connection.request(cmd("REPLICAOF").arg("127.0.0.1").arg(1), late()).unwrap();
        assert_eq!(prove(&server.url()).0, Ok(false));
    });
}
