//! A fork while other threads wait: the child forgets them, and nothing that they held keeps it waiting.
#![cfg(all(unix, not(loom)))]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use concurrency::fork;
use concurrency::inflight::{Flight, Outcome, Waited, Waiting};
use concurrency::thread_id;

/// Runs `f` in a fork. A panic or a hang of it is the test's failure.
fn in_child(f: impl FnOnce() -> bool) {
    // SAFETY: the child runs `f` and ends, without a return to the test's harness.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            libc::alarm(30);
            let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(false);
            libc::_exit(i32::from(!passed));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        assert_eq!(status, 0, "exit code {}, signal {}", libc::WEXITSTATUS(status), libc::WTERMSIG(status));
    }
}

#[test]
fn the_child_forgets_the_threads_it_does_not_have() {
    fork::watch();
    fork::watch();
    let epoch = fork::epoch();
    let me = thread_id::current();
    let own_index = thread_id::index();
    let flight = Arc::new(Flight::new(me));
    let stop = Arc::new(AtomicBool::new(false));
    // They hold the registry and the flight's lock as often as they can, and small indexes all the time.
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let (flight, stop) = (Arc::clone(&flight), Arc::clone(&stop));
            thread::spawn(move || {
                let me = thread_id::current();
                thread_id::index();
                while !stop.load(Ordering::Relaxed) {
                    let waiting = Waiting::begin(me, &flight);
                    assert!(waiting.is_some() && matches!(flight.wait(Duration::ZERO, None), Waited::NotYet));
                }
                me
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(20));
    for round in 0..100 {
        in_child(|| {
            // What is inherited is given up without a look at its lock.
            let given_up = !flight.is_of_this_process()
                && flight.complete(Outcome::Value(1)).is_some()
                && !flight.take_over(me, Duration::ZERO)
                && matches!(flight.wait(Duration::from_secs(1000), None), Waited::Outcome(Outcome::Abandoned));
            // This thread is the same, another is a new one, and nobody waits.
            let known = thread_id::current() == me && thread_id::is_of_this_process(me);
            let other = thread::spawn(|| (thread_id::current(), thread_id::index())).join().unwrap();
            let new = thread_id::is_of_this_process(other.0) && !thread_id::is_of_this_process(other.0 - 1);
            let dense = other.1 == usize::from(own_index == 0) && thread_id::index() == own_index;
            let fresh = Flight::<u8>::new(other.0);
            let waits = Waiting::begin(me, &fresh).is_some() && fresh.complete(Outcome::Value(1)).is_none();
            // And so on in the child's child.
            if round == 0 {
                in_child(|| thread_id::is_of_this_process(me) && !thread_id::is_of_this_process(other.0));
            }
            let counted = fork::epoch() == epoch + 1 && fork::exclusive(|| true);
            given_up && known && new && dense && waits && counted
        });
    }
    stop.store(true, Ordering::Relaxed);
    for thread in busy {
        assert!(thread_id::is_of_this_process(thread.join().unwrap()));
    }
    assert!(flight.complete(Outcome::Value(1)).is_none());
}
