//! The remote backend: a server that all hosts share, behind the entries of this process.
//!
//! Ring 3. The protocol is [`remote::tier`]'s. The entries here are near copies of what the server has: each is *covered*
//! ([`near`]), and one that is void is absent to every lookup. A call that finds none goes to the server ([`trip`], the way of
//! a plain call in [`call`], that of a coroutine function's in [`driven`]), and computes if that has none, for all hosts or
//! for this process alone. Without a server the cache is one in memory.
//!
//! With `backend="shared"` a file lies between the entries and the server, in which all processes of the host keep their copies
//! ([`host`]).
//!
//! Its other parts: [`address`] (the option), [`opened`] (what is configured, opened at the first use), [`credentials`] (what is
//! asked at each connect), [`values`] (objects and bytes), [`down`] (a call while the server does not answer), [`unstorable`]
//! (results that it cannot have), [`bring`] (how a plain call gets its value), [`answer`] (the moment at which a server has
//! answered), [`methods`] (what users change and ask), [`together`] (what changes many functions at once), [`object`], [`reading`]
//! and [`locks`] (what a cache object does).

mod address;
mod answer;
mod bring;
mod call;
pub mod credentials;
mod down;
pub mod driven;
mod host;
mod locks;
mod methods;
mod near;
pub(crate) mod object;
mod opened;
mod reading;
pub mod together;
mod trip;
mod unstorable;
mod values;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;

pub(crate) use self::address::{Server, ServerAddress, Source};
pub(crate) use self::call::NearMemory;
use self::credentials::LoginTurn;
use self::down::Down;
use self::driven::RemoteTurn;
use self::host::{Host, HostFile};
pub(crate) use self::locks::{RemoteLock, RemoteLocking};
pub(crate) use self::near::{Covered, Flying};
pub(crate) use self::object::There;
use self::opened::{Holder, Name, Opened, Opening};
use self::trip::Trip;
use self::unstorable::Unstorable;
use self::values::Told;
use crate::backend::registry::Registered;
use crate::backend::OfServer;
use crate::capi::exceptions::{ErrSet, Raise};
use crate::capi::guarded::GuardedCalls;
use crate::capi::reference::import;
use crate::codec::{self, Encoded};
use crate::function::call::Vectorcall;
use crate::function::control::Tags;
use crate::function::entry_points::EntryPoints;
use crate::function::option_table::Options;
use crate::function::reply::Reply;
use crate::function::CachedFunction;
use crate::key::View;
use remote::tier::{Refusal, LONGEST};

/// See the module's documentation.
pub(crate) struct Remote {
    source: Source,
    name: Name,
    opening: Opening,
    /// What the user calls the cache.
    given_name: Option<Box<str>>,
    /// Between the entries here and the server.
    host: Option<HostFile>,
    /// Nanoseconds for which a value serves where computing fails.
    spare: u64,
    counts: Counts,
    told: Told,
    unstorable: Unstorable,
    down: Down,
    /// The reasons for which the server refuses what is asked, and that were said: a bit each.
    refused: AtomicU32,
    /// Whether it was said that the server does not tell what changes.
    is_untold: AtomicBool,
    /// Whether it was said that the host has no file.
    is_fileless: AtomicBool,
}

/// What is counted here. Relaxed: each is a number of its own.
#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    /// Calls that the file of the host has answered.
    here: AtomicU64,
    misses: AtomicU64,
    errors: AtomicU64,
    /// Misses that were errors as well: the server was known not to answer.
    down: AtomicU64,
}

impl Remote {
    /// The cache of a function, whose server is looked for at the first use. `name`: what the user calls it; `has_file`: whether
    /// the processes of the host share a file before it.
    pub fn new(
        function: &Bound<'_, PyAny>,
        options: &Options,
        name: Option<&str>,
        has_file: bool,
    ) -> PyResult<Box<Remote>> {
        let py = function.py();
        let key = options.key.as_ref().map(|key| key.bind(py));
        let name_there = opened::name_of(function, key, name)?;
        let host = has_file.then(|| HostFile::new(py, &name_there, options)).transpose()?;
        Ok(Self::named(options, name_there, Holder::Function, name, host))
    }

    /// The cache of an object of this name. `has_file`: as in [`new`](Self::new); `directory`: where that file alone is to lie.
    pub fn of_object(
        py: Python<'_>,
        options: &Options,
        name: &str,
        has_file: bool,
        directory: Option<PathBuf>,
    ) -> PyResult<Box<Remote>> {
        let host = has_file.then(|| HostFile::of_object(py, name, options, directory)).transpose()?;
        Ok(Self::named(options, name.to_owned(), Holder::Object, Some(name), host))
    }

