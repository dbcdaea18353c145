//! A coroutine that is done: what a hit of an async function returns.
//!
//! Ring 3. Awaiting it gives its value and never suspends. It is a `collections.abc.Coroutine` by its methods, and cheaper
//! than a native coroutine: no frame is made. The interpreter awaits it through `am_send` (up to CPython 3.11, and in
//! asyncio's tasks) or through `tp_iternext` (from 3.12 on), where the value must travel in a StopIteration; making one
//! takes longer than everything else, so each pool keeps one and uses it again while nobody else refers to it.

use std::ffi::c_int;
#[cfg(not(Py_GIL_DISABLED))]
use std::ptr::addr_of_mut;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use super::reference::{release, PyRef};

/// The object. It is not tracked by the collector: it refers to its value only until it is awaited.
#[repr(C)]
struct Ready {
    base: ffi::PyObject,
    /// A strong reference; null once it was awaited, closed or thrown into.
    value: *mut ffi::PyObject,
    /// Whether the value left in the pool's StopIteration, which still refers to it.
    raised: bool,
}

/// Few where every thread has a pool: what a thread keeps when it ends is lost.
const KEPT: usize = if cfg!(Py_GIL_DISABLED) { 4 } else { 32 };

/// Memory of freed objects, and the StopIteration to use again.
struct Pool {
    free: [*mut Ready; KEPT],
    count: usize,
    stop: *mut ffi::PyStopIterationObject,
}

impl Pool {
    const fn new() -> Self {
        Pool { free: [null_mut(); KEPT], count: 0, stop: null_mut() }
    }
}

/// The pool of the interpreter, or of this thread where threads run side by side.
#[inline(always)]
fn pool() -> *mut Pool {
    #[cfg(not(Py_GIL_DISABLED))]
    {
        static mut POOL: Pool = Pool::new();
        addr_of_mut!(POOL)
    }
    #[cfg(Py_GIL_DISABLED)]
    {
        use std::cell::UnsafeCell;
        thread_local! {
            static POOL: UnsafeCell<Pool> = const { UnsafeCell::new(Pool::new()) };
        }
        POOL.with(UnsafeCell::get)
    }
}

/// The type object; set once by [`install`], before any coroutine is made. Relaxed: importing the module is a barrier.
static TYPE: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(null_mut());

/// A coroutine whose result is `value`; `None` with an exception set.
#[inline]
pub fn ready(_: Python<'_>, value: PyRef) -> Option<PyRef> {
    // SAFETY: the pool is this thread's alone (attached, and nothing here runs Python). What it holds is memory of objects
    // of the type, with their header in place but for the count, and with their reference to the type.
    unsafe {
        let pool = pool();
        let object = if (*pool).count > 0 {
            (*pool).count -= 1;
            let object = (*pool).free[(*pool).count % KEPT];
            _Py_NewReference(object.cast());
            object
        } else {
            let kind = TYPE.load(Ordering::Relaxed);
            let object = ffi::PyObject_Malloc(size_of::<Ready>()).cast::<ffi::PyObject>();
            if object.is_null() {
                ffi::PyErr_NoMemory();
                return None;
            }
            ffi::PyObject_Init(object, kind).cast::<Ready>()
        };
        (*object).value = value.into_ptr();
        (*object).raised = false;
        Some(PyRef::steal(object.cast()))
    }
}

extern "C" {
    fn _Py_NewReference(object: *mut ffi::PyObject);
}

