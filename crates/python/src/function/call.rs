//! A call of a decorated function, from vectorcall to the result.
//!
//! Ring 3. The usual hit does not come here: see [`fast_path`](super::fast_path). Here is every other one: hash the
//! arguments, one pass over the index, count, note the use, return a new reference. It cannot panic, allocates nothing and
//! goes through no trampoline. A miss passes the very same argument vector on to the wrapped function.

use pyo3::ffi;
use pyo3::prelude::*;

use super::fast_lookup::FastLookup;
use super::inside;
use super::instance::{instance, Instance};
use super::keyed::{name_key, Keyed};
use super::single_flight::Miss;
use super::slim::{go_on, missed};
use super::CachedFunction;
use crate::backend::{Begun, HitPath};
use crate::capi::borrowed::{Arguments, Level, Ref};
use crate::capi::panics::{caught, caught_in_debug, point};
use crate::capi::reference::PyRef;
use crate::function::reply::Reply;
use crate::key::signature::{ArgBuffer, Row, FEW};
use crate::key::{self, View, ONE};
use concurrency::elapsed::Stopwatch;

/// What the interpreter calls. `C-unwind`: see `capi::reference`.
pub type Vectorcall = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    usize,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// A call of any kind.
///
/// # Safety
/// To be called as PEP 590 says, with an instance whose cache stores something.
#[inline(never)]
pub(crate) unsafe extern "C-unwind" fn any<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this for an instance, with a call that lasts until this returns.
    unsafe {
        let this = instance(object);
        let positional = nargsf & !ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
        match &this.get().signature {
            Some(_) if names.is_null() && this.is_direct(positional) => {
                call_many::<B, R>(object, values, nargsf, names)
            }
            Some(signature) if signature.has_few() => call_few::<B, R>(object, values, nargsf, names),
            Some(_) => call_reordered::<B, R>(object, values, nargsf, names),
            None => call_many::<B, R>(object, values, nargsf, names),
        }
    }
}

/// A call whose key is what it passes, in that order.
#[inline(never)]
unsafe extern "C-unwind" fn call_many<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`.
    let (this, arguments) = unsafe { (instance(object), Arguments::new(values, nargsf, names)) };
    caught_in_debug!({
        let (row, names) = arguments.parts();
        match this.keyed(row, names) {
            // SAFETY: as in `any`.
            Keyed::View(view) if names.is_empty() && !view.typed => unsafe {
                finish_plain::<B, R>(object, values, nargsf, &view)
            },
            Keyed::View(view) => finish::<B, R>(this, &arguments, &view),
            Keyed::NotACall => R::pass_on(this, &arguments),
            Keyed::Failed => std::ptr::null_mut(),
        }
    })
}

/// A call whose keywords and left-out defaults are put in order first, of a function with few parameters.
#[inline(never)]
unsafe extern "C-unwind" fn call_few<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`, which has seen the signature.
    let (this, arguments, signature) = unsafe {
        let this = instance(object);
        (this, Arguments::new(values, nargsf, names), this.get().signature.as_ref().unwrap_unchecked())
    };
    caught_in_debug!({
        let mut row = FEW;
        match signature.bind_inline(&arguments, &mut row) {
            Some(values) => finish_parts::<B, R>(this, &arguments, values, &[]),
            None => R::pass_on(this, &arguments),
        }
    })
}

/// A call whose keywords and left-out defaults are put in order first.
#[inline(never)]
unsafe extern "C-unwind" fn call_reordered<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`.
    let (this, arguments) = unsafe { (instance(object), Arguments::new(values, nargsf, names)) };
    caught_in_debug!({
        let mut row = Row::new();
        match this.get().parts(&arguments, &mut row) {
            Some((values, names)) => finish_parts::<B, R>(this, &arguments, values, names),
            None => R::pass_on(this, &arguments),
        }
    })
}

/// A call of a function some of whose parameters are no part of the key.
///
/// # Safety
/// As for [`any`], with an instance that has a signature.
pub(super) unsafe extern "C-unwind" fn ignoring<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`; who chose this entry has seen the signature.
    let (this, arguments, signature) = unsafe {
        let this = instance(object);
        (this, Arguments::new(values, nargsf, names), this.get().signature.as_ref().unwrap_unchecked())
    };
    caught_in_debug!({
        let mut scratch = ArgBuffer::new();
        match signature.kept(&arguments, &mut scratch) {
            Some((values, names)) => finish_parts::<B, R>(this, &arguments, values, names),
            None => R::pass_on(this, &arguments),
        }
    })
}

