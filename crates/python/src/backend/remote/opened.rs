//! The server of a function's cache, opened at the first use.
//!
//! Ring 3. What is configured for the process is asked for then (`warp_cache._remote.opening`). Functions of one server,
//! namespace and setting share a tier. Without a server the cache is this process's alone.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::address::{ServerAddress, Source};
use super::credentials::Credentials;
use crate::capi::guarded::GuardedCalls;
use crate::capi::reference::import;
use remote::secret::Secret;
use remote::tier::{Options, Scope, Tier};
use remote::url::Url;

/// The server, and this function there.
pub(super) struct Opened {
    pub tier: Arc<Tier>,
    pub scope: Arc<Scope>,
    /// An object's locks.
    pub locks: Option<Arc<Scope>>,
    /// Whether pickles may be stored and read: they are signed, or trusted.
    pub may_pickle: bool,
    /// Nanoseconds for which what is known of the server counts.
    pub staleness: u64,
}

/// What a function's cache is called on every host, and how long its values live at most.
pub(super) struct Name {
    pub name: String,
    pub holder: Holder,
    pub version: Option<String>,
    pub namespace: Option<String>,
    pub longest: Duration,
}

/// Whose name it is: an object and a function of one name have nothing in common.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Function,
    Object,
}

/// What `warp_cache._remote.opening.settings` gives.
#[derive(FromPyObject)]
struct Settings<'py> {
    address: Bound<'py, ServerAddress>,
    namespace: Vec<u8>,
    directories: Vec<PathBuf>,
    secrets: Vec<Vec<u8>>,
    staleness: f64,
    timeout: f64,
    credentials: Option<Bound<'py, PyAny>>,
    trusted: bool,
}

/// Opens the server of a function, or finds that there is none.
pub(super) fn open(py: Python<'_>, source: &Source, name: &Name) -> PyResult<Option<Opened>> {
    let address = match source {
        Source::At(url) => Some(Bound::new(py, ServerAddress { url: Arc::clone(url) })?),
        Source::Configured | Source::Nowhere => None,
    };
    let opening = import(py, "warp_cache._remote.opening")?;
    let settings = opening.guarded_method("settings", (address, name.namespace.as_deref()))?;
    if settings.is_none() {
        return Ok(None);
    }
    let settings: Settings<'_> = settings.extract()?;
    let may_pickle = settings.trusted || !settings.secrets.is_empty();
    let staleness = (settings.staleness * 1e9) as u64;
    match known(&settings) {
        Ok(tier) => {
            let version = name.version.as_deref().map(str::as_bytes);
            let (scope, locks) = match name.holder {
                Holder::Function => (tier.scope(name.name.as_bytes(), version, name.longest), None),
                Holder::Object => {
                    let (scope, locks) = tier.object_scopes(name.name.as_bytes(), version, name.longest);
                    (scope, Some(locks))
                }
            };
            Ok(Some(Opened { tier, scope, locks, may_pickle, staleness }))
        }
        Err(why) => {
            opening.guarded_method("cannot_open", (why,))?;
            Ok(None)
        }
    }
}

/// By what tiers are told apart.
#[derive(PartialEq)]
struct Identity {
    url: Url,
    namespace: Vec<u8>,
    directories: Vec<PathBuf>,
    secrets: Vec<Vec<u8>>,
    staleness: Duration,
    timeout: Duration,
    credentials: usize,
}

/// The tier of these settings: the same one for all who ask for it. A text without anything of the address says why there is
/// none.
fn known(settings: &Settings<'_>) -> Result<Arc<Tier>, String> {
    static KNOWN: Mutex<Vec<(Identity, Weak<Tier>)>> = Mutex::new(Vec::new());
    let identity = Identity {
        url: (*settings.address.get().url).clone(),
        namespace: settings.namespace.clone(),
        directories: settings.directories.clone(),
        secrets: settings.secrets.clone(),
        staleness: Duration::from_secs_f64(settings.staleness),
        timeout: Duration::from_secs_f64(settings.timeout),
        credentials: settings.credentials.as_ref().map_or(0, |given| given.as_ptr() as usize),
    };
    let find = |known: &[(Identity, Weak<Tier>)]| {
        known.iter().find(|known| known.0 == identity).and_then(|known| known.1.upgrade())
    };
    // (A fork's child may find it locked for ever only if another thread opens a cache at that moment: what is done under
    // the lock is a comparison.)
    let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = find(&lock()) {
        return Ok(found);
    }
    let tier = make(settings).map_err(|error| error.to_string())?;
    let mut known = lock();
    if let Some(found) = find(&known) {
        drop(known);
        return Ok(found);
    }
    known.retain(|known| known.1.strong_count() > 0);
    known.push((identity, Arc::downgrade(&tier)));
    Ok(tier)
}

