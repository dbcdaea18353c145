//! The fence, by histories: what was computed before an invalidation is served to nobody who asks after it.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use concurrency::boottime;
use redis::{cmd, Value};
use remote::tier::Tier;
use support::cache::{Fault, Host, Source, Truth, KEYS};
use support::forwarder::{Direction, Forwarder};
use support::tiers::{call, compute, covered, found, holds, told, Apart};
use support::{late, open, until, with_each_server, Server};

/// Invalidations of each host; `WARP_FENCES` asks for another number.
fn fences(usual: u64) -> u64 {
    std::env::var("WARP_FENCES").ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

/// What the reads of a run have shown.
#[derive(Debug, Default)]
struct Shown {
    /// Reads of what an invalidation of the same host had ended before they began, or, from the server, of any host.
    wrong: AtomicU64,
    /// By how much reads near were behind another host's invalidations, at most (nanoseconds).
    late: AtomicU64,
    joined: AtomicU64,
    near: AtomicU64,
    computed: AtomicU64,
}

/// The latest version whose invalidation has returned, and when.
#[derive(Default)]
struct Acknowledged([(AtomicU64, AtomicU64); KEYS]);

/// Two hosts, each with two readers and one who changes values and invalidates them in the midst of their computations.
fn run(server: &Server, fault: Fault, fences: u64, enough: impl Fn(&Shown) -> bool + Sync) -> Shown {
    let hosts = [0, 1].map(|_| Host::new(told(&server.url()), fault, Duration::from_micros(100)));
    let (truth, shown) = (Truth::default(), Shown::default());
    let acknowledged = [0, 1].map(|_| Acknowledged::default());
    let writers = AtomicU64::new(2);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for h in [0, 1, 0, 1] {
            let (hosts, truth, shown, acknowledged, stop) = (&hosts, &truth, &shown, &acknowledged, &stop);
            scope.spawn(move || {
                for k in (0..KEYS).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let ended = |h: usize| {
                        let (version, at) = &acknowledged[h].0[k];
                        (version.load(Ordering::SeqCst), at.load(Ordering::SeqCst))
                    };
                    let (here, there, began) = (ended(h).0, ended(1 - h), boottime::now());
                    let (version, source) = hosts[h].call(k, truth);
                    let counter = match source {
                        Source::Near => Some(&shown.near),
                        Source::Joined => Some(&shown.joined),
                        Source::Computed => Some(&shown.computed),
                        Source::Far => None,
                    };
                    counter.inspect(|counter| _ = counter.fetch_add(1, Ordering::Relaxed));
                    let told = matches!(source, Source::Near | Source::Joined);
                    let wrong = version < here || version < there.0 && !told;
                    shown.wrong.fetch_add(u64::from(wrong), Ordering::Relaxed);
                    if version < there.0 {
                        shown.late.fetch_max(began.saturating_sub(there.1), Ordering::Relaxed);
                    }
                }
            });
        }
        for h in [0, 1] {
            let (hosts, truth, shown, acknowledged) = (&hosts, &truth, &shown, &acknowledged);
            let (writers, stop, enough) = (&writers, &stop, &enough);
            scope.spawn(move || {
                for i in 0..fences {
                    // (Each host changes keys of its own, so that versions are acknowledged in order.)
                    let k = (i as usize % (KEYS / 2)) * 2 + h;
                    let version = truth.0[k].fetch_add(1, Ordering::SeqCst) + 1;
                    hosts[h].tier.invalidate(&hosts[h].calls[k]).unwrap();
                    let (latest, at) = &acknowledged[h].0[k];
                    at.store(boottime::now(), Ordering::SeqCst);
                    latest.store(version, Ordering::SeqCst);
                    if enough(shown) {
                        break;
                    }
                    std::thread::sleep(Duration::from_micros(150));
                }
                if writers.fetch_sub(1, Ordering::SeqCst) == 1 {
                    stop.store(true, Ordering::Relaxed);
                }
            });
        }
    });
    shown
}

#[test]
fn what_was_computed_before_an_invalidation_is_served_to_nobody_after_it() {
    with_each_server(&[], |server| {
        let shown = run(server, Fault::None, fences(1500), |_| false);
        eprintln!("{shown:?}");
        assert_eq!(shown.wrong.load(Ordering::Relaxed), 0, "{shown:?}");
        assert!(shown.computed.load(Ordering::Relaxed) > 0 && shown.joined.load(Ordering::Relaxed) > 0, "{shown:?}");
        assert!(shown.late.load(Ordering::Relaxed) < Duration::from_secs(40).as_nanos() as u64, "{shown:?}");
    });
}

#[test]
fn each_fault_of_the_fence_shows() {
    with_each_server(&[], |server| {
        for fault in [Fault::JoinUnseen, Fault::StoreUncompared] {
            let shown = run(server, fault, 100_000, |shown| shown.wrong.load(Ordering::Relaxed) > 0);
            assert!(shown.wrong.load(Ordering::Relaxed) > 0, "{fault:?}: {shown:?}");
        }
    });
}

/// A host whose listener's connection can be held, while its data connections go on.
fn with_held_pushes(server: &Server, test: impl Fn(&Arc<Tier>, &Forwarder)) {
    let forwarder = Forwarder::to(server.port);
    let apart = Apart::new(&forwarder.url(), &server.url());
    test(&apart.tier, &forwarder);
    forwarder.release();
}

#[test]
fn what_a_host_has_written_itself_is_void_there_before_it_is_told() {
    with_each_server(&[], |server| {
        with_held_pushes(server, |tier, forwarder| {
            let call = call(tier, b"1");
            compute(tier, &call, b"old");
            let near = covered(tier, &call);
            forwarder.hold(Direction::ToClient);
            tier.invalidate(&call).unwrap();
            assert!(!holds(tier, &near));
        });
    });
}

#[test]
fn with_stripes_raised_only_before_sending_what_is_void_would_be_valid() {
    with_each_server(&[], |server| {
        with_held_pushes(server, |tier, forwarder| {
            let call = call(tier, b"1");
            compute(tier, &call, b"old");
            covered(tier, &call);
            let mut raw = open(&server.url(), late()).unwrap();
            forwarder.hold(Direction::ToClient);
            tier.coherence().words().raise(call.stripes());
            // A reader comes in between.
            let near = found(tier.look(&call));
            let mut remove = cmd("EVAL");
            remove.arg("return redis.call('DEL',unpack(redis.call('KEYS','*:k:f:{=1}')))").arg(0);
            assert_eq!(raw.request(&remove, late()), Ok(Value::Int(1)));
            assert!(holds(tier, &near), "the checker's fault does not show");
            forwarder.release();
            until("it is told", || !holds(tier, &near));
        });
    });
}

#[test]
fn a_flight_that_found_what_was_then_invalidated_is_not_joined_and_with_a_later_pair_it_would_be() {
    with_each_server(&[], |server| {
        with_held_pushes(server, |tier, forwarder| {
            let call = call(tier, b"1");
            compute(tier, &call, b"old");
            covered(tier, &call);
            forwarder.hold(Direction::ToClient);
            let (began, before) = (boottime::now(), tier.pair(&call));
            assert_eq!(found(tier.look(&call)).body, b"old");
            tier.invalidate(&call).unwrap();
            assert!(!tier.may_join(&call, before, began));
            let after = tier.pair(&call);
            assert!(tier.may_join(&call, after, began), "the checker's fault does not show");
        });
    });
}
