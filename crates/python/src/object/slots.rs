//! What Python's operators and an object's hot methods enter: `c[k]`, `c[k] = v`, `del c[k]`, `in`, `len`, `get`, `set`.
//!
//! Ring 3. They are slots and methods of a type of its own between `CacheObject` and the Python class, so that they are entered
//! without a trampoline, as the vectorcall of decorated functions is. A hit makes no call but to what it needs.

use std::ffi::{c_int, c_void};
use std::ops::Deref;

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyTuple, PyType};

use super::read::{self, Glance, Glimpse};
use super::store::wish;
use super::{walk, CacheObject};
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::exceptions::{ErrSet, Raise};
use crate::capi::guarded::GuardedCalls;
use crate::capi::panics::{caught, point};
use crate::capi::reference::call;
use crate::capi::type_slots::{add_methods, Method};

type Objects = *const *mut ffi::PyObject;

/// Makes the type.
pub fn make<'py>(py: Python<'py>) -> PyResult<Bound<'py, PyType>> {
    type Subscript = unsafe extern "C-unwind" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> *mut ffi::PyObject;
    type Assign = unsafe extern "C-unwind" fn(*mut ffi::PyObject, *mut ffi::PyObject, *mut ffi::PyObject) -> c_int;
    type Contains = unsafe extern "C-unwind" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> c_int;
    type Length = unsafe extern "C-unwind" fn(*mut ffi::PyObject) -> ffi::Py_ssize_t;
    let mut slots = [
        ffi::PyType_Slot { slot: ffi::Py_mp_subscript, pfunc: subscript as Subscript as *mut c_void },
        ffi::PyType_Slot { slot: ffi::Py_mp_ass_subscript, pfunc: assign as Assign as *mut c_void },
        ffi::PyType_Slot { slot: ffi::Py_sq_contains, pfunc: contains as Contains as *mut c_void },
        ffi::PyType_Slot { slot: ffi::Py_mp_length, pfunc: length as Length as *mut c_void },
        ffi::PyType_Slot { slot: 0, pfunc: std::ptr::null_mut() },
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"warp_cache._warp_cache_rs.CacheMapping".as_ptr(),
        basicsize: 0,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE) as _,
        slots: slots.as_mut_ptr(),
    };
    let bases = PyTuple::new(py, [py.get_type::<CacheObject>()])?;
    // SAFETY: attached; the slots are functions of the types that these slots have, but that they let unwinding through. The type
    // has its base's size, and inherits how instances are made, shown to the collector and freed.
    let kind = unsafe {
        let made = ffi::PyType_FromSpecWithBases(&raw mut spec, bases.as_ptr());
        Bound::from_owned_ptr_or_err(py, made)?.cast_into::<PyType>()?
    };
    // SAFETY: nobody knows the type yet; each function checks its arguments' number and takes instances of the type only.
    unsafe {
        add_methods(
            &kind,
            &[
                Method::new(
                    c"get",
                    get,
                    c"get($self, key, default=None, *, renew=None)\n--\n\nThe value of a key, or default.\n\nA use, counted as a hit or a miss. renew: seconds (or a timedelta) that an entry which has an end lives from now on, in the\nsame step. TypeError for a key that cannot be hashed; in the shared tier for one that cannot be read back from bytes.\nCacheUnavailable where renew cannot be told rightly. O(1) expected.",
                ),
                Method::new(
                    c"set",
                    set,
                    c"set($self, key, value, *, ttl=..., tags=())\n--\n\nStore a value; whether it is in.\n\nFalse where it does not fit; then an older entry is gone. ttl: seconds or a timedelta, None for no limit; left out, the\ncache's own. tags: up to 16 strings. ValueError for a ttl that is not positive. Where the tier cannot store the value\n(pickle's own error or TypeError), the older entry stays. O(1) expected.",
                ),
            ],
        )?;
    }
    Ok(kind)
}

/// What was entered for: the object, known to be a [`CacheObject`].
#[derive(Clone, Copy)]
struct This<'a>(Ref<'a>);

impl<'a> This<'a> {
    /// The instance behind an object.
    ///
    /// # Safety
    /// `object` is an instance of the type or of one derived from it, and outlives the result; the thread is attached.
    #[inline(always)]
    unsafe fn of(object: *mut ffi::PyObject) -> Self {
        // SAFETY: the caller's promise.
        This(unsafe { Ref::new(object) })
    }
}

impl Deref for This<'_> {
    type Target = CacheObject;

    #[inline(always)]
    fn deref(&self) -> &CacheObject {
        // SAFETY: it is an instance; the class is frozen, so `get` is a cast.
        unsafe {
            let bound: Borrowed<'_, '_, CacheObject> =
                Borrowed::from_ptr(self.0.py(), self.0.as_ptr()).cast_unchecked();
            &*std::ptr::from_ref::<CacheObject>(bound.get())
        }
    }
}

