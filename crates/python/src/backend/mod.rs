//! Where a function's values live: [`Memory`], the cache of this process alone, [`Shared`], a file behind it, or [`Remote`], a
//! server.
//!
//! Ring 3. The list of backends is here; what each says of itself is in [`registry`]. Which one it is is compiled into the entry points, not branched on: a hit in this process has no code in it for
//! files.

#[macro_use]
pub(crate) mod registry;

// All backends: their modules, and the numbers of those that users choose, which never change. A new one is a folder and a
// line here. (`scripts/format` finds the modules: rustfmt by itself does not.)
backends! {
    memory::Memory = 0,
    shared::Shared = 1,
    /// Not chosen by a name but by the option `remote`, of memory or of a file.
    remote::Remote,
}

use std::borrow::{Borrow, BorrowMut};
use std::ops::Deref;

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::exceptions::ErrSet;
use crate::capi::reference::PyRef;
use crate::capi::sharing::Reader;
use crate::codec::Refusal;
use crate::function::call::Vectorcall;
use crate::function::computation::Computation;
use crate::function::control::{Tags, Wish};
use crate::function::entry_points::EntryPoints;
use crate::function::fast_lookup::FastLookup;
use crate::function::fast_path::{self, Peek, Probe};
use crate::function::fence::Began;
use crate::function::load_counters::Totals;
use crate::function::lookup::{Entries, Found};
use crate::function::option_table::Options;
use crate::function::reply::Reply;
use crate::function::single_flight::Miss;
use crate::function::slim::{Led, Start};
use crate::function::slot_value::Value;
use crate::function::state::CacheState;
use crate::function::ticket::Ticket;
use crate::function::CachedFunction;
use crate::key::View;
use ::shared::{Skip, Tags as FileTags};
use engine::cache::Features;
use engine::policy::Kind;
use engine::slab::{Entry, Token};

pub(crate) use self::memory::{ControlledMemory, Memory};
use self::registry::{unknown, Choice, Choosable, Registered};
pub(crate) use self::remote::{driven, Covered, Flying, NearMemory, Remote, RemoteLocking, Server, There};
pub(crate) use self::shared::asynchronous::{SharedLease, SharedTurn};
pub(crate) use self::shared::{template, BytesKey, Decoded, DecodedRef, Editable, Shared, SharedCachedFunction};

/// What is to be told to the user: a number of [`Skip`], and the arguments of `_uncacheable.warn`.
pub(crate) type Told<'py> = (u64, Bound<'py, PyTuple>);

/// The counters of a cache.
pub(crate) struct Counters {
    pub hits: u64,
    pub misses: u64,
    pub size: usize,
    pub evictions: u64,
    pub expirations: u64,
    pub weight: u64,
    pub totals: Totals,
    pub of_server: OfServer,
    pub of_file: Option<FileCounters>,
}

/// What is counted of calls that came to a server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OfServer {
    /// Calls that got their value from it.
    pub hits: u64,
    /// Calls that had to compute.
    pub misses: u64,
    /// Requests that it has not answered as it should.
    pub errors: u64,
}

/// What a shared file counts beside.
pub(crate) struct FileCounters {
    pub skips: [u64; Skip::COUNT],
    pub repairs: u64,
}

/// How a call that brought no value at the first pass begins.
pub(crate) enum Begun<M> {
    /// It ends here: `None` with an exception set.
    Done(Option<PyRef>),
    /// A value is to be brought. With what a lookup among the entries found, if there was one after the first pass, and the
    /// key by which it was made, where that is not the call's.
    Miss(M, Option<Found>, Option<BytesKey>),
}

/// By what a missed call is known among those under way.
pub(crate) enum Known<'a> {
    /// Its arguments.
    Arguments,
    /// Its bytes, which were made from this.
    Bytes(BytesKey, Editable<'a>),
    /// Nothing: it is computed for its caller alone.
    Nothing,
}