/// A call of a function whose keys another one gives.
///
/// # Safety
/// As for [`any`], with an instance that has a key function.
pub(super) unsafe extern "C-unwind" fn keyed<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`; who chose this entry has seen the key function.
    let (this, arguments, of) = unsafe {
        let this = instance(object);
        (this, Arguments::new(values, nargsf, names), this.get().options.key.as_ref().unwrap_unchecked())
    };
    caught_in_debug!({
        let (key, invalidated) = inside::watch(&this.state, || this.ask_key(of, &arguments));
        let Some(key) = key else {
            return std::ptr::null_mut();
        };
        let key = [key.lend(arguments.py())];
        let Some(hash) = key::hash_one(key[0], this.typed) else {
            name_key(key[0]);
            return std::ptr::null_mut();
        };
        let view = View { values: &key, names: &[], shape: ONE, hash, typed: this.typed };
        if invalidated.is_empty() {
            return finish::<B, R>(this, &arguments, &view);
        }
        inside::leave(&this.state, &arguments, invalidated, &[]);
        let reply = finish::<B, R>(this, &arguments, &view);
        // (Of a hit, or of a call that waited, nothing follows.)
        drop(inside::take_left(&this.state, &arguments));
        reply
    })
}

/// Looks a key up that is given by its parts.
#[inline(always)]
pub(crate) fn finish_parts<B: HitPath, R: Reply>(
    this: Instance<'_>,
    arguments: &Arguments<'_>,
    values: &[Ref<'_>],
    names: &[Ref<'_>],
) -> *mut ffi::PyObject {
    match this.keyed(values, names) {
        Keyed::View(view) => finish::<B, R>(this, arguments, &view),
        Keyed::NotACall => R::pass_on(this, arguments),
        Keyed::Failed => std::ptr::null_mut(),
    }
}

/// Looks a key up.
#[inline(always)]
pub(crate) fn finish<B: HitPath, R: Reply>(
    this: Instance<'_>,
    arguments: &Arguments<'_>,
    view: &View<'_>,
) -> *mut ffi::PyObject {
    let found = first_pass::<B>(this, view);
    match found.value() {
        // SAFETY: what `take` gave.
        Some(value) => unsafe { R::hit::<B>(value) },
        None => go_on::<B, R>(this, *arguments, *view, found),
    }
}

/// The same of a call without keywords, all of which is its key. Nothing of what leads here stays on the stack for a miss.
///
/// # Safety
/// As for [`any`]; the view is that of the values, untyped.
#[inline(always)]
pub(super) unsafe fn finish_plain<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    view: &View<'_>,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`; what `take` gave.
    unsafe {
        let found = first_pass::<B>(instance(object), view);
        match found.value() {
            Some(value) => R::hit::<B>(value),
            None => missed::<B, R, 0>(object, values, nargsf, view.hash, found),
        }
    }
}

#[inline(always)]
fn first_pass<B: HitPath>(this: Instance<'_>, view: &View<'_>) -> FastLookup {
    if view.shape == ONE {
        this.state.lookup_fast::<B, true>(view)
    } else {
        this.state.lookup_fast::<B, false>(view)
    }
}

/// The vectorcall of a cache of size 0: every call is a miss, and arguments need not be hashable.
///
/// # Safety
/// To be called as PEP 590 says, with an instance.
pub unsafe extern "C-unwind" fn call_uncached(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`.
    let (this, arguments) = unsafe { (instance(object), Arguments::new(values, nargsf, names)) };
    caught(|| new_reference(this.pass_on(&arguments)))
}

/// What CPython takes for a result: a new reference, or null with an exception set.
#[inline(always)]
pub(crate) fn new_reference(result: Option<PyRef>) -> *mut ffi::PyObject {
    result.map_or(std::ptr::null_mut(), PyRef::into_ptr)
}

impl CachedFunction {
    /// The one way of a miss: everything after a pass that brought no value.
    #[inline(always)]
    pub(crate) fn miss<B: HitPath>(
        &self,
        arguments: &Arguments<'_>,
        view: &View<'_>,
        hot: FastLookup,
    ) -> Option<PyRef> {
        // It stays where it was made: a miss of the shared backend is large.
        let mut begun = B::begin(self, arguments, view, hot);
        let (miss, found, key) = match &mut begun {
            Begun::Done(result) => return result.take(),
            Begun::Miss(miss, found, key) => (miss, found.take(), &*key),
        };
        let py = arguments.py();
        let result = match (found, key) {
            (found, key) if !self.state.single_flight => {
                drop(found);
                miss.bring_alone(&key.as_ref().map_or(*view, |key| key.view(py)), hot)
            }
            // The first pass knows nothing of such keys.
            (Some(found), Some(key)) => self.state.single_flight_on(miss, &key.view(py), found),
            (Some(found), None) if !hot.is_absent() => self.state.single_flight_on(miss, view, found),
            _ => self.state.single_flight(miss, view, hot),
        };
        if inside::has_left() {
            // It has waited for another's computation.
            drop(inside::take_left(&self.state, arguments));
        }
        miss.finish(view, result)
    }

    /// A call that is counted as a miss and left to the wrapped function.
    #[cold]
    #[inline(never)]
    pub(crate) fn pass_on(&self, arguments: &Arguments<'_>) -> Option<PyRef> {
        point("pass on");
        self.state.backend.count_miss(arguments.py(), &self.state);
        self.is_unfit(arguments.py(), self.compute(arguments))
    }

    /// Calls the wrapped function; `None` with an exception set. The recursion is counted because this frame lies on the C
    /// stack, which Python would otherwise not know of.
    #[inline(always)]
    pub(crate) fn compute(&self, arguments: &Arguments<'_>) -> Option<PyRef> {
        let watch = self.enter(arguments)?;
        let result = arguments.call(self.function.lend(arguments.py()));
        self.leave(arguments.py(), watch, result.is_none());
        result
    }

    /// What comes before the wrapped function is called; `None` with an exception set. [`leave`](Self::leave) follows.
    #[inline(always)]
    pub(super) fn enter(&self, arguments: &Arguments<'_>) -> Option<Stopwatch> {
        if inside::has_left() && self.fence_again(arguments).is_err() {
            return None;
        }
        Level::enter(arguments.py(), c" while calling a cached function")?.stays();
        Some(Stopwatch::start())
    }

    /// What comes after it.
    #[inline(always)]
    pub(super) fn leave(&self, py: Python<'_>, watch: Stopwatch, failed: bool) {
        // SAFETY: it was entered in `enter`.
        drop(unsafe { Level::entered(py) });
        self.state.count_load(watch, failed);
    }
}