unsafe extern "C-unwind" fn subscript(object: *mut ffi::PyObject, key: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: Python calls this for an instance, with a key that lasts until it returns.
    let (this, key) = unsafe { (This::of(object), Ref::new(key)) };
    let Ok(cached) = this.cached(key.py()) else { return std::ptr::null_mut() };
    match read::glance(&this, cached, key) {
        Glance::Hit(value) => value,
        Glance::Absent => missing(this, key),
        Glance::Unsure(seen) => subscript_slowly(this, key, seen),
    }
}

#[inline(never)]
fn subscript_slowly(this: This<'_>, key: Ref<'_>, seen: Glimpse) -> *mut ffi::PyObject {
    caught(|| {
        point("c[k]");
        let Ok(cached) = this.cached(key.py()) else { return std::ptr::null_mut() };
        match read::look(&this, cached, key, seen) {
            Ok(Some(value)) => value.into_ptr(),
            Ok(None) => missing(this, key),
            Err(ErrSet) => std::ptr::null_mut(),
        }
    })
}

/// What a missing key has: what the class says in `__missing__`, else a KeyError.
#[cold]
#[inline(never)]
fn missing(this: This<'_>, key: Ref<'_>) -> *mut ffi::PyObject {
    caught(|| {
        let (py, key) = (key.py(), key.to_bound());
        given(
            py,
            if this.has_missing() {
                let missing = this.0.to_bound().getattr("__missing__");
                missing.and_then(|missing| call(&missing, &PyTuple::new(py, [&key])?, None))
            } else {
                Err(PyKeyError::new_err((key.unbind(),)))
            },
        )
    })
}

/// Runs `f`, whose `None` is an exception that is set; a panic is one.
fn guarded(f: impl FnOnce() -> Option<bool>) -> c_int {
    let mut answer = -1;
    caught(|| {
        answer = f().map_or(-1, c_int::from);
        std::ptr::null_mut()
    });
    answer
}

unsafe extern "C-unwind" fn assign(
    object: *mut ffi::PyObject,
    key: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: as in `subscript`; the value is null where the key is to go.
    let (this, key, value) = unsafe { (This::of(object), Ref::new(key), (!value.is_null()).then(|| Ref::new(value))) };
    guarded(|| {
        point("c[k] = v");
        let cached = this.cached(key.py()).ok()?;
        if let Some(value) = value {
            return this.set(cached, key, value, None).ok().map(|_| false);
        }
        if this.delete(cached, key).ok()? {
            return Some(false);
        }
        PyKeyError::new_err((key.to_bound().unbind(),)).raise(key.py());
        None
    })
}

unsafe extern "C-unwind" fn contains(object: *mut ffi::PyObject, key: *mut ffi::PyObject) -> c_int {
    // SAFETY: as in `subscript`.
    let (this, key) = unsafe { (This::of(object), Ref::new(key)) };
    guarded(|| {
        point("in");
        read::contains(this.cached(key.py()).ok()?, key).ok()
    })
}

unsafe extern "C-unwind" fn length(object: *mut ffi::PyObject) -> ffi::Py_ssize_t {
    // SAFETY: as in `subscript`.
    let this = unsafe { This::of(object) };
    let mut len = -1;
    caught(|| {
        point("len");
        if let Ok(cached) = this.cached(this.0.py()) {
            len = walk::len(this.0.py(), cached) as ffi::Py_ssize_t;
        }
        std::ptr::null_mut()
    });
    len
}

/// A call of a method, as Python passes it.
///
/// # Safety
/// It is what a method's function is passed, and the call lasts as long as the result.
#[inline(always)]
unsafe fn method_call<'a>(
    object: *mut ffi::PyObject,
    values: Objects,
    nargs: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> (This<'a>, Arguments<'a>) {
    // SAFETY: the caller's promise.
    unsafe { (This::of(object), Arguments::new(values, nargs as usize, names)) }
}

unsafe extern "C-unwind" fn get(
    object: *mut ffi::PyObject,
    values: Objects,
    nargs: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this for an instance, with arguments that last until it returns.
    let (this, arguments) = unsafe { method_call(object, values, nargs, names) };
    // Without arguments, there may be no row of them.
    if arguments.has_names() || !matches!(nargs, 1 | 2) {
        return get_with(this, &arguments);
    }
    let values = arguments.plain_values();
    let (key, default) = (values[0], values.get(1).copied());
    let Ok(cached) = this.cached(key.py()) else { return std::ptr::null_mut() };
    match read::glance(&this, cached, key) {
        Glance::Hit(value) => value,
        Glance::Absent => default_of(key.py(), default),
        Glance::Unsure(seen) => get_slowly(this, key, default, seen),
    }
}

