//! Gives PyO3's types what PyO3 has no words for: the vectorcall slot (PEP 590), and a `__dict__` the collector sees.
//!
//! Ring 3. A `#[pyclass]` is an ordinary heap type, so its type object can be completed after it was made and before any
//! instance is visible. Two things are added:
//!
//! * `tp_vectorcall_offset`, measured on a real instance (address of the field minus address of the object: no layout is
//!   assumed), with `tp_call` and the flags that belong to it. Without it, every call builds a tuple and goes through a
//!   trampoline, which alone costs more than a hit of `functools.lru_cache`.
//! * `__dict__` in `tp_traverse`, `tp_clear` and `tp_dealloc`. PyO3 gives instances a dictionary but neither shows it to
//!   the garbage collector nor releases it, so that a function which refers to its own cached form would never be freed.

use std::ffi::{c_int, c_void, CStr};
use std::sync::OnceLock;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::impl_::pyclass_init::PyObjectInit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::PyClass;

use crate::capi::reference::release;

/// The slots that a type had before.
#[derive(Clone, Copy)]
pub struct Originals {
    dealloc: ffi::destructor,
    traverse: ffi::traverseproc,
    clear: ffi::inquiry,
}

/// The dictionary's place in an instance of a type whose base is one of ours.
///
/// # Safety
/// `object` is an instance of such a type.
unsafe fn dict_place(object: *mut ffi::PyObject) -> *mut *mut ffi::PyObject {
    // SAFETY: our types have a positive `tp_dictoffset`, the same in every type derived from them.
    unsafe {
        let offset = (*ffi::Py_TYPE(object)).tp_dictoffset;
        debug_assert!(offset > 0);
        object.byte_offset(offset).cast()
    }
}

/// An instance's dictionary, taken out of it: a strong reference, or null.
///
/// # Safety
/// As for `dict_place`; the object is about to be cleared or freed.
unsafe fn take_dict(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the caller's promise; nobody else reaches an object that is cleared or freed.
    unsafe { dict_place(object).replace(std::ptr::null_mut()) }
}

/// Drops what `take_dict` gave, which may run any code, and end the thread: see `capi::reference`.
///
/// # Safety
/// A strong reference or null; the thread is attached.
unsafe fn release_dict(dict: *mut ffi::PyObject) {
    if !dict.is_null() {
        // SAFETY: the caller's promise.
        unsafe { release(dict) };
    }
}

/// Slots for one type; each needs functions of its own, as a slot function is not told whose slot it was called from.
pub trait Patched {
    fn originals() -> &'static OnceLock<Originals>;
}

unsafe extern "C-unwind" fn dealloc<P: Patched>(object: *mut ffi::PyObject) {
    // SAFETY: called by Python for an instance of the patched type, whose slots were kept when it was patched.
    unsafe {
        let dict = take_dict(object);
        if let Some(originals) = P::originals().get() {
            (originals.dealloc)(object);
        }
        release_dict(dict);
    }
}

unsafe extern "C" fn traverse<P: Patched>(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: as in `dealloc`; the collector's visitor takes objects that the instance owns.
    unsafe {
        let dict = *dict_place(object);
        if !dict.is_null() {
            let stop = visit(dict, argument);
            if stop != 0 {
                return stop;
            }
        }
        P::originals().get().map_or(0, |o| (o.traverse)(object, visit, argument))
    }
}

unsafe extern "C-unwind" fn clear<P: Patched>(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: as in `dealloc`.
    unsafe {
        let dict = take_dict(object);
        let result = P::originals().get().map_or(0, |o| (o.clear)(object));
        release_dict(dict);
        result
    }
}

/// Completes a type whose instances hold a pointer to their vectorcall function `offset` bytes from their address. A base
/// is to be patched before a type derived from it is made, which then inherits the base's `traverse` and `clear`.
///
/// # Safety
/// Called once a type, while no other thread can know it; `offset` is right for every instance; the type was made by
/// PyO3 with `dict`, and has or inherits `__traverse__` and `__clear__`.
pub unsafe fn patch<P: Patched>(kind: &Bound<'_, PyType>, offset: isize) {
    let kind = kind.as_type_ptr();
    // SAFETY: a type object that only this thread knows may be completed; what is set here is what PEP 590 asks for.
    unsafe {
        if let (Some(dealloc_), Some(traverse_), Some(clear_)) =
            ((*kind).tp_dealloc, (*kind).tp_traverse, (*kind).tp_clear)
        {
            let kept = Originals { dealloc: dealloc_, traverse: traverse_, clear: clear_ };
            if P::originals().set(kept).is_ok() {
                // A C function that lets unwinding through has the ABI of one that must not, but for that.
                type Dealloc = unsafe extern "C-unwind" fn(*mut ffi::PyObject);
                type Clear = unsafe extern "C-unwind" fn(*mut ffi::PyObject) -> c_int;
                (*kind).tp_dealloc = Some(std::mem::transmute::<Dealloc, ffi::destructor>(dealloc::<P>));
                if !inherits_traverse(kind) {
                    (*kind).tp_traverse = Some(traverse::<P>);
                    (*kind).tp_clear = Some(std::mem::transmute::<Clear, ffi::inquiry>(clear::<P>));
                }
            }
        }
        enter_by_vectorcall(kind, offset, ffi::Py_TPFLAGS_METHOD_DESCRIPTOR);
    }
}

