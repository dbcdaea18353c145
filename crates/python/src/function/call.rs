//! A call of a decorated function, from vectorcall to the result.
//!
//! Ring 3. The usual hit does not come here: see [`fast_path`](super::fast_path). Here is every other one: hash the arguments, one pass over
//! the index, count, note the use, return a new reference. It cannot panic, allocates nothing and goes through no trampoline.
//! A miss passes the very same argument vector on to the wrapped function.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::lookup::FastLookup;
use super::single_flight::Miss;
use super::CachedFunction;
use crate::backend::{Begun, BytesKey, HitPath};
use crate::capi::layout;
use crate::capi::panics::{caught, caught_in_debug, point};
use crate::capi::reference::{calls, Arguments, PyRef};
use crate::function::control_checks::Object;
use crate::function::reply::Reply;
use crate::key::signature::{ArgBuffer, Row, FEW};
use crate::key::{self, View, ONE, TOO_MANY};
use concurrency::elapsed::Stopwatch;

/// What the interpreter calls. `C-unwind`: see `capi::reference`.
pub type Vectorcall = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    usize,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// A call's key, or why it has none.
pub(crate) enum Keyed<'a> {
    View(View<'a>),
    /// The function itself is to complain.
    NotACall,
    /// An exception is set: an argument can't be hashed.
    Failed,
}

/// The instance behind the object that was called.
///
/// # Safety
/// `object` is an instance of `CachedFunction` or of a type derived from it, and outlives the result.
#[inline(always)]
pub(crate) unsafe fn instance<'a>(object: *mut ffi::PyObject) -> &'a CachedFunction {
    // SAFETY: the caller's promise, and vectorcall's that the thread is attached; the class is frozen, so `get` is a cast.
    unsafe {
        let py = Python::assume_attached();
        // `from_ptr` looks for null; there is none to find.
        std::hint::assert_unchecked(!object.is_null());
        let bound: Borrowed<'a, '_, CachedFunction> = Borrowed::from_ptr(py, object).cast_unchecked();
        &*std::ptr::from_ref::<CachedFunction>(bound.get())
    }
}

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
        match &this.signature {
            Some(_) if names.is_null() && this.is_direct(positional) => {
                call_many::<B, R>(object, values, nargsf, names)
            }
            Some(signature) if signature.has_few() => call_few::<B, R>(object, values, nargsf, names),
            Some(_) => call_reordered::<B, R>(object, values, nargsf, names),
            None => call_many::<B, R>(object, values, nargsf, names),
        }
    }
}

/// Puts a call without keywords together again for [`Reply::miss`]: at a glance, it is in registers only.
///
/// # Safety
/// As for [`any`]; `hash` is the untyped hash of the values, and `found` what a lookup brought.
#[inline(never)]
pub(crate) unsafe extern "C-unwind" fn missed<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    hash: u64,
    found: FastLookup,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`.
    unsafe {
        caught(|| {
            let arguments = Arguments::plain(values, nargsf);
            R::miss::<B>(object, &arguments, &arguments.plain_view(hash), found)
        })
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
    unsafe {
        caught_in_debug!({
            let arguments = Arguments { values, nargsf, names };
            let (values, names) = arguments.parts();
            finish_parts::<B, R>(object, &arguments, values, names)
        })
    }
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
    unsafe {
        caught_in_debug!({
            let arguments = Arguments { values, nargsf, names };
            let signature = instance(object).signature.as_ref().unwrap_unchecked();
            let mut row = FEW;
            match signature.bind_inline(&arguments, &mut row) {
                Some(values) => finish_parts::<B, R>(object, &arguments, values, &[]),
                None => R::pass_on(object, &arguments),
            }
        })
    }
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
    unsafe {
        caught_in_debug!({
            let arguments = Arguments { values, nargsf, names };
            let mut row = Row::new();
            match instance(object).parts(&arguments, &mut row) {
                Some((values, names)) => finish_parts::<B, R>(object, &arguments, values, names),
                None => R::pass_on(object, &arguments),
            }
        })
    }
}

/// A call of a function some of whose parameters are no part of the key.
///
/// # Safety
/// As for [`any`].
pub(super) unsafe extern "C-unwind" fn ignoring<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`; who chose this entry has seen the signature.
    unsafe {
        caught_in_debug!({
            let arguments = Arguments { values, nargsf, names };
            let signature = instance(object).signature.as_ref().unwrap_unchecked();
            let mut scratch = ArgBuffer::new();
            match signature.kept(&arguments, &mut scratch) {
                Some((values, names)) => finish_parts::<B, R>(object, &arguments, values, names),
                None => R::pass_on(object, &arguments),
            }
        })
    }
}

