//! Forks: a child closes what it inherits, begins anew, and leaves its parent's connections alone.

mod support;

use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use redis::{cmd, Value};
use remote::breaker::{Admission, Failure, ProcessBreaker};
use remote::coherence::{Coherence, Counter};
use remote::deadline::Deadline;
use remote::error::Error;
use remote::pool::Pool;
use remote::tier::{Looked, Stored};
use support::host::{attended, settings};
use support::tiers::{call, compute, covered, draft, mine, told};
use support::{hostile_after_hello, late, open, target, until, with_each_server};

/// Runs `f` in a fork. A panic or a hang of it is the test's failure.
fn in_child(f: impl FnOnce() -> bool) {
    // SAFETY: the child runs `f` and ends, without a return to the test's harness.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            libc::alarm(60);
            let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(false);
            libc::_exit(i32::from(!passed));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        assert_eq!(status, 0, "exit code {}, signal {}", libc::WEXITSTATUS(status), libc::WTERMSIG(status));
    }
}

#[test]
fn a_child_begins_with_an_empty_pool_and_the_parent_goes_on() {
    with_each_server(&[], |server| {
        let (target, login) = target(&server.url());
        let pool = Pool::new(target, Box::new(move |_| Ok(login.clone())), 4);
        let mut used = pool.take(late()).unwrap();
        let idle = pool.take(late()).unwrap();
        let ids = [used.peer().id, idle.peer().id];
        drop(idle);
        in_child(|| {
            let unusable = !used.is_ours() && !used.is_usable() && !used.is_quiet();
            let closed = used.request(&cmd("PING"), late()) == Err(Error::Closed);
            let empty = pool.idle() == 0;
            let mut own = pool.take(late()).unwrap();
            let new = !ids.contains(&own.peer().id);
            let answered = own.request(cmd("SET").arg("child").arg(1), late()) == Ok(Value::Okay);
            drop(own);
            unusable && closed && empty && new && answered && pool.idle() == 1
        });
        // Neither conversation was touched.
        assert_eq!(used.request(cmd("EXISTS").arg("child"), late()), Ok(Value::Int(1)));
        let again = pool.take(late()).unwrap();
        assert!(again.is_reused() && again.peer().id == ids[1]);
    });
}

#[test]
fn a_connection_ends_with_its_owner_although_a_child_lives_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        std::io::Write::write_all(&mut stream, support::HELLO).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // Ends when the last copy of the client's socket is closed.
        std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
    });
    let connection = open(&url, late()).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the child waits for the pipe's end and ends.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        drop(writer);
        let _ = std::io::copy(&mut &reader, &mut std::io::sink());
        // SAFETY: ends this process, which is the test's.
        unsafe { libc::_exit(0) }
    }
    drop(reader);
    drop(connection);
    server.join().unwrap().unwrap();
    // The child has lived until now.
    drop(writer);
    let mut status = 0;
    // SAFETY: waits for the child of this process.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
}

#[test]
fn a_number_that_became_another_files_is_left_alone_by_what_is_inherited() {
    let url = hostile_after_hello(support::drain);
    let connection = open(&url, late()).unwrap();
    let mut connection = Some(connection);
    in_child(|| {
        // The lowest free numbers are those of the inherited sockets.
        let files: Vec<_> = (0..64).map(|_| std::fs::File::open("/dev/zero").unwrap()).collect();
        drop(connection.take());
        files.into_iter().all(|mut file| file.read_exact(&mut [0; 8]).is_ok())
    });
}

#[test]
fn forks_in_the_midst_of_use_leave_children_that_work() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let (target, login) = target(&hostile_after_hello(support::drain));
    let pool = Pool::new(target, Box::new(move |_| Ok(login.clone())), 2);
    let (stop, breaker) = (Arc::new(AtomicBool::new(false)), Arc::new(ProcessBreaker::default()));
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let (pool, stop, breaker) = (pool.clone(), stop.clone(), breaker.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    drop(pool.take(late()).unwrap());
                    breaker.failed(Admission::Pass, Failure::Connect);
                    let _ = remote::stream::resolve::resolve("localhost", 1, late());
                }
            })
        })
        .collect();
    for _ in 0..30 {
        in_child(|| {
            let fresh = !breaker.is_open() && pool.idle() == 0;
            let soon = Deadline::after(Duration::from_secs(20));
            fresh && pool.take(soon).is_ok() && remote::stream::resolve::resolve("localhost", 1, soon).is_ok()
        });
    }
    stop.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(breaker.is_open());
}

#[test]
fn a_child_listens_for_itself_at_its_first_use() {
    with_each_server(&[], |server| {
        let listens = |coherence: &Coherence| {
            let record = coherence.words().record();
            record.pid == u64::from(std::process::id()) && record.beat.is_some()
        };
        let coherence = attended(None, &server.url(), Duration::from_millis(200));
        until("the parent listens", || listens(&coherence));
        in_child(|| {
            let inherited = !listens(&coherence);
            coherence.attend(&settings(&server.url()));
            until("the child listens", || listens(&coherence));
            inherited
        });
        let confirmed = || coherence.words().counter(Counter::Confirmations);
        let before = confirmed();
        until("the parent still listens", || confirmed() > before);
        assert!(listens(&coherence) && coherence.words().counter(Counter::Sessions) == 1);
    });
}

#[test]
fn a_child_owns_none_of_its_parents_leases_and_uses_the_tier_for_itself() {
    with_each_server(&[], |server| {
        let tier = told(&server.url());
        let call = call(&tier, b"1");
        let mut lease = Some(mine(tier.look(&call)));
        in_child(|| {
            let waits = matches!(tier.look(&call), Looked::Theirs(_));
            let fenced = tier.store(&call, lease.take().unwrap(), draft(b"child's")) == Stored::Fenced;
            let other = support::tiers::call(&tier, b"2");
            compute(&tier, &other, b"child's");
            waits && fenced && covered(&tier, &other).body == b"child's"
        });
        assert!(matches!(tier.look(&call), Looked::Ours(..)));
        assert_eq!(tier.store(&call, lease.take().unwrap(), draft(b"parent's")), Stored::Done);
        assert_eq!(covered(&tier, &support::tiers::call(&tier, b"2")).body, b"child's");
    });
}