/// Gives a type that is no descriptor the vectorcall slot alone: as [`patch`] does.
///
/// # Safety
/// As for [`patch`], but that the type needs no `dict`, `__traverse__` or `__clear__`.
pub unsafe fn make_callable(kind: &Bound<'_, PyType>, offset: isize) {
    // SAFETY: the caller's promise.
    unsafe { enter_by_vectorcall(kind.as_type_ptr(), offset, 0) };
}

/// Sets the slot, and the flags that belong to it.
///
/// # Safety
/// As for [`patch`].
unsafe fn enter_by_vectorcall(kind: *mut ffi::PyTypeObject, offset: isize, flags: std::ffi::c_ulong) {
    // SAFETY: a type object that only this thread knows may be completed; what is set here is what PEP 590 asks for.
    unsafe {
        (*kind).tp_vectorcall_offset = offset;
        (*kind).tp_call = Some(ffi::PyVectorcall_Call);
        let flags = flags | ffi::Py_TPFLAGS_HAVE_VECTORCALL | ffi::Py_TPFLAGS_IMMUTABLETYPE;
        #[cfg(Py_GIL_DISABLED)]
        (*kind).tp_flags.fetch_or(flags, std::sync::atomic::Ordering::Relaxed);
        #[cfg(not(Py_GIL_DISABLED))]
        {
            (*kind).tp_flags |= flags;
        }
        ffi::PyType_Modified(kind);
    }
}

/// What `__call__` of such a type does, called by name: the vectorcall entry of the instance is entered.
///
/// # Safety
/// `object` is an instance of a type that [`patch`] or [`make_callable`] was given.
pub unsafe fn call_by_vectorcall<'py, T>(
    object: &Bound<'py, T>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: by the caller's promise the type has a vectorcall slot; a tuple, and a dict or null; a new reference comes back, or
    // null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(object.py(), ffi::PyVectorcall_Call(object.as_ptr(), args.as_ptr(), kwargs)) }
}

/// An instance of a type with `dict`. All of them are to be made here, or by [`make_of`].
pub fn make<'py, T: PyClass + Patched>(
    py: Python<'py>,
    initial: impl Into<PyClassInitializer<T>>,
) -> PyResult<Bound<'py, T>> {
    let initial = initial.into();
    // SAFETY: attached; one instance of a patched type, which PyO3 allocates and fills.
    unsafe { without_dict(&py.get_type::<T>(), || Bound::new(py, initial)) }
}

/// An instance of such a type, or of one that is derived from it in Python: what `__new__` was asked for.
pub fn make_of<'py, T: PyClass + Patched>(
    kind: &Bound<'py, PyType>,
    initial: impl Into<PyClassInitializer<T>>,
) -> PyResult<Bound<'py, T>> {
    let (py, initial) = (kind.py(), initial.into());
    if !kind.is_subclass_of::<T>()? {
        return Err(PyTypeError::new_err("__new__ makes instances of its class and of those derived from it"));
    }
    let make = || {
        // SAFETY: attached; the type is that of `initial` or derived from it, and a new reference comes back.
        let made = unsafe { Bound::from_owned_ptr(py, initial.into_new_object(py, kind.as_type_ptr())?) };
        // SAFETY: so it is.
        Ok(unsafe { made.cast_into_unchecked::<T>() })
    };
    // SAFETY: a ready type. One with abstract methods has no instances: what refuses them may be Python's code.
    if unsafe { ffi::PyType_HasFeature(kind.as_type_ptr(), ffi::Py_TPFLAGS_IS_ABSTRACT) } != 0 {
        return make();
    }
    // SAFETY: attached; one instance of a type with a patched one as its base, and so with the base's `tp_dictoffset`.
    unsafe { without_dict(kind, make) }
}

