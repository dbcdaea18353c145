//! A call of a decorated function, from vectorcall to the result.
//!
//! Ring 3. The hit path is everything up to the first `#[cold]`: hash the arguments, one pass over the table, count, note
//! the use, return a new reference. It cannot panic, allocates nothing and goes through no trampoline. A miss passes the
//! very same argument vector on to the wrapped function.

use pyo3::ffi;
use pyo3::prelude::*;

use super::lookup::{Count, Found, Known, Step};
use super::value::Value;
use super::CachedFunction;
use crate::cache::Garbage;
use crate::key::{self, View, ONE, TOO_MANY};
use crate::python::object::{release, unwinding, Arguments, Owned};
use crate::python::signature::Scratch;

/// What the interpreter calls. `C-unwind`: see `python::object`.
pub type Vectorcall =
    unsafe extern "C-unwind" fn(*mut ffi::PyObject, *const *mut ffi::PyObject, usize, *mut ffi::PyObject) -> *mut ffi::PyObject;

/// A call's key, or why it has none.
pub(super) enum Keyed<'a> {
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
pub(super) unsafe fn instance<'a>(object: *mut ffi::PyObject) -> &'a CachedFunction {
    // SAFETY: the caller's promise, and vectorcall's that the thread is attached; the class is frozen, so `get` is a cast.
    unsafe {
        let py = Python::assume_attached();
        let bound: Borrowed<'a, '_, PyAny> = Borrowed::from_ptr(py, object);
        let bound: Borrowed<'a, '_, CachedFunction> = bound.cast_unchecked();
        &*std::ptr::from_ref::<CachedFunction>(bound.get())
    }
}

/// The vectorcall of a cache that stores something.
pub unsafe extern "C-unwind" fn call(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this for an instance, with a call that lasts until this returns.
    unsafe {
        let this = instance(object);
        let arguments = Arguments {
            values,
            nargsf,
            names,
        };
        this.enter(&arguments, |this, view, step| this.miss(&arguments, view, step), |this| this.pass_on(&arguments))
    }
}

/// The vectorcall of a cache of size 0: every call is a miss, and arguments need not be hashable.
pub unsafe extern "C-unwind" fn call_uncached(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `call`.
    unsafe {
        instance(object).pass_on(&Arguments {
            values,
            nargsf,
            names,
        })
    }
}

impl CachedFunction {
    /// Looks a call up. A hit is returned; otherwise `miss` gets the view and the first pass, or `refused` gets a call that
    /// has no key.
    ///
    /// # Safety
    /// The call lasts; the thread is attached and holds no lock.
    #[inline(always)]
    pub(super) unsafe fn enter(
        &self,
        arguments: &Arguments,
        miss: impl FnOnce(&Self, &View<'_>, Step) -> *mut ffi::PyObject,
        refused: impl FnOnce(&Self) -> *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let positional = arguments.positional();
            if arguments.names.is_null() && positional.wrapping_sub(self.direct.0) <= self.direct.1 {
                let values = std::slice::from_raw_parts(arguments.values, positional);
                let (shape, hash) = if positional == 1 {
                    (ONE, key::hash_one(values[0], self.typed))
                } else {
                    (key::shape(positional, 0), key::hash_many(values, &[], self.typed))
                };
                let Some(hash) = hash else {
                    return std::ptr::null_mut();
                };
                if shape == TOO_MANY {
                    return refused(self);
                }
                let view = View {
                    values,
                    names: &[],
                    shape,
                    hash,
                    typed: self.typed,
                };
                return match self.step(&view, &Known::NOTHING, Count::Call) {
                    Step::Value(object) => object,
                    step => miss(self, &view, step),
                };
            }
            let mut scratch = Scratch::new();
            match self.view(arguments, &mut scratch) {
                Keyed::View(view) => match self.step(&view, &Known::NOTHING, Count::Call) {
                    Step::Value(object) => object,
                    step => miss(self, &view, step),
                },
                Keyed::NotACall => refused(self),
                Keyed::Failed => std::ptr::null_mut(),
            }
        }
    }

