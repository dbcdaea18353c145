//! Owned Python references for the cache, and the calls into Python that may never return.
//!
//! Ring 3. PyO3's `Py` is not used inside the cache: it asks on every drop whether the thread is attached, and entered
//! through vectorcall it would not know. [`PyRef`] is dropped only by attached threads outside every lock; the cache
//! hands what leaves it back to ring 3 for that.
//!
//! Up to CPython 3.13, a daemon thread that asks for the interpreter after it was finalized is ended by `pthread_exit`,
//! which unwinds the stack by force. Were it to go on through our frames, their destructors would release Python objects
//! without an interpreter, and PyO3's methods, which catch whatever unwinds, would abort the process. So every call into
//! Python in which that can happen goes through [`stay`]: there the thread stops for good, as from 3.14 on CPython has it.

use std::ffi::{c_char, c_int};
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::borrowed::Ref;

/// A strong reference.
#[derive(Debug)]
#[repr(transparent)]
pub struct PyRef(NonNull<ffi::PyObject>);

// SAFETY: a reference may be sent and shared between threads; counts are changed by attached threads only.
unsafe impl Send for PyRef {}
// SAFETY: through `&PyRef`, too, counts are changed by attached threads only, for whom Python makes that safe.
unsafe impl Sync for PyRef {}

impl PyRef {
    /// Takes over a strong reference.
    ///
    /// # Safety
    /// `object` is a strong reference of the caller's, not null, which it gives up. Whoever drops the result is attached.
    #[inline(always)]
    pub unsafe fn steal(object: *mut ffi::PyObject) -> Self {
        debug_assert!(!object.is_null());
        // SAFETY: not null (the caller's promise).
        PyRef(unsafe { NonNull::new_unchecked(object) })
    }

    /// Takes over a strong reference; `None` for null.
    ///
    /// # Safety
    /// As for [`steal`](Self::steal), but that `object` may be null.
    #[inline(always)]
    pub unsafe fn steal_or_none(object: *mut ffi::PyObject) -> Option<Self> {
        NonNull::new(object).map(PyRef)
    }

    /// Adds a reference to a borrowed object.
    ///
    /// # Safety
    /// `object` is a live object, not null; the thread is attached, and so is whoever drops the result.
    #[inline(always)]
    pub unsafe fn borrow(object: *mut ffi::PyObject) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            ffi::Py_INCREF(object);
            Self::steal(object)
        }
    }

    #[inline(always)]
    pub fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// Gives the strong reference up to the caller.
    pub fn into_ptr(self) -> *mut ffi::PyObject {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// The object, for an attached thread.
    #[inline(always)]
    pub fn lend<'a>(&'a self, py: Python<'a>) -> Ref<'a> {
        Ref::of(py, self)
    }

    /// One reference more.
    #[inline(always)]
    pub fn clone_ref(&self, _: Python<'_>) -> Self {
        // SAFETY: the object lives, as this reference shows; the thread is attached.
        unsafe { Self::borrow(self.as_ptr()) }
    }

    /// The same reference as one of PyO3's, for an attached thread.
    pub fn into_bound(self, py: Python<'_>) -> Bound<'_, PyAny> {
        // SAFETY: a strong reference, which is given up.
        unsafe { Bound::from_owned_ptr(py, self.into_ptr()) }
    }

    /// The same reference in PyO3's terms.
    pub fn as_py(&self) -> &Py<PyAny> {
        // SAFETY: `Py` is a transparent wrapper of a non-null pointer that stands for a strong reference, as `PyRef` is.
        unsafe { &*(self as *const PyRef).cast::<Py<PyAny>>() }
    }
}

impl From<Py<PyAny>> for PyRef {
    fn from(object: Py<PyAny>) -> Self {
        // SAFETY: `into_ptr` gives up a strong reference.
        unsafe { PyRef::steal(object.into_ptr()) }
    }
}

impl Drop for PyRef {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: this is a strong reference, and whoever drops it is attached (promised when it was made).
        unsafe { release(self.as_ptr()) }
    }
}

/// Drops a strong reference; the object's end may run any code, or end the thread.
///
/// # Safety
/// `object` is a strong reference which the caller gives up; the thread is attached.
#[inline(always)]
pub unsafe fn release(object: *mut ffi::PyObject) {
    // SAFETY: the caller's promise. With the GIL, a count above one is decremented in place and nothing can happen.
    unsafe {
        #[cfg(not(Py_GIL_DISABLED))]
        if ffi::Py_REFCNT(object) > 1 {
            ffi::Py_DECREF(object);
            return;
        }
        release_last(object);
    }
}