fn make(settings: &Settings<'_>) -> Result<Arc<Tier>, remote::tier::OpenError> {
    let url = &settings.address.get().url;
    let options = |directory: Option<&PathBuf>| Options {
        logins: settings.credentials.as_ref().map(|given| {
            let credentials = Credentials::new(given);
            Box::new(move |deadline| credentials.login(deadline)) as Box<remote::pool::Logins>
        }),
        namespace: settings.namespace.clone(),
        directory: directory.cloned(),
        secrets: settings.secrets.iter().map(|secret| Secret::new(secret.clone())).collect(),
        staleness: Duration::from_secs_f64(settings.staleness),
        timeout: Duration::from_secs_f64(settings.timeout),
        ..Options::new((**url).clone())
    };
    let mut last = None;
    for directory in &settings.directories {
        let tier = Tier::open(options(Some(directory)))?;
        if tier.coherence().is_shared() {
            return Ok(tier);
        }
        last = Some(tier);
    }
    last.map_or_else(|| Tier::open(options(None)), Ok)
}

thread_local! {
    /// Whether this thread may be attached to the interpreter: one of Python's that asks the server, not the tier's own.
    static IS_ASKING: RefCell<bool> = const { RefCell::new(false) };
}

/// Runs what asks the server, without the interpreter; within it the user's `credentials` may be asked.
///
/// # Safety
/// As for [`detached`](crate::capi::detach::detached).
pub(super) unsafe fn asking<R>(py: Python<'_>, ask: impl FnOnce() -> R) -> R {
    // SAFETY: the caller's promise.
    unsafe { crate::capi::detach::detached(py, || flagged(ask)) }
}

/// Whether this thread may be attached to the interpreter.
pub(super) fn is_asking() -> bool {
    IS_ASKING.with_borrow(|asking| *asking)
}

/// Runs what asks the server, in a thread of Python's.
pub(super) fn flagged<R>(ask: impl FnOnce() -> R) -> R {
    IS_ASKING.set(true);
    let answer = ask();
    IS_ASKING.set(false);
    answer
}

/// The server of a cache, once it was looked for.
#[derive(Default)]
pub(super) struct Opening(OnceLock<Option<Opened>>);

impl Opening {
    /// Opens it at the first use; what fails then was told once, and there is none.
    ///
    /// # Errors
    /// What is no `Exception` (KeyboardInterrupt); a warning that is raised.
    pub fn get(&self, py: Python<'_>, source: &Source, name: &Name) -> PyResult<Option<&Opened>> {
        if let Some(opened) = self.0.get() {
            return Ok(opened.as_ref());
        }
        let opened = open(py, source, name)?;
        Ok(self.0.get_or_init(|| opened).as_ref())
    }

    /// Whether it was looked for, and there is none.
    pub fn is_nowhere(&self) -> bool {
        matches!(self.0.get(), Some(None))
    }

    /// The same if it is open by now.
    pub fn known(&self) -> Option<&Opened> {
        self.0.get()?.as_ref()
    }
}

/// What a function's cache is called on every host.
pub(super) fn name_of(
    function: &Bound<'_, PyAny>,
    key: Option<&Bound<'_, PyAny>>,
    name: Option<&str>,
) -> PyResult<String> {
    let naming = import(function.py(), "warp_cache._remote.naming")?;
    let given = name.map(|name| PyString::new(function.py(), name));
    let arguments = PyTuple::new(
        function.py(),
        [Some(function.clone()), key.cloned(), given.map(Bound::into_any)]
            .map(|one| one.unwrap_or_else(|| function.py().None().into_bound(function.py()))),
    )?;
    naming.getattr("name_of")?.guarded_call(arguments)?.extract()
}