    fn named(
        options: &Options,
        name: String,
        holder: Holder,
        given_name: Option<&str>,
        host: Option<HostFile>,
    ) -> Box<Remote> {
        let ttl = if options.ttl.of.is_some() { LONGEST } else { Duration::from_nanos(options.ttl.nanos) };
        let window = options.stale_while_revalidate.max(options.stale_if_error);
        let name = Name {
            name,
            holder,
            version: options.version.clone(),
            namespace: options.namespace.clone(),
            longest: ttl.saturating_add(Duration::from_nanos(window)),
        };
        Box::new(Remote {
            source: options.remote.clone(),
            name,
            opening: Opening::default(),
            given_name: given_name.map(Box::from),
            host,
            spare: options.stale_if_error,
            counts: Counts::default(),
            told: Told::default(),
            unstorable: Unstorable::default(),
            down: Down::default(),
            refused: AtomicU32::new(0),
            is_untold: AtomicBool::new(false),
            is_fileless: AtomicBool::new(false),
        })
    }

    /// The server, if there is one. `Err` with an exception set. Runs user code at the first use.
    fn opened(&self, py: Python<'_>) -> Result<Option<&Opened>, ErrSet> {
        if let Some(opened) = self.opening.known() {
            return Ok(Some(opened));
        }
        self.opening.get(py, &self.source, &self.name).map_err(|error| {
            error.raise(py);
            ErrSet
        })
    }

    /// The bytes of a call's key. `None`: there are none. `Err` with an exception set. Runs user code.
    fn key_of(&self, view: &View<'_>) -> Result<Option<Vec<u8>>, ErrSet> {
        let mut key = Vec::new();
        match codec::encode_key(view, &mut key) {
            Encoded::Done => Ok(Some(key)),
            Encoded::Unstorable => Ok(None),
            Encoded::Failed => Err(ErrSet),
        }
    }

    /// The same, for who is to tell the user which argument has none.
    fn key_noting(&self, cached: &CachedFunction, view: &View<'_>) -> Result<Option<Vec<u8>>, ErrSet> {
        let (key, refusal) = codec::noting(self.told.wants_argument(), || self.key_of(view));
        if let (Ok(None), Some(refusal)) = (&key, refusal) {
            self.told.note(cached, view, refusal);
        }
        key
    }

    /// A call's way to the server.
    fn trip(&self, py: Python<'_>, opened: &Opened, key: Option<&[u8]>, hash: u64, tags: &Tags) -> Trip {
        let tags: Vec<&[u8]> = tags.iter().map(String::as_bytes).collect();
        // (No call has this: it depends on generation and tags, and on a stripe that nobody raises but by chance.)
        let none = [&b"\xff"[..], &hash.to_le_bytes()].concat();
        let call = opened.scope.call(key.unwrap_or(&none), &tags);
        // There are 16 tags at most: it was checked when they were worked out.
        let call = call.or_else(|_| opened.scope.call(key.unwrap_or(&none), &[])).unwrap_or_else(|_| unreachable!());
        let host = key.zip(self.host.as_ref()).and_then(|(key, host)| self.way(py, host, opened, key));
        Trip::new(&opened.tier, Arc::new(call), key.is_some(), host)
    }

    /// A call's way through the file of the host.
    fn way(&self, py: Python<'_>, host: &HostFile, opened: &Opened, key: &[u8]) -> Option<Host> {
        host.way(py, &opened.tier, key, (opened.staleness, self.spare))
    }

    /// Why the server refuses what is asked, if that was not said yet.
    fn untold_refusal(&self, opened: &Opened) -> Option<Refusal> {
        opened.tier.refusal().filter(|refusal| self.refused.load(Ordering::Relaxed) & bit(*refusal) == 0)
    }