/// [`release`] where the count takes more than a look: it may be the last one.
///
/// # Safety
/// As for [`release`].
#[inline(never)]
unsafe fn release_last(object: *mut ffi::PyObject) {
    // SAFETY: the caller's promise.
    unsafe { calls::Py_DecRef(object) }
}

/// Runs `call`, which calls into Python; should the thread be ended inside it, it stops here, and nothing is unwound.
#[inline(always)]
fn stay<R>(call: impl FnOnce() -> R) -> R {
    struct Stay;

    impl Drop for Stay {
        #[cold]
        fn drop(&mut self) {
            // Dropped by unwinding only. The process is about to end, and takes the thread with it.
            loop {
                std::thread::park();
            }
        }
    }

    let guard = Stay;
    let result = call();
    std::mem::forget(guard);
    result
}

/// A module by its name: importing it for the first time runs its code.
pub fn import<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let name = PyString::new(py, name);
    // SAFETY: attached; a live string; a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, calls::PyImport_Import(name.as_ptr())) }
}

/// Calls what the user gave, or what runs user code, from where PyO3 has called us.
pub fn call<'py>(
    callable: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: attached; live objects; a new reference, or null with an exception set.
    unsafe {
        let result = calls::PyObject_Call(callable.as_ptr(), args.as_ptr(), kwargs);
        Bound::from_owned_ptr_or_err(callable.py(), result)
    }
}

/// Functions that may run arbitrary Python code, and so may end the thread: see the module's documentation.
pub mod calls {
    use super::*;