    /// The key of any call.
    ///
    /// # Safety
    /// The call lasts as long as the result; the thread is attached and holds no lock.
    #[inline]
    pub(super) unsafe fn view<'a>(&self, arguments: &'a Arguments, scratch: &'a mut Scratch) -> Keyed<'a> {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let (values, names): (&[_], &[_]) = match &self.signature {
                Some(signature) => {
                    if !signature.canonical(arguments, scratch) {
                        return Keyed::NotACall;
                    }
                    scratch.parts()
                }
                None => {
                    let names = arguments.keywords();
                    let count = arguments.positional() + names.len();
                    (std::slice::from_raw_parts(arguments.values, count), names)
                }
            };
            let shape = key::shape(values.len(), names.len());
            if shape == TOO_MANY {
                return Keyed::NotACall;
            }
            let hash = if shape == ONE {
                key::hash_one(values[0], self.typed)
            } else {
                key::hash_many(values, names, self.typed)
            };
            hash.map_or(Keyed::Failed, |hash| {
                Keyed::View(View {
                    values,
                    names,
                    shape,
                    hash,
                    typed: self.typed,
                })
            })
        }
    }

    /// Everything after a pass that brought no value.
    ///
    /// # Safety
    /// The call and the view last; the thread is attached and holds no lock.
    #[cold]
    #[inline(never)]
    unsafe fn miss(&self, arguments: &Arguments, view: &View<'_>, step: Step) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let found = match step {
                Step::Absent => Found::Absent,
                step => self.decide(view, step, Count::Call),
            };
            if self.single_flight {
                return self.fly(arguments, view, found);
            }
            match found {
                Found::Value(object) => return object,
                Found::Failed => return std::ptr::null_mut(),
                Found::Absent => (),
                // Without single-flight there are no computations on record.
                Found::Pending(_, key) => drop(key),
            }
            let result = self.compute(arguments);
            if result.is_null() || self.store(view, result) {
                return result;
            }
            release(result);
            std::ptr::null_mut()
        }
    }

    /// A call that is counted as a miss and left to the wrapped function.
    ///
    /// # Safety
    /// As for [`miss`](Self::miss).
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn pass_on(&self, arguments: &Arguments) -> *mut ffi::PyObject {
        self.shared.read(|reader| reader.miss());
        // SAFETY: the caller's promise.
        unsafe { self.compute(arguments) }
    }

    /// Calls the wrapped function: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// As for [`miss`](Self::miss).
    pub(super) unsafe fn compute(&self, arguments: &Arguments) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise. The recursion is counted because this frame lies on the C stack, which Python would
        // otherwise not know of.
        unsafe {
            if unwinding::Py_EnterRecursiveCall(c" while calling a cached function".as_ptr()) != 0 {
                return std::ptr::null_mut();
            }
            let result = unwinding::PyObject_Vectorcall(
                self.function.as_ptr(),
                arguments.values,
                arguments.nargsf,
                arguments.names,
            );
            unwinding::Py_LeaveRecursiveCall();
            result
        }
    }

    /// Stores a result as functools does: where the key is there meanwhile, a bounded cache keeps what it has and an
    /// unbounded one takes the new value. False with an exception set.
    ///
    /// # Safety
    /// As for [`miss`](Self::miss); `result` is a live object.
    unsafe fn store(&self, view: &View<'_>, result: *mut ffi::PyObject) -> bool {
        // SAFETY: the caller's promise, throughout.
        unsafe {
            let Some(key) = view.to_key() else {
                return false;
            };
            let value = Value::ready(Owned::borrow(result));
            let (now, deadline) = (self.now(), self.deadline());
            let mut garbage = Garbage::default();
            let mut new = Some((key, value));
            let mut old = None;
            let stored = self.with_entry(view, |cache, at| match at {
                None => {
                    if let Some((key, value)) = new.take() {
                        cache.insert(view.hash, view.shape, key, value, deadline, now, &mut garbage);
                    }
                }
                Some((token, true)) if self.max_size.is_none() => {
                    if let Some((key, value)) = new.take() {
                        old = cache.replace(token, value, deadline);
                        new = old.take().map(|old| (key, old));
                    }
                }
                Some(_) => (),
            });
            drop((garbage, new));
            stored.is_some()
        }
    }
}