/// Makes an instance without the `__dict__` that CPython 3.11 and 3.12 allocate for each, which PyO3 overwrites and so leaks.
///
/// # Safety
/// The thread is attached; `make` makes one instance of `kind`, a patched type or one derived from it, and runs no code of
/// Python's.
unsafe fn without_dict<R>(kind: &Bound<'_, PyType>, make: impl FnOnce() -> R) -> R {
    /// Puts back what was changed.
    #[cfg(all(Py_3_11, not(Py_3_13)))]
    struct Restore(*mut ffi::PyTypeObject, ffi::Py_ssize_t, bool);

    #[cfg(all(Py_3_11, not(Py_3_13)))]
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: as below.
            unsafe {
                (*self.0).tp_dictoffset = self.1;
                if self.2 {
                    ffi::PyGC_Enable();
                }
            }
        }
    }

    // These versions have a GIL: while `make` keeps it, and the collector does not run, nobody else looks at the type.
    // SAFETY: the caller's promise; a type that lives as long as the process.
    #[cfg(all(Py_3_11, not(Py_3_13)))]
    let _restore = unsafe {
        let (kind, was_on) = (kind.as_type_ptr(), ffi::PyGC_Disable() != 0);
        Restore(kind, std::mem::replace(&mut (*kind).tp_dictoffset, 0), was_on)
    };
    #[cfg(not(all(Py_3_11, not(Py_3_13))))]
    let _ = kind;
    make()
}

/// Whether the type's `tp_traverse` is its base's: then that one visits the dictionary already.
///
/// # Safety
/// `kind` is a ready type with a base.
unsafe fn inherits_traverse(kind: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        match ((*kind).tp_traverse, (*(*kind).tp_base).tp_traverse) {
            (Some(own), Some(base)) => own as usize == base as usize,
            _ => false,
        }
    }
}

/// A method as vectorcall calls it: instance, values, number of positional ones, names.
pub type MethodFunction = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    ffi::Py_ssize_t,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// A method without arguments: the instance, and null.
pub type Nullary = unsafe extern "C-unwind" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> *mut ffi::PyObject;

/// What a method is in C.
enum Entry {
    Any(MethodFunction),
    Nullary(Nullary),
}

/// A method to be added to a type.
pub struct Method {
    name: &'static CStr,
    entry: Entry,
    doc: &'static CStr,
}

impl Method {
    pub const fn new(name: &'static CStr, function: MethodFunction, doc: &'static CStr) -> Self {
        Method { name, entry: Entry::Any(function), doc }
    }

    /// A method that takes no arguments, which Python checks.
    pub const fn nullary(name: &'static CStr, function: Nullary, doc: &'static CStr) -> Self {
        Method { name, entry: Entry::Nullary(function), doc }
    }
}

/// Adds methods to a type that PyO3 made.
///
/// # Safety
/// Called while no other thread can know the type, and before it is made immutable; the functions are right for its
/// instances.
pub unsafe fn add_methods(kind: &Bound<'_, PyType>, methods: &[Method]) -> PyResult<()> {
    for method in methods {
        // SAFETY: a C function that lets unwinding through has the ABI of one that must not, but for that; Python's own
        // frames, between this one and the end of the thread, are C and have nothing to run.
        let (entry, flags) = unsafe {
            match method.entry {
                Entry::Any(function) => {
                    let function = std::mem::transmute::<MethodFunction, ffi::PyCFunctionFastWithKeywords>(function);
                    let entry = ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: function };
                    (entry, ffi::METH_FASTCALL | ffi::METH_KEYWORDS)
                }
                Entry::Nullary(function) => {
                    let function = std::mem::transmute::<Nullary, ffi::PyCFunction>(function);
                    (ffi::PyMethodDefPointer { PyCFunction: function }, ffi::METH_NOARGS)
                }
            }
        };
        // The type keeps a pointer to the definition, and lives as long as the process.
        let definition = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: method.name.as_ptr(),
            ml_meth: entry,
            ml_flags: flags,
            ml_doc: method.doc.as_ptr(),
        }));
        // SAFETY: a type and a definition that live for ever; the descriptor is a new reference.
        let descriptor =
            unsafe { Bound::from_owned_ptr_or_err(kind.py(), ffi::PyDescr_NewMethod(kind.as_type_ptr(), definition))? };
        kind.setattr(method.name.to_string_lossy().as_ref(), descriptor)?;
    }
    Ok(())
}
