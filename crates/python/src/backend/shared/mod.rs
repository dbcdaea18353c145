//! The shared backend: a cache file that all processes of the host share.
//!
//! Ring 3. The entries of this process are the *decoded level* in front of the file: what this process has decoded, each
//! with the place in the file where it was found. A hit there costs a look at that place (two loads) and the stamp of the
//! use. Whatever else a call comes to goes through the file, which alone counts, evicts and expires.
//!
//! Its parts: [`cache_name`] (what a function's cache is called), [`reopen`] (an open file, and opening it once more),
//! [`decoded`] (a decoded value, and how it is handed out), [`access`] (one key: looking, encoding, storing), [`by_bytes`]
//! (calls that are known by their bytes, as an argument can be edited), [`call`] (what it is as a
//! [`Backend`](super::Backend)), [`load`] (one computation for all processes), [`computing`] (the keys that a thread
//! computes), [`turn`] (whom a caller waits for), [`look`] (a lookup in both levels), [`file`] (an open file as this
//! process uses it), [`fingerprint`] (what all users of a file must agree on), [`held`] (letting go what the file no longer
//! has), [`skips`] (what is not stored), [`loads`] (what is counted of computations), [`template`] (what those who waited
//! make theirs from), [`asynchronous`] (leases of coroutine functions), [`methods`] (`get` and `set`), [`buffers`] (bytes
//! that calls use again), [`object`] (what a cache object does with the file), and here the class, and the file with what
//! belongs to it.

pub mod access;
pub mod asynchronous;
mod buffers;
mod by_bytes;
pub mod cache_name;
pub mod call;
mod computing;
pub mod decoded;
pub mod file;
mod fingerprint;
mod held;
mod load;
mod loads;
mod look;
mod methods;
pub mod object;
pub mod reopen;
mod skips;
pub mod template;
mod turn;

use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use self::cache_name::CacheName;
use self::held::Held;
use self::reopen::Reopener;
use self::skips::Skips;
use crate::backend::registry::{Choosable, Registered};
use crate::backend::{AnyBackend, Remote, SharedLease, SharedTurn};
use crate::capi::exceptions::ErrSet;
use crate::capi::type_slots::{self, patch};
use crate::function::call::Vectorcall;
use crate::function::control_checks::CopyMode;
use crate::function::entry_points::EntryPoints;
use crate::function::fence::hash_of;
use crate::function::option_table::Options;
use crate::function::reply::Reply;
use crate::function::CachedFunction;
use shared::{Event, Tags as FileTags};

pub(crate) use self::by_bytes::{BytesKey, Editable};
pub(crate) use self::decoded::{Decoded, DecodedRef};
pub(crate) use self::reopen::raised;

/// A cache file that all processes of the host share; the entries of this process are the decoded level in front of it.
pub struct Shared {
    files: Reopener,
    /// How long an entry lives.
    ttl: Option<Duration>,
    max_key_size: usize,
    max_value_size: usize,
    /// Entries that the decoded level holds at most.
    capacity: usize,
    /// Whether anything is stored at all.
    stores: bool,
    /// As in the function's own cache.
    lone_apart: bool,
    /// What of a decoded value is handed out.
    copy: CopyMode,
    /// Nanoseconds for which a stale value is returned while it is computed anew, and where computing fails.
    revalidate: u64,
    spare: u64,
    /// What the user calls the cache.
    given_name: Option<String>,
    /// The defaults that have no bytes, by address: the function's signature keeps them.
    defaults: Vec<usize>,
    skips: Skips,
    held: Held,
}

impl Shared {
    /// The cache of a function, whose file is opened at the first use. `name`: what the user calls it, or `None` for the
    /// function's own.
    pub fn new(function: &Bound<'_, PyAny>, options: &Options, name: Option<&str>) -> PyResult<Box<Shared>> {
        skips::install(function.py())?;
        Self::with_name(CacheName::find(function, options, name)?, options, name)
    }

    /// The cache of an object of this name, which alone lies in `directory` if there is one.
    pub fn of_object(
        py: Python<'_>,
        options: &Options,
        name: &str,
        directory: Option<PathBuf>,
    ) -> PyResult<Box<Shared>> {
        skips::install(py)?;
        Self::with_name(CacheName::of_object(py, name, directory)?, options, Some(name))
    }

    fn with_name(name_of_cache: CacheName, options: &Options, name: Option<&str>) -> PyResult<Box<Shared>> {
        let files = Reopener::new(name_of_cache, options).map_err(|error| reopen::raised(&error))?;
        Ok(Box::new(Shared {
            files,
            ttl: (options.ttl.nanos != 0).then(|| Duration::from_nanos(options.ttl.nanos)),
            max_key_size: options.max_key_size.unwrap_or(usize::MAX).min(shared::MOST_KEY),
            max_value_size: options.max_value_size.unwrap_or(usize::MAX).min(shared::MOST_VALUE),
            // What the file has room for is known when it is open, and then the level holds no more than the file does.
            capacity: options.max_size.unwrap_or(usize::MAX).max(1),
            stores: options.max_size != Some(0),
            lone_apart: options.keeps_lone_apart(),
            copy: options.copy.clone(),
            revalidate: options.stale_while_revalidate,
            spare: options.stale_if_error,
            given_name: name.map(str::to_owned),
            defaults: Vec::new(),
            skips: Skips::default(),
            held: Held::default(),
        }))
    }

