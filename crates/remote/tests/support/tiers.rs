//! Tiers: two hosts and one server, and what a cache does with them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use concurrency::boottime;
use remote::coherence::file::Subject;
use remote::coherence::Coherence;
use remote::envelope::{Codec, Kind};
use remote::tier::{Call, Draft, Found, Lease, Looked, Options, Scope, Stored, Theirs, Tier};
use remote::url::Url;

use super::host::settings;
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

/// Waits as a caller does, however long it takes.
pub fn wait(tier: &Tier, call: &Call, mut looked: Looked) -> Looked {
    while let Looked::Theirs(theirs) = looked {
        looked = tier.wait(call, theirs, Duration::from_secs(30));
    }
    looked
}

/// Waits until all is told that was written before: what this host writes now is told after it.
fn settled(tier: &Tier) {
    let marker = self::call(tier, b"marker");
    let words = tier.coherence().words();
    let pair = || words.pair(&marker.stripes()[..1]);
    let before = pair();
    tier.put(&marker, draft(b"")).unwrap();
    // Once by itself, once by the push.
    until("all is told", || pair().stamp >= before.stamp + 2 || pair().epoch != before.epoch);
}

/// A copy that may be kept under cover, and that nothing which was written before will void.
pub fn covered(tier: &Tier, call: &Call) -> Box<Found> {
    settled(tier);
    let mut last = None;
    until("a covered copy", || {
        let found = found(tier.look(call));
        let kept = found.cover.until == 0 && holds(tier, &found);
        last = Some(found);
        kept
    });
    last.unwrap()
}

/// A host whose listener and whose data take different ways to the server.
pub struct Apart {
    pub tier: Arc<Tier>,
    _directory: tempfile::TempDir,
}

impl Apart {
    pub fn new(listens: &str, asks: &str) -> Apart {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        let canonical = Url::parse(asks).unwrap().canonical();
        let subject = Subject { server: std::str::from_utf8(canonical.expose()).unwrap(), namespace: b"test" };
        let coherence = Coherence::open(Some(directory.path()), subject).unwrap();
        coherence.words().ask_staleness(Duration::from_secs(40));
        coherence.attend(&settings(listens));
        let tier = Tier::open(options(asks, Some(directory.path()))).unwrap();
        assert!(Arc::ptr_eq(tier.coherence(), &coherence));
        confirmed(&tier);
        Apart { tier, _directory: directory }
    }
}
