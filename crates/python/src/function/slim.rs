//! A miss that leaves little on the stack, so that recursion through a cached function comes as deep as through one of
//! functools'.
//!
//! Ring 3. What is done before the user's function runs, and what after it, has frames of its own, which are gone while it
//! runs: the frame that stands there holds what the end needs to know, and no more.

use pyo3::ffi;

use super::call::new_reference;
use super::fast_lookup::FastLookup;
use super::fence::Began;
use super::instance::{instance, Instance};
use super::reply::Reply;
use super::single_flight::{Leading, Miss, Reserved};
use super::CachedFunction;
use crate::backend::HitPath;
use crate::capi::borrowed::Arguments;
use crate::capi::panics::caught;
use crate::capi::reference::PyRef;
use crate::key::View;
use concurrency::elapsed::Stopwatch;

/// How a miss has begun.
pub(crate) enum Start<C> {
    /// The function is to be called: [`CachedFunction::enter`] has been.
    Call(C),
    /// The call is over: what it returns.
    Done(*mut ffi::PyObject),
    /// Nothing was done, as it takes more: the call is to go the way of all others.
    AtLength,
}

/// A computation that this thread leads.
pub(crate) struct Led {
    reserved: Reserved,
    watch: Stopwatch,
}

/// A computation where callers do not wait for each other.
struct Alone {
    began: Began,
    watch: Stopwatch,
}

/// Begins a miss under single-flight: as [`HitPath::start`] has it, for a backend that has one.
pub(crate) fn start<'a, M: Miss>(
    cached: &'a CachedFunction,
    mut miss: M,
    arguments: &Arguments<'a>,
    view: &View<'a>,
    hot: FastLookup,
) -> Start<Led> {
    let state = &cached.state;
    if !hot.is_absent() {
        return Start::AtLength;
    }
    let reserved = match state.reserve_absent(view, hot) {
        None => return Start::Done(std::ptr::null_mut()),
        Some(None) => return Start::AtLength,
        Some(Some(reserved)) => reserved,
    };
    let leading = Leading::new(state, Some(reserved), None);
    let start = match miss.follow(view, reserved) {
        Some(result) => Start::Done(new_reference(result)),
        None => match cached.enter(arguments) {
            Some(watch) => Start::Call(Led { reserved, watch }),
            None => {
                state.settle_failure(arguments.py(), Some(reserved), None);
                Start::Done(std::ptr::null_mut())
            }
        },
    };
    leading.ends();
    start
}

/// Begins one where callers do not wait for each other.
#[inline(never)]
fn start_alone(this: Instance<'_>, arguments: &Arguments<'_>, hash: u64, hot: FastLookup) -> Start<Alone> {
    start_caught(|| {
        if !hot.is_absent() {
            return Start::AtLength;
        }
        let began = this.state.began(hash);
        match this.enter(arguments) {
            Some(watch) => Start::Call(Alone { began, watch }),
            None => Start::Done(std::ptr::null_mut()),
        }
    })
}