    /// Says once why the server refuses what is asked, that it does not tell what changes, or that there is no file of
    /// the host, if that is so. `Err` with an exception set.
    fn tell_lacks(&self, py: Python<'_>, opened: &Opened) -> Result<(), ErrSet> {
        let say = |what: &str, why: Option<&str>| {
            let said = import(py, "warp_cache._remote.opening").and_then(|opening| match why {
                Some(why) => opening.guarded_method(what, (why,)),
                None => opening.guarded_method(what, ()),
            });
            said.map(drop).map_err(|error| {
                error.raise(py);
                ErrSet
            })
        };
        let refusal = self.untold_refusal(opened);
        let is_first = |refusal: &Refusal| self.refused.fetch_or(bit(*refusal), Ordering::Relaxed) & bit(*refusal) == 0;
        if let Some(refusal) = refusal.filter(is_first) {
            match (refusal, opened.tier.missing_rule(), opened.tier.refused()) {
                (Refusal::Rights, Some(rule), _) => say("lacks", Some(&rule.to_string()))?,
                (Refusal::Other | Refusal::Tls | Refusal::Nonsense, _, Some(what)) => say("fails", Some(&what))?,
                _ => say("refused", Some(refusal.name()))?,
            }
        }
        if opened.tier.is_untold() && !self.is_untold.swap(true, Ordering::Relaxed) {
            say("untold", None)?;
        }
        let Some(host) = self.host.as_ref().filter(|_| !self.is_fileless.load(Ordering::Relaxed)) else {
            return Ok(());
        };
        match host.failure(&opened.tier) {
            Some(why) if !self.is_fileless.swap(true, Ordering::Relaxed) => say("fileless", Some(&why)),
            _ => Ok(()),
        }
    }

    /// Whether a call does not ask the server, as that does not answer, or cannot have what comes of it; then it has the right to
    /// compute, or what the file of the host has.
    fn asks_nothing(&self, opened: &Opened, trip: &mut Trip) -> bool {
        let is_down = trip.host.is_none() && opened.tier.is_denied();
        if !is_down && !self.unstorable.is_known() {
            return false;
        }
        opened.tier.attend();
        if trip.look_here(true) {
            return true;
        }
        trip.errors += u64::from(is_down);
        trip.compute_alone();
        true
    }

    /// Counts a call that got its value on the way.
    fn count_found(&self, is_here: bool) {
        let count = if is_here { &self.counts.here } else { &self.counts.hits };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn count_miss_there(&self) {
        self.counts.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that computes, as the server does not answer.
    fn count_down(&self) {
        self.counts.down.fetch_add(1, Ordering::Relaxed);
    }

    fn count_errors(&self, trip: &mut Trip) {
        self.counts.errors.fetch_add(std::mem::take(&mut trip.errors), Ordering::Relaxed);
    }

    fn count_error(&self) {
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a change that was not acknowledged, and sets its exception.
    fn was_not_acknowledged(&self, py: Python<'_>, why: &dyn std::fmt::Display) -> ErrSet {
        self.count_error();
        not_acknowledged(py, why)
    }

    /// What was counted of calls that came to the server.
    fn of_server(&self) -> OfServer {
        let down = self.counts.down.load(Ordering::Relaxed);
        OfServer {
            hits: self.counts.hits.load(Ordering::Relaxed),
            misses: self.counts.misses.load(Ordering::Relaxed) + down,
            errors: self.counts.errors.load(Ordering::Relaxed) + down,
        }
    }

    fn reset_counts(&self) {
        let Counts { hits, here, misses, errors, down } = &self.counts;
        [hits, here, misses, errors, down].iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

impl Registered for Remote {
    type Held = Box<Remote>;

    fn entry<E: EntryPoints, R: Reply>(&self, cached: &CachedFunction) -> Vectorcall {
        if cached.state.copies {
            E::storing::<NearMemory<true>, R>(cached)
        } else {
            E::storing::<NearMemory<false>, R>(cached)
        }
    }

    fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add_class::<LoginTurn>()?;
        module.add_class::<RemoteTurn>()?;
        module.add_class::<ServerAddress>()?;
        module.add_class::<RemoteLock>()?;
        module.add_class::<RemoteLocking>()?;
        module.add_function(wrap_pyfunction!(driven::_ask_together, module)?)?;
        module.add_function(wrap_pyfunction!(together::_change_there, module)?)
    }
}

fn bit(refusal: Refusal) -> u32 {
    1 << refusal as u8
}

/// Sets the exception of a change that was not acknowledged.
fn not_acknowledged(py: Python<'_>, why: &dyn std::fmt::Display) -> ErrSet {
    raise(py, &format!("the change was not acknowledged, and may still take effect: {why}"))
}

/// Sets a `RemoteError`.
#[cold]
fn raise(py: Python<'_>, message: &str) -> ErrSet {
    let raised = import(py, "warp_cache._remote.errors")
        .and_then(|module| module.getattr("RemoteError")?.guarded_call((message,)))
        .map_or_else(|error| error, PyErr::from_value);
    raised.raise(py);
    ErrSet
}