    macro_rules! calls {
        ($module:ident: $($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
            mod $module {
                use super::*;

                extern "C-unwind" {
                    $(
                        // PyO3 declares most of these functions, too, as ones that never unwind. Of two declarations of a
                        // symbol, the linker of LLVM's modules keeps one, whose promise then holds for both. With a
                        // \u{1} before it the name is another one to it, and the same to the linker of the library.
                        #[cfg_attr(not(target_vendor = "apple"), link_name = concat!("\u{1}", stringify!($name)))]
                        #[cfg_attr(target_vendor = "apple", link_name = concat!("\u{1}_", stringify!($name)))]
                        pub fn $name($($argument: $type),*) $(-> $result)?;
                    )*
                }
            }

            $(
                /// CPython's function of this name.
                ///
                /// # Safety
                /// What CPython asks for; the thread is attached, unless the function is to attach it.
                #[allow(non_snake_case)]
                #[inline(always)]
                pub unsafe fn $name($($argument: $type),*) $(-> $result)? {
                    // SAFETY: the caller's promise.
                    stay(|| unsafe { $module::$name($($argument),*) })
                }
            )*
        };
    }

    #[cfg(Py_3_11)]
    calls! { since_3_11:
        PyObject_Vectorcall(
            callable: *mut ffi::PyObject, args: *const *mut ffi::PyObject, nargsf: usize, kwnames: *mut ffi::PyObject
        ) -> *mut ffi::PyObject;
    }

    #[cfg(not(Py_3_11))]
    pub use super::vectorcall::PyObject_Vectorcall;

    calls! { python:
        Py_DecRef(object: *mut ffi::PyObject);
        PyObject_Hash(object: *mut ffi::PyObject) -> ffi::Py_hash_t;
        PyObject_RichCompareBool(a: *mut ffi::PyObject, b: *mut ffi::PyObject, op: c_int) -> c_int;
        PyEval_SaveThread() -> *mut ffi::PyThreadState;
        PyEval_RestoreThread(state: *mut ffi::PyThreadState);
        PyErr_CheckSignals() -> c_int;
        Py_EnterRecursiveCall(place: *const c_char) -> c_int;
        Py_LeaveRecursiveCall();
        PyTuple_New(size: ffi::Py_ssize_t) -> *mut ffi::PyObject;
        PyList_New(size: ffi::Py_ssize_t) -> *mut ffi::PyObject;
        PyList_GetSlice(list: *mut ffi::PyObject, from: ffi::Py_ssize_t, to: ffi::Py_ssize_t) -> *mut ffi::PyObject;
        PyList_SetItem(list: *mut ffi::PyObject, at: ffi::Py_ssize_t, item: *mut ffi::PyObject) -> c_int;
        PyDict_New() -> *mut ffi::PyObject;
        PyDict_Copy(dict: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PyDict_SetItem(dict: *mut ffi::PyObject, key: *mut ffi::PyObject, value: *mut ffi::PyObject) -> c_int;
        PySet_New(items: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PyFrozenSet_New(items: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PySet_Add(set: *mut ffi::PyObject, item: *mut ffi::PyObject) -> c_int;
        PyObject_GetIter(object: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PyImport_Import(name: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PyNumber_Index(object: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PyObject_Str(object: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PyObject_Call(callable: *mut ffi::PyObject, args: *mut ffi::PyObject, kwargs: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PyIter_Next(iterator: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PyObject_GetAttr(object: *mut ffi::PyObject, name: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PyObject_GetItem(object: *mut ffi::PyObject, key: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PyObject_IsTrue(object: *mut ffi::PyObject) -> c_int;
        PyImport_GetModule(name: *mut ffi::PyObject) -> *mut ffi::PyObject;
        PyImport_ImportModule(name: *const c_char) -> *mut ffi::PyObject;
    }
}

/// `PyObject_Vectorcall` for CPython 3.10, which has it in a header only.
#[cfg(not(Py_3_11))]
mod vectorcall {
    use super::*;

    type Function = unsafe extern "C-unwind" fn(
        *mut ffi::PyObject,
        *const *mut ffi::PyObject,
        usize,
        *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;

    // (Why the names begin so: see `calls`.)
    extern "C-unwind" {
        #[cfg_attr(not(target_vendor = "apple"), link_name = "\u{1}_PyObject_MakeTpCall")]
        #[cfg_attr(target_vendor = "apple", link_name = "\u{1}__PyObject_MakeTpCall")]
        fn _PyObject_MakeTpCall(
            state: *mut ffi::PyThreadState,
            callable: *mut ffi::PyObject,
            args: *const *mut ffi::PyObject,
            nargs: ffi::Py_ssize_t,
            keywords: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject;
        #[cfg_attr(not(target_vendor = "apple"), link_name = "\u{1}_Py_CheckFunctionResult")]
        #[cfg_attr(target_vendor = "apple", link_name = "\u{1}__Py_CheckFunctionResult")]
        fn _Py_CheckFunctionResult(
            state: *mut ffi::PyThreadState,
            callable: *mut ffi::PyObject,
            result: *mut ffi::PyObject,
            place: *const c_char,
        ) -> *mut ffi::PyObject;
    }

    /// CPython's function of this name.
    ///
    /// # Safety
    /// What CPython asks for; the thread is attached.
    #[allow(non_snake_case)]
    pub unsafe fn PyObject_Vectorcall(
        callable: *mut ffi::PyObject,
        args: *const *mut ffi::PyObject,
        nargsf: usize,
        kwnames: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        // SAFETY: the caller's promise. A type with the flag has the function's place in its instances at that offset; it
        // may be null.
        unsafe {
            let kind = ffi::Py_TYPE(callable);
            let function: Option<Function> = if (*kind).tp_flags & ffi::Py_TPFLAGS_HAVE_VECTORCALL != 0 {
                *callable.byte_offset((*kind).tp_vectorcall_offset).cast()
            } else {
                None
            };
            let state = ffi::PyThreadState_Get();
            match function {
                Some(function) => {
                    let result = stay(|| function(callable, args, nargsf, kwnames));
                    _Py_CheckFunctionResult(state, callable, result, std::ptr::null())
                }
                None => {
                    let nargs = (nargsf & !ffi::PY_VECTORCALL_ARGUMENTS_OFFSET) as ffi::Py_ssize_t;
                    stay(|| _PyObject_MakeTpCall(state, callable, args, nargs, kwnames))
                }
            }
        }
    }
}

/// The items of a tuple, borrowed.
///
/// # Safety
/// `tuple` is a tuple that outlives the result.
#[inline(always)]
pub unsafe fn tuple_items<'a>(tuple: *mut ffi::PyObject) -> &'a [*mut ffi::PyObject] {
    // SAFETY: a tuple's items lie in its object, and never change once it is visible.
    unsafe {
        let length = ffi::PyTuple_GET_SIZE(tuple) as usize;
        std::slice::from_raw_parts((*tuple.cast::<ffi::PyTupleObject>()).ob_item.as_ptr(), length)
    }
}

/// A new tuple of the items, or `None` with an exception set.
/// Python code may run: the garbage collector's.
pub fn new_tuple<'a>(_: Python<'a>, items: impl ExactSizeIterator<Item = Ref<'a>>) -> Option<PyRef> {
    // SAFETY: `PyTuple_New` gives a tuple of that length with empty items, each of which is set once, to a new reference.
    unsafe {
        let tuple = calls::PyTuple_New(items.len() as ffi::Py_ssize_t);
        if tuple.is_null() {
            return None;
        }
        for (at, item) in items.enumerate() {
            ffi::PyTuple_SET_ITEM(tuple, at as ffi::Py_ssize_t, item.to_owned().into_ptr());
        }
        Some(PyRef::steal(tuple))
    }
}
