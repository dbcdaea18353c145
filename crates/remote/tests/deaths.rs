//! Processes that are killed or stopped while they compute for all hosts.

mod support;

use std::time::Duration;

use remote::tier::Stored;
use rustix::process::Signal;
use support::member::Member;
use support::tiers::{call, draft, found, mine, theirs, told, wait};
use support::with_each_server;

/// A process that takes a lease, and computes until its parent ends it. Its key is the name of the folder that it is given.
#[test]
fn member() {
    let (Ok(key), Ok(url)) = (std::env::var("WARP_MEMBER_DIR"), std::env::var("WARP_MEMBER_URL")) else { return };
    let tier = told(&url);
    let call = call(&tier, key.as_bytes());
    let _lease = mine(tier.look(&call));
    println!("\nlistening");
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

#[test]
fn the_lease_of_a_process_that_is_killed_or_stopped_is_taken_over() {
    with_each_server(&[], |server| {
        let tier = told(&server.url());
        std::thread::scope(|scope| {
            for (key, signal) in [("killed", Signal::KILL), ("stopped", Signal::STOP)] {
                let (tier, url) = (&tier, server.url());
                scope.spawn(move || {
                    let member = Member::start(std::path::Path::new(key), &url, Duration::from_secs(40));
                    let call = call(tier, key.as_bytes());
                    let waiting = theirs(tier.look(&call));
                    member.signal(signal);
                    let lease = mine(wait(tier, &call, remote::tier::Looked::Theirs(waiting)));
                    assert_eq!(tier.store(&call, lease, draft(b"again")), Stored::Done);
                    assert_eq!(found(tier.look(&call)).body, b"again");
                });
            }
        });
    });
}