/// A call of a function whose keys another one gives.
///
/// # Safety
/// As for [`any`].
pub(super) unsafe extern "C-unwind" fn keyed<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`; who chose this entry has seen the key function.
    unsafe {
        caught_in_debug!({
            let arguments = Arguments { values, nargsf, names };
            let this = instance(object);
            let Some(key) = this.ask_key(this.options.key.as_ref().unwrap_unchecked(), &arguments) else {
                return std::ptr::null_mut();
            };
            let pointer = key.as_ptr();
            let Some(hash) = key::hash_one(pointer, this.typed) else {
                name_key(pointer);
                return std::ptr::null_mut();
            };
            let view = View { values: std::slice::from_ref(&pointer), names: &[], shape: ONE, hash, typed: this.typed };
            finish::<B, R>(object, &arguments, &view)
        })
    }
}

/// Looks a key up that is given by its parts.
///
/// # Safety
/// As for [`any`]; values and names are those of the call.
#[inline(always)]
pub(crate) unsafe fn finish_parts<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    arguments: &Arguments,
    values: &[*mut ffi::PyObject],
    names: &[*mut ffi::PyObject],
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`.
    unsafe {
        match instance(object).keyed(values, names) {
            Keyed::View(view) => finish::<B, R>(object, arguments, &view),
            Keyed::NotACall => R::pass_on(object, arguments),
            Keyed::Failed => std::ptr::null_mut(),
        }
    }
}

/// Looks a key up.
///
/// # Safety
/// As for [`any`]; the view is that of the call.
#[inline(always)]
pub(crate) unsafe fn finish<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    arguments: &Arguments,
    view: &View<'_>,
) -> *mut ffi::PyObject {
    // SAFETY: as in `any`.
    unsafe {
        let this = instance(object);
        let found = if view.shape == ONE {
            this.state.lookup_fast::<B, true>(view)
        } else {
            this.state.lookup_fast::<B, false>(view)
        };
        match found.value() {
            Some(value) => R::hit::<B>(value),
            None => go_on::<B, R>(object, *arguments, *view, found),
        }
    }
}

/// A call that was no hit at the first pass. What leads here is the way of a hit, which cannot panic, and which keeps what
/// is copied here in registers.
///
/// # Safety
/// As for [`finish`]; `found` is what the pass brought.
#[cold]
#[inline(never)]
unsafe fn go_on<B: HitPath, R: Reply>(
    object: *mut ffi::PyObject,
    arguments: Arguments,
    view: View<'_>,
    found: FastLookup,
) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    unsafe { caught(|| R::miss::<B>(object, &arguments, &view, found)) }
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
    unsafe { caught(|| instance(object).pass_on(&Arguments { values, nargsf, names })) }
}

impl CachedFunction {
    /// Whether a call with that many positional arguments and no keywords is its own canonical form.
    #[inline(always)]
    pub(crate) fn is_direct(&self, positional: usize) -> bool {
        positional.wrapping_sub(self.direct.0) <= self.direct.1
    }

