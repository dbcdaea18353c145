//! What the interpreter calls: which function an instance's vectorcall is.
//!
//! Ring 3. It is chosen by what the cache is (whether it stores anything, its [`HitPath`], the [`Reply`], whether entries
//! expire, whether one or two arguments are a key as they come, or a part of them, or what a key function gives) and by whether
//! calls are recorded.

use pyo3::prelude::*;

use super::call::{any, ignoring, keyed, Vectorcall};
use super::fast_path::{one, second, two};
use super::recording::{record, record_uncached};
use super::reply::{Async, Reply, Sync};
use super::{disabled, CachedFunction};
use crate::backend::HitPath;
use crate::capi::borrowed::Ref;
use crate::capi::reference::PyRef;

/// The entry points of one purpose.
pub(crate) trait EntryPoints {
    /// Of a function whose cache stores something.
    fn storing<B: HitPath, R: Reply>(cached: &CachedFunction) -> Vectorcall;

    /// Of a function whose cache has the size 0.
    fn uncached<R: Reply>() -> Vectorcall;
}

/// Where nothing is recorded.
struct Usual;

impl EntryPoints for Usual {
    fn storing<B: HitPath, R: Reply>(cached: &CachedFunction) -> Vectorcall {
        if cached.options.key.is_some() {
            return keyed::<B, R>;
        }
        let expires = cached.state.expires();
        if let Some(signature) = cached.signature.as_ref().filter(|signature| signature.ignores()) {
            let takes_second = signature.lead() == Some(1) && cached.is_direct(2) && !cached.typed;
            return match (takes_second, expires) {
                (false, _) => ignoring::<B, R>,
                (true, false) => second::<B, R, false>,
                (true, true) => second::<B, R, true>,
            };
        }
        match (cached.typed, cached.is_direct(1), cached.is_direct(2), expires) {
            (true, ..) | (_, false, false, _) => any::<B, R>,
            (_, true, true, false) => one::<B, R, false, true>,
            (_, true, true, true) => one::<B, R, true, true>,
            (_, true, false, false) => one::<B, R, false, false>,
            (_, true, false, true) => one::<B, R, true, false>,
            (_, false, true, false) => two::<B, R, false>,
            (_, false, true, true) => two::<B, R, true>,
        }
    }

    fn uncached<R: Reply>() -> Vectorcall {
        R::CALL_UNCACHED
    }
}

/// While calls are recorded.
struct Recorded;

impl EntryPoints for Recorded {
    fn storing<B: HitPath, R: Reply>(_: &CachedFunction) -> Vectorcall {
        record::<B, R>
    }

    fn uncached<R: Reply>() -> Vectorcall {
        record_uncached
    }
}

fn choose<E: EntryPoints>(cached: &CachedFunction) -> Vectorcall {
    if cached.state.flights.is_some() {
        choose_backend::<E, Async>(cached)
    } else {
        choose_backend::<E, Sync>(cached)
    }
}

fn choose_backend<E: EntryPoints, R: Reply>(cached: &CachedFunction) -> Vectorcall {
    if cached.state.max_size == Some(0) {
        E::uncached::<R>()
    } else {
        cached.state.backend.entry::<E, R>(cached)
    }
}

/// What Python enters where nothing is recorded.
pub(crate) fn usual(cached: &CachedFunction) -> Vectorcall {
    choose::<Usual>(cached)
}

/// What Python enters while calls are recorded.
pub(crate) fn recorded(cached: &CachedFunction) -> Vectorcall {
    choose::<Recorded>(cached)
}

/// Calls a function as one that is no coroutine function, whatever it is; `None` with an exception set.
pub(crate) fn call_sync(py: Python<'_>, cached: &CachedFunction, values: &[Ref<'_>]) -> Option<PyRef> {
    if disabled::is_on() {
        return cached.function.lend(py).call(values);
    }
    let (entry, object) = (choose_backend::<Usual, Sync>(cached), cached.as_object(py));
    // SAFETY: what is chosen takes the instance, and is called as PEP 590 says: a row of references is one of pointers. It gives
    // a new reference, or null with an exception set.
    unsafe { PyRef::steal_or_none(entry(object.as_ptr(), values.as_ptr().cast(), values.len(), std::ptr::null_mut())) }
}
