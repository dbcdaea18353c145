//! The tier beyond the host, as a cache asks for it: values, leases, fences and clears on a server.
//!
//! A [`Tier`] is one server and namespace, as configured; a [`Scope`] is a function or a cache object in it, a [`Call`] one of
//! its keys. Each operation is one call that blocks for at most the tier's timeout, and is made without the GIL. No
//! Python here.
//!
//! | step | operation |
//! |---|---|
//! | near hit | [`Tier::near`] |
//! | far hit, or a lease | [`Tier::look`] |
//! | somebody else computes | [`Tier::wait`] |
//! | this process computes | [`Tier::look_at_flight`] |
//! | store, or give up | [`Tier::store`], [`Tier::abandon`] |
//! | refresh beside the old value | [`Tier::refresh`] |
//! | `get`, `cache_contains`, `cache_ttl` | [`Tier::peek`] |
//! | `set`, `cache_put` | [`Tier::put`] |
//! | `cache_invalidate`, `cache_invalidate_tags`, `cache_clear` | [`Tier::invalidate`], [`Tier::invalidate_tags`], [`Tier::clear`] |
//! | an object's `add`, `incr`, `replace`, `touch`, `pop` | [`Tier::read`], [`Tier::add`], [`Tier::replace`], [`Tier::discard`] |
//! | an object's `pop`, `delete`, and of many | [`Tier::take_many`] |
//! | an object's `lock` | [`Tier::lock`], [`Tier::unlock`], [`Tier::is_locked`] |
//! | many keys | the same with `_many` |
//!
//! **The fence.** A computation claims its key by a *lease* that lies under it, and stores by comparison with it. Whoever
//! invalidates deletes value or lease; so what was computed before is never stored after. Tags and generations are
//! random *stamps* on the server: a value names those from before its computation, and counts only while they are unchanged.

mod call;
mod compare;
mod copy;
mod lease;
mod lock;
mod near;
mod object;
mod options;
mod outcome;
mod read;
mod refresh;
mod stamps;
mod store;
mod trip;
mod wait;
mod write;

use std::sync::Arc;
use std::time::Duration;

pub use self::call::{Call, Scope, StampKey, TooManyTags};
pub use self::lease::{Lease, Theirs};
pub use self::lock::{Lock, Locking, Waiting};
pub use self::near::{Cover, Near};
pub use self::object::Read;
pub use self::options::{OpenError, Options};
pub use self::outcome::{Draft, Failure, Found, Looked, Stored, Why};
pub use self::store::Store;
pub use self::write::PutError;
use crate::breaker::ProcessBreaker;
use crate::coherence::listener::Settings;
use crate::coherence::{Coherence, Stripe, Tracking};
use crate::envelope::Sealer;
use crate::error::{Error, Rule};
use crate::keys::{component, Keys, Name};
pub use crate::refusal::Refusal;
use crate::route::Route;

/// How long values live that have no limit of their own: ten years.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// One server and namespace, with all that a process needs to use it. A fork's child goes on with it.
pub struct Tier {
    keys: Keys,
    sealer: Sealer,
    route: Route,
    breaker: Arc<ProcessBreaker>,
    coherence: Arc<Coherence>,
    settings: Arc<Settings>,
    /// The bound of one call's wait for the server.
    timeout: Duration,
    /// How old a near copy may be, in nanoseconds.
    staleness: u64,
    /// How changes by comparison are made there.
    ways: compare::Ways,
    /// The stripe of all changes that processes of this host make.
    here: Stripe,
    /// What copies in a host's file have to agree in.
    identity: [u8; 16],
}

impl Tier {
    /// A function or an object by its name and the version that its user gave (UTF-8, `surrogatepass`). `longest`: the
    /// longest lifetime of its values, windows included.
    pub fn scope(&self, name: &[u8], version: Option<&[u8]>, longest: Duration) -> Arc<Scope> {
        Arc::new(Scope::new(&self.keys, Name::new(name, version), longest))
    }

    /// The entries of a cache object, likewise; and its locks, which nothing clears.
    pub fn object_scopes(&self, name: &[u8], version: Option<&[u8]>, longest: Duration) -> (Arc<Scope>, Arc<Scope>) {
        let scope = |name, longest| Arc::new(Scope::new(&self.keys, name, longest));
        // (A lease lives for a day at most, so half of a stamp's life is always enough.)
        let of_lock = Duration::from_secs(2 * 24 * 3600);
        (scope(Name::of_object(name, version), longest), scope(Name::of_locks(name, version), of_lock))
    }

    /// A tag, for [`Tier::invalidate_tags`].
    pub fn tag(&self, tag: &[u8]) -> StampKey {
        StampKey::of_tag(&self.keys, &component(tag))
    }

    /// What the host knows of the server: whether it tells what changes, counters, why there is no shared file.
    pub fn coherence(&self) -> &Arc<Coherence> {
        &self.coherence
    }

    /// Whether near copies last for `staleness` only, because the server does not tell what changes.
    pub fn is_untold(&self) -> bool {
        self.coherence.words().tracking() == Tracking::Untold
    }

    /// The bound of one call's wait for the server.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether the server has not answered lately and is not asked.
    pub fn is_down(&self) -> bool {
        self.breaker.is_open()
    }

    /// Whether the server is not asked now: it has not answered lately, and nobody is to find out whether it does again. One
    /// load where it answers.
    #[inline]
    pub fn is_denied(&self) -> bool {
        self.breaker.is_denied()
    }

    /// What the server refuses of all that is asked, if that was so lately and the user can mend it.
    pub fn refusal(&self) -> Option<Refusal> {
        // (A node of a cluster that is known to be one has moved a key again and again.)
        let is_cluster = matches!(self.route, Route::Cluster(_));
        self.breaker.refusal().filter(|refusal| !(is_cluster && *refusal == Refusal::Cluster))
    }

    /// The rule of the server's access list for want of which it refused last, if it said which.
    pub fn missing_rule(&self) -> Option<Rule> {
        match self.breaker.refused() {
            Some(Error::Refused(code)) => code.missing().cloned(),
            _ => None,
        }
    }

    /// What the server has said or done where it refused last: a fixed text.
    pub fn refused(&self) -> Option<String> {
        Some(match self.breaker.refused()? {
            Error::Refused(code) => code.to_string(),
            error => error.to_string(),
        })
    }

    /// Begins what this process needs to be told of changes. Each operation does so by itself; this is for who has near hits
    /// only, as a fork's child at first. One load.
    #[inline]
    pub fn attend(&self) {
        self.coherence.attend(&self.settings);
    }
}