/// A miss without keywords: at a glance, it is in registers only. Its key are the values from that place on.
///
/// # Safety
/// As for [`any`](super::call::any), with so many values. `hash` is the untyped hash of the key, and `found` what a lookup brought.
#[inline(never)]
pub(crate) unsafe extern "C-unwind" fn missed<B: HitPath, R: Reply, const FROM: usize>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    hash: u64,
    found: FastLookup,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`.
    unsafe {
        if !(R::IS_VALUE && B::STARTS) {
            return missed_at_length::<B, R, FROM>(object, values, nargsf, hash, found);
        }
        let this = instance(object);
        if !this.state.single_flight {
            return missed_alone::<B, R, FROM>(object, values, nargsf, hash, found);
        }
        go_on_from(
            &start_plain::<B, FROM>(object, values, nargsf, hash, found),
            this,
            Arguments::plain(values, nargsf),
            |led, result| end_led(this, led, result),
            || missed_at_length::<B, R, FROM>(object, values, nargsf, hash, found),
        )
    }
}

/// [`missed`] where callers do not wait for each other, whose frame holds a little more.
///
/// # Safety
/// As for [`missed`].
#[inline(never)]
unsafe extern "C-unwind" fn missed_alone<B: HitPath, R: Reply, const FROM: usize>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    hash: u64,
    found: FastLookup,
) -> *mut ffi::PyObject {
    // SAFETY: as in `missed`.
    unsafe {
        go_on_from(
            &start_plain_alone(object, values, nargsf, hash, found),
            instance(object),
            Arguments::plain(values, nargsf),
            |alone, result| end_plain::<FROM>(object, values, nargsf, hash, found, (alone, result)),
            || missed_at_length::<B, R, FROM>(object, values, nargsf, hash, found),
        )
    }
}

/// Puts a call of [`missed`] together again for [`Reply::miss`].
///
/// # Safety
/// As for [`missed`].
#[inline(never)]
unsafe extern "C-unwind" fn missed_at_length<B: HitPath, R: Reply, const FROM: usize>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    hash: u64,
    found: FastLookup,
) -> *mut ffi::PyObject {
    // SAFETY: as in `missed`.
    let (this, arguments, key) = unsafe {
        let arguments = Arguments::plain(values, nargsf);
        (instance(object), arguments, arguments.plain_from(FROM))
    };
    caught(|| R::miss::<B>(this, &arguments, &key.plain_view(hash), found))
}

/// A call that was no hit at the first pass, which brought `found`. What leads here is the way of a hit, which cannot panic,
/// and which keeps what is copied here in registers.
#[cold]
#[inline(never)]
pub(super) fn go_on<B: HitPath, R: Reply>(
    this: Instance<'_>,
    arguments: Arguments<'_>,
    view: View<'_>,
    found: FastLookup,
) -> *mut ffi::PyObject {
    let at_length = || go_on_at_length::<B, R>(this, &arguments, &view, found);
    if !(R::IS_VALUE && B::STARTS) {
        return at_length();
    }
    if this.state.single_flight {
        let start = start_any::<B>(this, &arguments, &view, found);
        go_on_from(&start, this, arguments, |led, result| end_led(this, led, result), at_length)
    } else {
        let start = start_alone(this, &arguments, view.hash, found);
        go_on_from(&start, this, arguments, |alone, result| end_any(this, &view, found, alone, result), at_length)
    }
}

#[inline(never)]
fn go_on_at_length<B: HitPath, R: Reply>(
    this: Instance<'_>,
    arguments: &Arguments<'_>,
    view: &View<'_>,
    found: FastLookup,
) -> *mut ffi::PyObject {
    caught(|| R::miss::<B>(this, arguments, view, found))
}

/// A start; a panic ends the call.
#[inline(always)]
fn start_caught<C>(begin: impl FnOnce() -> Start<C>) -> Start<C> {
    let mut start = Start::Done(std::ptr::null_mut());
    // (What is given here is of no account.)
    caught(|| {
        start = begin();
        std::ptr::null_mut()
    });
    start
}

/// [`start`] of a miss with its arguments and its key.
#[inline(never)]
fn start_any<B: HitPath>(
    this: Instance<'_>,
    arguments: &Arguments<'_>,
    view: &View<'_>,
    hot: FastLookup,
) -> Start<Led> {
    start_caught(|| B::start(this.get(), arguments, view, hot))
}

/// [`start`] of a miss without keywords, whose key are the values from that place on.
///
/// # Safety
/// As for [`missed`].
#[inline(never)]
unsafe fn start_plain<B: HitPath, const FROM: usize>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    hash: u64,
    hot: FastLookup,
) -> Start<Led> {
    // SAFETY: the caller's promise.
    let (this, arguments, key) = unsafe {
        let arguments = Arguments::plain(values, nargsf);
        (instance(object), arguments, arguments.plain_from(FROM))
    };
    start_caught(|| B::start(this.get(), &arguments, &key.plain_view(hash), hot))
}

/// [`start_alone`] of a miss without keywords.
///
/// # Safety
/// As for [`missed`].
#[inline(never)]
unsafe fn start_plain_alone(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    hash: u64,
    hot: FastLookup,
) -> Start<Alone> {
    // SAFETY: the caller's promise.
    let (this, arguments) = unsafe { (instance(object), Arguments::plain(values, nargsf)) };
    start_alone(this, &arguments, hash, hot)
}

/// Goes on from a start. `at_length`: the way of all others.
#[inline(always)]
fn go_on_from<C>(
    start: &Start<C>,
    this: Instance<'_>,
    arguments: Arguments<'_>,
    end: impl FnOnce(&C, Option<PyRef>) -> *mut ffi::PyObject,
    at_length: impl FnOnce() -> *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    match start {
        Start::Call(call) => end(call, arguments.call(this.function.lend(arguments.py()))),
        Start::Done(result) => *result,
        Start::AtLength => at_length(),
    }
}

/// Ends a computation with what the function has returned: `None` with an exception set.
#[inline(never)]
fn end_led(this: Instance<'_>, led: &Led, result: Option<PyRef>) -> *mut ffi::PyObject {
    let py = this.object().py();
    caught(|| {
        let reserved = Some(led.reserved);
        let leading = Leading::new(&this.state, reserved, None);
        this.leave(py, led.watch, result.is_none());
        this.state.settle_result(py, reserved, None, result.as_ref());
        leading.ends();
        new_reference(result)
    })
}

/// The same where callers do not wait for each other. `hot`: what the first pass found.
#[inline(never)]
fn end_any(
    this: Instance<'_>,
    view: &View<'_>,
    hot: FastLookup,
    alone: &Alone,
    result: Option<PyRef>,
) -> *mut ffi::PyObject {
    caught(|| {
        this.leave(view.py(), alone.watch, result.is_none());
        let Some(result) = result else { return std::ptr::null_mut() };
        let stored = this.state.store(view, result.lend(view.py()), hot, alone.began);
        new_reference(stored.then_some(result))
    })
}

/// The same of [`missed_alone`].
///
/// # Safety
/// As for that.
#[inline(never)]
unsafe fn end_plain<const FROM: usize>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    hash: u64,
    hot: FastLookup,
    (alone, result): (&Alone, Option<PyRef>),
) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    let (this, key) = unsafe { (instance(object), Arguments::plain(values, nargsf).plain_from(FROM)) };
    end_any(this, &key.plain_view(hash), hot, alone, result)
}