#[inline(always)]
fn default_of(py: Python<'_>, default: Option<Ref<'_>>) -> *mut ffi::PyObject {
    default.map_or_else(|| py.None().into_ptr(), |default| default.to_owned().into_ptr())
}

#[inline(never)]
fn get_slowly(this: This<'_>, key: Ref<'_>, default: Option<Ref<'_>>, seen: Glimpse) -> *mut ffi::PyObject {
    caught(|| {
        point("get of an object");
        let Ok(cached) = this.cached(key.py()) else { return std::ptr::null_mut() };
        match read::look(&this, cached, key, seen) {
            Ok(Some(value)) => value.into_ptr(),
            Ok(None) => default_of(key.py(), default),
            Err(ErrSet) => std::ptr::null_mut(),
        }
    })
}

/// The arguments of a method, by its parameters' names; those that were left out are `None`. `Err`: the arguments do not fit.
fn bind<'a, const N: usize>(
    method: &str,
    parameters: [&str; N],
    (positional, required): (usize, usize),
    arguments: &Arguments<'a>,
) -> PyResult<[Option<Bound<'a, PyAny>>; N]> {
    let (values, names) = arguments.parts();
    let given = values.len() - names.len();
    if given > positional {
        let message = format!("{method}() takes at most {positional} positional arguments, got {given}");
        return Err(PyTypeError::new_err(message));
    }
    let mut bound = [const { None }; N];
    for (at, value) in values[..given].iter().enumerate() {
        bound[at] = Some(value.to_bound());
    }
    for (name, value) in names.iter().zip(&values[given..]) {
        let name = name.to_bound().to_string();
        match parameters.iter().position(|parameter| *parameter == name) {
            Some(at) if bound[at].is_none() => bound[at] = Some(value.to_bound()),
            Some(_) => {
                let message = format!("{method}() got multiple values for argument '{name}'");
                return Err(PyTypeError::new_err(message));
            }
            None => {
                let known = parameters.join(", ");
                let message = format!("{method}() got an unexpected keyword argument '{name}': it takes {known}");
                return Err(PyTypeError::new_err(message));
            }
        }
    }
    match bound[..required].iter().position(Option::is_none) {
        Some(at) => {
            let name = parameters[at];
            Err(PyTypeError::new_err(format!("{method}() missing a required argument: '{name}'")))
        }
        None => Ok(bound),
    }
}

/// Gives a result to Python.
fn given(py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) -> *mut ffi::PyObject {
    match result {
        Ok(object) => object.into_ptr(),
        Err(error) => {
            error.raise(py);
            std::ptr::null_mut()
        }
    }
}

/// `get` with keywords.
#[cold]
fn get_with(this: This<'_>, arguments: &Arguments<'_>) -> *mut ffi::PyObject {
    let py = this.0.py();
    let get = || {
        let [key, default, renew] = bind("get", ["key", "default", "renew"], (2, 1), arguments)?;
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        let key = key.unwrap_or_else(|| py.None().into_bound(py));
        if let Some(renew) = renew.filter(|renew| !renew.is_none()) {
            return this.0.to_bound().guarded_method("_get_renewed", (key, default, renew));
        }
        let cached = this.cached(py).map_err(|ErrSet| PyErr::fetch(py))?;
        let found = read::look(&this, cached, Ref::from(&key), Glimpse::Nothing).map_err(|ErrSet| PyErr::fetch(py))?;
        Ok(found.map_or(default, |value| value.into_bound(py)))
    };
    caught(|| given(py, get()))
}

unsafe extern "C-unwind" fn set(
    object: *mut ffi::PyObject,
    values: Objects,
    nargs: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `get`.
    let (this, arguments) = unsafe { method_call(object, values, nargs, names) };
    let py = this.0.py();
    let set = || {
        let cached = this.cached(py).map_err(|ErrSet| PyErr::fetch(py))?;
        if let (&[key, value], []) = arguments.parts() {
            return this.set(cached, key, value, None).map_err(|ErrSet| PyErr::fetch(py));
        }
        let [key, value, ttl, tags] = bind("set", ["key", "value", "ttl", "tags"], (2, 2), &arguments)?;
        let wish = wish(ttl.as_ref(), tags.as_ref())?;
        let (Some(key), Some(value)) = (key, value) else { return Ok(false) };
        this.set(cached, Ref::from(&key), Ref::from(&value), Some(wish)).map_err(|ErrSet| PyErr::fetch(py))
    };
    caught(|| {
        point("set of an object");
        given(py, set().map(|stored| PyBool::new(py, stored).to_owned().into_any()))
    })
}