/// Makes the type.
pub fn install(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    fn slot(slot: c_int, function: *mut std::ffi::c_void) -> ffi::PyType_Slot {
        ffi::PyType_Slot { slot, pfunc: function }
    }
    fn method(name: &'static std::ffi::CStr, function: ffi::PyMethodDefPointer, flags: c_int) -> ffi::PyMethodDef {
        ffi::PyMethodDef { ml_name: name.as_ptr(), ml_meth: function, ml_flags: flags, ml_doc: std::ptr::null() }
    }
    // Both tables live as long as the type: as long as the process.
    let methods = Box::leak(Box::new([
        method(c"send", ffi::PyMethodDefPointer { PyCFunction: send_method }, ffi::METH_O),
        method(c"throw", ffi::PyMethodDefPointer { PyCFunction: throw_method }, ffi::METH_VARARGS),
        method(c"close", ffi::PyMethodDefPointer { PyCFunction: close_method }, ffi::METH_NOARGS),
        ffi::PyMethodDef::zeroed(),
    ]));
    let doc = c"A coroutine that is done: awaiting it gives a cached value and never suspends.";
    let slots = Box::leak(Box::new([
        slot(ffi::Py_tp_dealloc, dealloc as *mut _),
        slot(ffi::Py_tp_iter, ffi::PyObject_SelfIter as *mut _),
        slot(ffi::Py_tp_iternext, iternext as *mut _),
        slot(ffi::Py_am_await, ffi::PyObject_SelfIter as *mut _),
        slot(PY_AM_SEND, send_slot as *mut _),
        slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast()),
        slot(ffi::Py_tp_doc, doc.as_ptr().cast_mut().cast()),
        slot(0, null_mut()),
    ]));
    const DISALLOW_INSTANTIATION: u32 = 1 << 7;
    let mut spec = ffi::PyType_Spec {
        name: c"warp_cache._warp_cache_rs.ReadyCoroutine".as_ptr(),
        basicsize: size_of::<Ready>() as c_int,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_IMMUTABLETYPE) as u32 | DISALLOW_INSTANTIATION,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec's functions have the signatures that their slots ask for.
    let kind = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&mut spec))? };
    TYPE.store(kind.clone().into_ptr().cast(), Ordering::Relaxed);
    Ok(kind)
}

/// `Py_am_send`, which PyO3 does not name.
const PY_AM_SEND: c_int = 81;

/// The value, taken out; null with RuntimeError set where it is gone.
///
/// # Safety
/// `object` is an instance of the type; the thread is attached.
unsafe fn take(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise.
    unsafe {
        let value = std::mem::replace(&mut (*object.cast::<Ready>()).value, null_mut());
        if value.is_null() {
            let message = c"cannot reuse already awaited coroutine";
            ffi::PyErr_SetString(ffi::PyExc_RuntimeError, message.as_ptr());
        }
        value
    }
}

unsafe extern "C-unwind" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: called by Python for an instance without references. The object is put away before anything that may run
    // code is released.
    unsafe {
        let ready = object.cast::<Ready>();
        let value = (*ready).value;
        let raised = (*ready).raised;
        let pool = pool();
        if (*pool).count < KEPT {
            (*pool).free[(*pool).count] = ready;
            (*pool).count += 1;
        } else {
            let kind = ffi::Py_TYPE(object).cast::<ffi::PyObject>();
            ffi::PyObject_Free(object.cast());
            ffi::Py_DECREF(kind);
        }
        if raised {
            forget_raised(pool);
        }
        if !value.is_null() {
            release(value);
        }
    }
}

/// Has the pool's StopIteration drop its value, unless somebody caught it and may want to see it.
///
/// # Safety
/// `pool` is this thread's; the thread is attached.
unsafe fn forget_raised(pool: *mut Pool) {
    // SAFETY: the pool's exception is null or a StopIteration of the pool's own.
    unsafe {
        let stop = (*pool).stop;
        if !stop.is_null() && ffi::Py_REFCNT(stop.cast()) == 1 {
            let value = std::mem::replace(&mut (*stop).value, null_mut());
            if !value.is_null() {
                release(value);
            }
        }
    }
}

unsafe extern "C-unwind" fn iternext(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by Python for an instance.
    unsafe {
        let value = take(object);
        if !value.is_null() {
            (*object.cast::<Ready>()).raised = stop_with(value);
        }
        null_mut()
    }
}