/// What a stored value takes to be a hit. What stands here is that of a value in this process over which the user has no
/// control.
pub(crate) trait TakeHit {
    /// What `deliver` is given for an entry with the call's key, the hit counted; `None` where more than a look is needed.
    ///
    /// # Safety
    /// `token` names an entry of the reader's, whose value is `value`; the thread is attached. It runs under the reader, so
    /// it must not call into Python.
    #[inline(always)]
    unsafe fn take(
        state: &CacheState,
        reader: &Reader<'_, Entries>,
        token: Token,
        value: &Value,
    ) -> Option<*mut ffi::PyObject> {
        // SAFETY: the caller's promise.
        unsafe { state.take(reader, token, value) }
    }

    /// `take` at a glance: without a call, and only if the key is surely the one that is sought. `None` where more is
    /// needed, with nothing counted.
    ///
    /// # Safety
    /// As for `take`; the entry's shape is that of `sought`, which is alive.
    #[inline(always)]
    unsafe fn fast_path<const EXPIRES: bool>(
        reader: &Reader<'_, Entries>,
        token: Token,
        entry: &Entry<PyRef, Value>,
        sought: impl Probe,
    ) -> Option<Peek> {
        // SAFETY: the caller's promise.
        unsafe { fast_path::fast_path::<EXPIRES>(reader, token, entry, sought) }
    }

    /// A new reference to the value, or null with an exception set, for what `take` gave, which is given up.
    ///
    /// # Safety
    /// The thread is attached and holds no lock.
    #[inline(always)]
    unsafe fn deliver(taken: *mut ffi::PyObject) -> *mut ffi::PyObject {
        // SAFETY: `take` gives no null.
        unsafe { std::hint::assert_unchecked(!taken.is_null()) };
        taken
    }
}

/// The way of a call: what its hit takes, and what follows on a miss. It is compiled into the entry points.
pub(crate) trait HitPath {
    /// How a hit is taken: as another way takes it, perhaps.
    type Hit: TakeHit;
    /// A missed call.
    type Miss<'a>: Miss;

    /// Begins a call that `hot` left without a value: what is behind the entries is looked at, and the miss is counted.
    fn begin<'a>(
        cached: &'a CachedFunction,
        arguments: &'a Arguments<'a>,
        view: &View<'a>,
        hot: FastLookup,
    ) -> Begun<Self::Miss<'a>>;

    /// Whether there is a [`start`](Self::start).
    const STARTS: bool = false;

    /// Begins a call that `hot` left without a value where that is the usual one: see [`slim`](crate::function::slim).
    #[inline(always)]
    fn start<'a>(
        _cached: &'a CachedFunction,
        _arguments: &'a Arguments<'a>,
        _view: &View<'a>,
        _hot: FastLookup,
    ) -> Start<Led> {
        Start::AtLength
    }

    /// The same as `begin` for a coroutine function, whose miss `warp_cache._async` drives: what there is, counted as a call, by what
    /// the call is known on a miss, and whether it was counted, too, that what there is could not be read. As it stands here:
    /// of what the entries have.
    #[inline(always)]
    fn begin_async<'a>(state: &'a CacheState, view: &View<'a>, hot: FastLookup) -> (Found, Known<'a>, bool) {
        (state.after(view, hot), Known::Arguments, false)
    }
}

/// Where a function's values live, for all that is not the way of a call. All are called with no lock held; those that may
/// run user code, with no exception set.
pub(crate) trait Backend: Send + Sync {
    /// Whether the `__eq__` of these arguments may tell that they are the key of an entry.
    fn asks_to_compare(&self, _view: &View<'_>) -> bool {
        true
    }

    /// The order and the bound of the entries in this process, and what is to be known of them.
    fn bounds(&self, options: &Options) -> (Kind, Option<usize>, Features);

    /// Takes note of a parameter's default.
    fn know_default(&mut self, _default: Ref<'_>) -> PyResult<()> {
        Ok(())
    }

    /// Whether what is behind the entries says what there is.
    fn is_behind(&self) -> bool {
        false
    }

    /// What the user calls the cache.
    fn given_name(&self) -> Option<&str> {
        None
    }

    /// Whether processes share a file.
    fn has_file(&self) -> bool {
        false
    }

    /// The path of the file, if it is or can be opened, and whether it is of this process and its forks alone.
    fn place(&self, _: Python<'_>) -> (Option<String>, bool) {
        (None, false)
    }

    /// Why the file cannot be opened, in words, if that was tried.
    fn failure(&self) -> Option<String> {
        None
    }