    /// How tags stand in the file.
    #[inline]
    fn noted(&self, py: Python<'_>, tags: &[String]) -> FileTags {
        if tags.is_empty() {
            return FileTags::default();
        }
        self.noted_some(py, tags)
    }

    #[inline(never)]
    fn noted_some(&self, py: Python<'_>, tags: &[String]) -> FileTags {
        let hashes: Vec<u64> = tags.iter().map(|tag| hash_of(tag)).collect();
        let file = self.files.working(py);
        file.map_or_else(FileTags::default, |file| file.shm.tags(&hashes))
    }

    /// Opens, before a fork, a file that a child could not open.
    pub fn open_before_fork(&self, py: Python<'_>) -> Result<(), ErrSet> {
        self.files.open_before_fork(py)
    }

    /// Whether what is to write would wait now, for somebody who keeps the file's lock.
    #[inline]
    pub(crate) fn would_wait(&self) -> bool {
        self.files.current().is_some_and(|file| file.shm.would_wait())
    }

    /// Whether all callers may have the same object (`copy=False`).
    pub(crate) fn shares_objects(&self) -> bool {
        matches!(self.copy, CopyMode::Never)
    }

    fn defaults(&self) -> &[usize] {
        &self.defaults
    }

    /// Counts something in the file, if there is one.
    fn count(&self, event: Event) {
        if let Some(file) = self.files.current() {
            file.count(event);
        }
    }
}

#[doc = shared_signature!()]
/// A function with a cache that all processes of the host share.
///
/// max_key_size, max_value_size: bytes at most of a key and a value as they are stored, None for no limit; what is larger is
/// computed and not stored. shm_name: the name of the cache, None to derive one from the function. max_bytes: bytes at most
/// of the whole file, None for a quarter of what is free where it lives, 1 GiB at most. The others: as for CachedFunction.
///
/// The file is opened at the first use. Where that fails there is an UncacheableWarning, and every call computes.
///
/// Raises TypeError or ValueError for a wrong argument. A call costs O(1) expected.
#[pyclass(frozen, extends = CachedFunction, subclass, module = "warp_cache._warp_cache_rs")]
pub struct SharedCachedFunction;

patched!(SharedCachedFunction);

impl Registered for Shared {
    type Held = Box<Shared>;

    fn entry<E: EntryPoints, R: Reply>(&self, cached: &CachedFunction) -> Vectorcall {
        E::storing::<Shared, R>(cached)
    }

    fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add_class::<SharedCachedFunction>()?;
        module.add_class::<SharedLease>()?;
        module.add_class::<SharedTurn>()
    }

    unsafe fn complete(py: Python<'_>, offset: isize) {
        // SAFETY: the caller's promise; a derived class has its base's fields where the base has them.
        unsafe { patch::<SharedCachedFunction>(&py.get_type::<SharedCachedFunction>(), offset) }
    }
}

impl Choosable for Shared {
    const NAME: &'static str = "shared";
    const REFUSED: &'static [&'static str] = &["max_weight", "weigher", "on_removal", "per_instance"];
    const STORES_BYTES: bool = true;
    const HAS_OBJECTS: bool = true;

    fn open(function: &Bound<'_, PyAny>, options: &Options, name: Option<&str>) -> PyResult<AnyBackend> {
        Ok(if options.remote.is_given() {
            AnyBackend::Remote(Remote::new(function, options, name, true)?)
        } else {
            AnyBackend::Shared(Shared::new(function, options, name)?)
        })
    }

    fn instance<'py>(py: Python<'py>, cached: CachedFunction) -> PyResult<Bound<'py, PyAny>> {
        let made = PyClassInitializer::from(cached).add_subclass(SharedCachedFunction);
        Ok(type_slots::make(py, made)?.into_any())
    }
}

#[pymethods]
impl SharedCachedFunction {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*arguments, **keywords), text_signature = None)]
    fn new(
        class: &Bound<'_, PyType>,
        arguments: &Bound<'_, PyTuple>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<Self>> {
        let (function, options, name) = Options::of_shared_call(arguments, keywords)?;
        let backend = AnyBackend::Shared(Shared::new(&function, &options, name.as_deref())?);
        let base = CachedFunction::build(&function, &options, None, backend)?;
        let initial = PyClassInitializer::from(base).add_subclass(SharedCachedFunction);
        Ok(type_slots::make_of::<Self>(class, initial)?.unbind())
    }
}