/// Raises StopIteration with `value`, a strong reference which it takes over; whether the pool's own instance was used.
///
/// # Safety
/// The reference is strong; the thread is attached.
unsafe fn stop_with(value: *mut ffi::PyObject) -> bool {
    // SAFETY: attached; the pool is this thread's alone, and nothing between the look at the exception and its raising runs
    // Python code.
    unsafe {
        #[cfg(Py_3_12)]
        {
            let pool = pool();
            let mut stop = (*pool).stop;
            let usable = !stop.is_null()
                && ffi::Py_REFCNT(stop.cast()) == 1
                && (*stop).value.is_null()
                && (*stop).dict.is_null()
                && (*stop).traceback.is_null()
                && (*stop).cause.is_null()
                && (*stop).context.is_null();
            if !usable {
                let made = ffi::PyObject_CallNoArgs(ffi::PyExc_StopIteration).cast::<ffi::PyStopIterationObject>();
                if made.is_null() {
                    release(value);
                    return false;
                }
                let none = std::mem::replace(&mut (*made).value, null_mut());
                ffi::Py_XDECREF(none);
                (*pool).stop = made;
                if !stop.is_null() {
                    release(stop.cast());
                }
                stop = made;
            }
            (*stop).value = value;
            ffi::Py_INCREF(stop.cast());
            ffi::PyErr_SetRaisedException(stop.cast());
            true
        }
        #[cfg(not(Py_3_12))]
        {
            stop_plainly(value);
            false
        }
    }
}

/// Raises a StopIteration of its own with `value`, a strong reference which it takes over.
///
/// # Safety
/// As for `stop_with`.
unsafe fn stop_plainly(value: *mut ffi::PyObject) {
    // SAFETY: attached; the calls take borrowed references.
    unsafe {
        // As an instance: a value that is a tuple or an exception would be taken for the arguments.
        let stop = ffi::PyObject_CallFunctionObjArgs(ffi::PyExc_StopIteration, value, null_mut::<ffi::PyObject>());
        if !stop.is_null() {
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, stop);
            release(stop);
        }
        release(value);
    }
}

unsafe extern "C-unwind" fn send_slot(
    object: *mut ffi::PyObject,
    _sent: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: called by Python for an instance, with a place for the result.
    unsafe {
        let value = take(object);
        *result = value;
        if value.is_null() {
            ffi::PySendResult::PYGEN_ERROR
        } else {
            ffi::PySendResult::PYGEN_RETURN
        }
    }
}

unsafe extern "C" fn send_method(object: *mut ffi::PyObject, sent: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by Python for an instance, with one argument.
    unsafe {
        if !(*object.cast::<Ready>()).value.is_null() && sent != ffi::Py_None() {
            let message = c"can't send non-None value to a just-started coroutine";
            ffi::PyErr_SetString(ffi::PyExc_TypeError, message.as_ptr());
            return null_mut();
        }
        // Called by hand: whoever catches the exception may look at all of it.
        let value = take(object);
        if !value.is_null() {
            stop_plainly(value);
        }
        null_mut()
    }
}

unsafe extern "C" fn close_method(object: *mut ffi::PyObject, _none: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by Python for an instance.
    unsafe {
        let value = std::mem::replace(&mut (*object.cast::<Ready>()).value, null_mut());
        if !value.is_null() {
            release(value);
        }
        ffi::Py_INCREF(ffi::Py_None());
        ffi::Py_None()
    }
}

/// `throw(exception)` or `throw(type[, value[, traceback]])`, as generators have it.
unsafe extern "C" fn throw_method(object: *mut ffi::PyObject, args: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by Python for an instance, with a tuple; `PyArg_ParseTuple` gives borrowed references or nulls.
    unsafe {
        let (mut kind, mut value, mut traceback) = (null_mut(), null_mut(), null_mut::<ffi::PyObject>());
        let format = c"O|OO:throw";
        if ffi::PyArg_ParseTuple(args, format.as_ptr(), &mut kind, &mut value, &mut traceback) == 0 {
            return null_mut();
        }
        let taken = take(object);
        if taken.is_null() {
            return null_mut();
        }
        release(taken);
        if ffi::PyExceptionInstance_Check(kind) != 0 {
            ffi::PyErr_SetObject(ffi::Py_TYPE(kind).cast(), kind);
        } else if ffi::PyExceptionClass_Check(kind) != 0 {
            let value = if value == ffi::Py_None() { null_mut() } else { value };
            if !value.is_null() && ffi::PyExceptionInstance_Check(value) != 0 {
                ffi::PyErr_SetObject(ffi::Py_TYPE(value).cast(), value);
            } else {
                ffi::PyErr_SetObject(kind, value);
            }
        } else {
            let message = c"exceptions must be classes or instances deriving from BaseException, not %.200s";
            ffi::PyErr_Format(ffi::PyExc_TypeError, message.as_ptr(), (*ffi::Py_TYPE(kind)).tp_name);
        }
        null_mut()
    }
}