    /// The values and names that make a call's key; `None` for a call that the function would refuse.
    ///
    /// # Safety
    /// The call lasts as long as the result; the thread is attached.
    #[inline(always)]
    unsafe fn parts<'a>(
        &self,
        arguments: &'a Arguments,
        row: &'a mut Row,
    ) -> Option<(&'a [*mut ffi::PyObject], &'a [*mut ffi::PyObject])> {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            match &self.signature {
                Some(signature) => signature.canonical(arguments, row).then(|| row.parts()),
                None => Some(arguments.parts()),
            }
        }
    }

    /// The key of the values and names.
    ///
    /// # Safety
    /// They are alive; the thread is attached and holds no lock.
    #[inline(always)]
    unsafe fn keyed<'a>(&self, values: &'a [*mut ffi::PyObject], names: &'a [*mut ffi::PyObject]) -> Keyed<'a> {
        let shape = key::shape(values.len(), names.len());
        if shape == TOO_MANY {
            return Keyed::NotACall;
        }
        point("key");
        // SAFETY: the caller's promise.
        let hash = unsafe {
            if shape == ONE {
                key::hash_one(values[0], self.typed)
            } else {
                key::hash_many(values, names, self.typed)
            }
        };
        hash.map_or(Keyed::Failed, |hash| Keyed::View(View { values, names, shape, hash, typed: self.typed }))
    }

    /// What the key function gives for a call, or `None` with an exception set.
    ///
    /// # Safety
    /// The call lasts; the thread is attached and holds no lock.
    #[inline(always)]
    unsafe fn ask_key(&self, key: &Object, arguments: &Arguments) -> Option<PyRef> {
        point("ask key");
        let key = key.as_ptr();
        // SAFETY: the caller's promise; the result is a strong reference or null.
        unsafe {
            // Python counts the depth of its own functions; any other one may come back here without one of them.
            let counts = layout::is_exact(key, &raw mut ffi::PyFunction_Type);
            if !counts && calls::Py_EnterRecursiveCall(c" while asking for a key".as_ptr()) != 0 {
                return None;
            }
            let result = calls::PyObject_Vectorcall(key, arguments.values, arguments.nargsf, arguments.names);
            if !counts {
                calls::Py_LeaveRecursiveCall();
            }
            (!result.is_null()).then(|| PyRef::steal(result))
        }
    }

    /// The key of any call.
    ///
    /// # Safety
    /// The call lasts as long as the result; the thread is attached and holds no lock.
    pub(crate) unsafe fn view<'a>(&self, arguments: &'a Arguments, scratch: &'a mut ArgBuffer) -> Keyed<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            let parts = match (&self.signature, &self.options.key) {
                (Some(signature), _) if signature.ignores() => signature.kept(arguments, scratch),
                (None, Some(key)) => match self.ask_key(key, arguments) {
                    Some(key) => Some(scratch.keep(key)),
                    None => return Keyed::Failed,
                },
                _ => self.parts(arguments, &mut scratch.row),
            };
            match parts {
                Some((values, names)) => {
                    let keyed = self.keyed(values, names);
                    if matches!((&keyed, &self.options.key, values), (Keyed::Failed, Some(_), [_])) {
                        name_key(values[0]);
                    }
                    keyed
                }
                None => Keyed::NotACall,
            }
        }
    }

    /// The one way of a miss: everything after a pass that brought no value.
    ///
    /// # Safety
    /// The call and the view last; the thread is attached and holds no lock.
    #[inline(always)]
    pub(crate) unsafe fn miss<B: HitPath>(
        &self,
        arguments: &Arguments,
        view: &View<'_>,
        hot: FastLookup,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            // It stays where it was made: a miss of the shared backend is large.
            let mut begun = B::begin(self, arguments, view, hot);
            let (miss, found, key) = match &mut begun {
                Begun::Done(result) => return *result,
                Begun::Miss(miss, found, key) => (miss, found.take(), &*key),
            };
            let result = match (found, key) {
                (found, key) if !self.state.single_flight => {
                    drop(found);
                    miss.bring_alone(&key.as_ref().map_or(*view, BytesKey::view), hot)
                }
                // The first pass knows nothing of such keys.
                (Some(found), Some(key)) => self.state.single_flight_on(miss, &key.view(), found),
                (Some(found), None) if !hot.is_absent() => self.state.single_flight_on(miss, view, found),
                _ => self.state.single_flight(miss, view, hot),
            };
            miss.finish(view, result)
        }
    }

    /// A call that is counted as a miss and left to the wrapped function.
    ///
    /// # Safety
    /// As for [`miss`](Self::miss).
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn pass_on(&self, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise.
        unsafe {
            caught(|| {
                point("pass on");
                self.state.backend.count_miss(&self.state);
                self.is_unfit(self.compute(arguments))
            })
        }
    }

    /// Calls the wrapped function: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// As for [`miss`](Self::miss).
    #[inline(always)]
    pub(crate) unsafe fn compute(&self, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise. The recursion is counted because this frame lies on the C stack, which Python would
        // otherwise not know of.
        unsafe {
            if calls::Py_EnterRecursiveCall(c" while calling a cached function".as_ptr()) != 0 {
                return std::ptr::null_mut();
            }
            let watch = Stopwatch::start();
            let result =
                calls::PyObject_Vectorcall(self.function.as_ptr(), arguments.values, arguments.nargsf, arguments.names);
            calls::Py_LeaveRecursiveCall();
            self.state.count_load(watch, result.is_null());
            result
        }
    }
}

/// Has the TypeError of a key that cannot be hashed name the parameter that gave the key.
///
/// # Safety
/// `key` is alive; the thread is attached and holds no lock; an exception is set.
#[cold]
#[inline(never)]
unsafe fn name_key(key: *mut ffi::PyObject) {
    // SAFETY: the caller's promise.
    unsafe {
        let py = Python::assume_attached();
        let error = PyErr::fetch(py);
        if !error.is_instance_of::<PyTypeError>(py) {
            return error.restore(py);
        }
        let shown = super::option_checks::shown(&Bound::from_borrowed_ptr(py, key));
        let said = error.value(py).to_string();
        let named = PyTypeError::new_err(format!("{said}; key must return what can be hashed, got {shown}"));
        named.set_cause(py, Some(error));
        named.restore(py);
    }
}
