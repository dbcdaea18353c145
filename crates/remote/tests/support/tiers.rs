//! Tiers: two hosts and one server, and what a cache does with them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use concurrency::boottime;
use remote::envelope::{Codec, Kind};
use remote::tier::{Call, Draft, Found, Lease, Looked, Options, Scope, Stored, Theirs, Tier};
use remote::url::Url;

use super::until;

pub const HOUR: Duration = Duration::from_secs(3600);

pub fn options(url: &str, dir: Option<&Path>) -> Options {
    let mut options = Options::new(Url::parse(url).unwrap());
    options.directory = dir.map(Path::to_owned);
    options.namespace = b"test".to_vec();
    options.staleness = Duration::from_secs(40);
    // (A busy machine is no dead server.)
    options.timeout = Duration::from_secs(20);
    options
}

/// A host of its own: its coherence lies in memory.
pub fn host(url: &str) -> Arc<Tier> {
    Tier::open(options(url, None)).unwrap()
}

/// One that is told what changes.
pub fn told(url: &str) -> Arc<Tier> {
    let tier = host(url);
    confirmed(&tier);
    tier
}

pub fn confirmed(tier: &Tier) {
    tier.attend();
    until("a heartbeat comes back", || tier.coherence().words().record().beat.is_some());
}

pub fn scope(tier: &Tier) -> Arc<Scope> {
    tier.scope(b"f", None, HOUR)
}

pub fn call(tier: &Tier, key: &[u8]) -> Call {
    scope(tier).call(key, &[]).unwrap()
}

pub fn draft(body: &[u8]) -> Draft<'_> {
    let computed = Duration::from_millis(3);
    Draft { kind: Kind::Value, codec: Codec::Safe, body, lifetime: HOUR, fresh: HOUR, computed }
}

pub fn mine(looked: Looked) -> Box<Lease> {
    match looked {
        Looked::Mine(lease) => lease,
        other => panic!("{other:?}"),
    }
}

pub fn found(looked: Looked) -> Box<Found> {
    match looked {
        Looked::Found(found) => found,
        other => panic!("{other:?}"),
    }
}

pub fn theirs(looked: Looked) -> Box<Theirs> {
    match looked {
        Looked::Theirs(theirs) => theirs,
        other => panic!("{other:?}"),
    }
}

/// Computes and stores, as a leader does.
pub fn compute(tier: &Tier, call: &Call, body: &[u8]) {
    let lease = mine(tier.look(call));
    assert_eq!(tier.store(call, lease, draft(body)), Stored::Done);
}

pub fn holds(tier: &Tier, found: &Found) -> bool {
    tier.near(boottime::now()).holds(found.cover, &found.stripes)
}

/// Reads until the copy may be kept under cover.
pub fn covered(tier: &Tier, call: &Call) -> Box<Found> {
    let mut last = None;
    until("a covered copy", || {
        let found = found(tier.look(call));
        let kept = found.cover.until == 0 && holds(tier, &found);
        last = Some(found);
        kept
    });
    last.unwrap()
}