    /// Counts a call that no lookup counts.
    fn count_miss(&self, py: Python<'_>, state: &CacheState);

    /// The value behind the entries, as a use that is not counted. `Ok(None)` if there is none, `Err` with
    /// an exception set. `ticket`: of a call that computes the value if it cannot be read, which is counted.
    fn load(&self, _state: &CacheState, _view: &View<'_>, _ticket: Option<&Ticket>) -> Result<Option<PyRef>, ErrSet> {
        Ok(None)
    }

    /// Counts, and leaves to be told, that a ticket's call could not read the value that it waited for.
    fn count_unreadable(&self, _ticket: &Ticket, _refusal: Option<Refusal>) {}

    /// Stores a value as if it had been computed now, over whatever is there; false with an exception set.
    fn set(&self, cached: &CachedFunction, view: &View<'_>, value: Ref<'_>) -> bool;

    /// Whether a call would be answered without computing; no use, not counted. `Err` with an exception set.
    fn contains(&self, state: &CacheState, view: &View<'_>) -> Result<bool, ErrSet> {
        state.contains(view)
    }

    /// By what a call is known among those under way. `Err` with an exception set.
    fn known<'a>(&'a self, _view: &View<'a>) -> Result<Known<'a>, ErrSet> {
        Ok(Known::Arguments)
    }

    /// Ends a key's entry behind the entries and fences the computations of it; whether there was one. `Err` with an exception
    /// set.
    fn invalidate(&self, _state: &CacheState, _view: &View<'_>) -> Result<bool, ErrSet> {
        Ok(false)
    }

    /// How tags stand behind the entries, for a computation that begins now.
    fn note_tags(&self, _: Python<'_>, _tags: &Tags) -> FileTags {
        FileTags::default()
    }

    /// The same for all entries that have one of these tags.
    fn invalidate_tags(&self, _: Python<'_>, _state: &CacheState, _tags: &Tags) -> Result<(), ErrSet> {
        Ok(())
    }

    /// Seconds until a key's entry is no longer fresh; `Ok(None)` if there is none, `Err` with an exception set.
    fn remaining(&self, state: &CacheState, view: &View<'_>) -> Result<Option<f64>, ErrSet> {
        state.remaining(view)
    }

    /// `set`, of a value with a lifetime and tags of its own.
    fn put(&self, cached: &CachedFunction, view: &View<'_>, value: Ref<'_>, wish: Wish) -> bool;

    /// Stores what a coroutine function's ticket has come to, unless there is a value meanwhile or it was fenced since the
    /// computation began; ends the lease.
    fn store<'py>(
        &self,
        cached: &CachedFunction,
        ticket: &Bound<'py, Ticket>,
        value: &Bound<'py, PyAny>,
        computation: &Computation,
        lease: Option<&Bound<'py, SharedLease>>,
    ) -> PyResult<Option<Told<'py>>>;

    /// Asks for the right to compute a key for all who share it; see `AsyncCachedFunction._lead`.
    fn acquire<'py>(
        &self,
        py: Python<'py>,
        _state: &CacheState,
        _ticket: &Ticket,
        _asks: (bool, &Tags),
        _turn: &SharedTurn,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(py.None().into_bound(py))
    }

    /// What a computation that begins now is compared with when it is stored.
    fn began(&self, state: &CacheState, view: &View<'_>) -> Began;

    /// Whether nothing has fenced a computation since it began.
    fn is_current(&self, state: &CacheState, view: &View<'_>, computation: &Computation) -> bool;

    /// The counters; what is over is dropped first and not counted.
    fn counters(&self, py: Python<'_>, state: &CacheState) -> Counters;

    /// Empties what is behind the entries. `Err` with an exception set.
    fn clear(&self, _: Python<'_>, _state: &CacheState) -> Result<(), ErrSet> {
        Ok(())
    }

    /// Shows the garbage collector what it refers to.
    fn traverse(&self, _visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}

impl AnyBackend {
    pub(crate) fn remote(&self) -> Option<&Remote> {
        match self {
            AnyBackend::Remote(remote) => Some(remote),
            _ => None,
        }
    }

    pub(crate) fn shared(&self) -> Option<&Shared> {
        match self {
            AnyBackend::Shared(shared) => Some(shared),
            _ => None,
        }
    }
}
