//! Weak references, read without a call where the GIL allows it, and a cell for what several threads look things up in.
//!
//! Ring 3.

use pyo3::ffi;
use pyo3::prelude::*;

use super::borrowed::Ref;
use super::reference::PyRef;

/// A weak reference to an object.
#[derive(Debug)]
pub struct WeakRef(PyRef);

impl WeakRef {
    /// To an object; `None` where its type has none. `callback`: called with the reference when the object has ended.
    pub fn new(object: &Bound<'_, PyAny>, callback: Option<&Bound<'_, PyAny>>) -> PyResult<Option<WeakRef>> {
        let callback = callback.map_or(std::ptr::null_mut(), Bound::as_ptr);
        // SAFETY: live objects, or null for no callback; a new reference or null with an exception set.
        unsafe {
            let made = ffi::PyWeakref_NewRef(object.as_ptr(), callback);
            if !made.is_null() {
                return Ok(Some(WeakRef(PyRef::steal(made))));
            }
            let error = PyErr::fetch(object.py());
            if error.is_instance_of::<pyo3::exceptions::PyTypeError>(object.py()) {
                Ok(None)
            } else {
                Err(error)
            }
        }
    }

    /// The reference itself as an object.
    pub fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    pub fn as_py(&self) -> &Py<PyAny> {
        self.0.as_py()
    }

    /// Whether it refers to this object.
    #[inline(always)]
    pub fn is_to(&self, object: Ref<'_>) -> bool {
        // SAFETY: a weak reference has the object's address in its second field until that ends; whoever reads another
        // address than that of a live object reads one that differs.
        #[cfg(not(Py_GIL_DISABLED))]
        return unsafe { (*self.0.as_ptr().cast::<Weak>()).object } == object.as_ptr();
        #[cfg(Py_GIL_DISABLED)]
        return self.get(object.py()).is_some_and(|found| found.as_ptr() == object.as_ptr());
    }

    /// A new reference to the object; `None` if it has ended.
    #[inline(always)]
    pub fn get(&self, _: Python<'_>) -> Option<PyRef> {
        // SAFETY: the field is the address of an object or that of None. One that is about to end has no references left,
        // and may have code run before its weak references know.
        unsafe {
            #[cfg(not(Py_GIL_DISABLED))]
            {
                let object = (*self.0.as_ptr().cast::<Weak>()).object;
                (object != ffi::Py_None() && ffi::Py_REFCNT(object) > 0).then(|| PyRef::borrow(object))
            }
            #[cfg(Py_GIL_DISABLED)]
            {
                let mut object = std::ptr::null_mut();
                let found = ffi::PyWeakref_GetRef(self.0.as_ptr(), &mut object);
                (found == 1).then(|| PyRef::steal(object))
            }
        }
    }
}

/// The first fields of a weak reference: as `Include/cpython/weakrefobject.h` has them, in every version.
#[cfg(not(Py_GIL_DISABLED))]
#[repr(C)]
struct Weak {
    base: ffi::PyObject,
    object: *mut ffi::PyObject,
}

/// Pairs of objects that were looked up lately, each told by weak references that somebody else keeps: with a GIL, to find the
/// second by the first without a call or a search.
#[derive(Debug)]
pub struct Recent([Pair; Recent::SLOTS]);

#[derive(Clone, Copy, Debug)]
#[cfg_attr(Py_GIL_DISABLED, allow(dead_code))]
struct Pair {
    first: *mut ffi::PyObject,
    second: *mut ffi::PyObject,
    /// The weak references to them.
    to_first: *mut ffi::PyObject,
    to_second: *mut ffi::PyObject,
}

// SAFETY: the addresses are looked at by attached threads alone.
unsafe impl Send for Recent {}

impl Default for Recent {
    fn default() -> Self {
        let null = std::ptr::null_mut();
        Recent([Pair { first: null, second: null, to_first: null, to_second: null }; Recent::SLOTS])
    }
}

impl Recent {
    const SLOTS: usize = 16;

    #[inline(always)]
    fn at(object: *mut ffi::PyObject) -> usize {
        // Objects lie at multiples of 16, and those of a class often at equal distances.
        let address = object as usize >> 4;
        (address ^ address >> 4) % Self::SLOTS
    }

    /// What belongs to an object, borrowed: `None` where that is not known here, or has ended.
    ///
    /// # Safety
    /// The weak references of all pairs are alive. The result is used before anything runs.
    #[inline(always)]
    pub unsafe fn find<'a>(&self, object: Ref<'a>) -> Option<Ref<'a>> {
        let first = object.as_ptr();
        #[cfg(not(Py_GIL_DISABLED))]
        // SAFETY: a pair's references are alive, and what one refers to is alive while it has references itself.
        unsafe {
            let pair = &self.0[Self::at(first)];
            let is_it = pair.first == first
                && (*pair.to_first.cast::<Weak>()).object == first
                && (*pair.to_second.cast::<Weak>()).object == pair.second
                && ffi::Py_REFCNT(pair.second) > 0;
            is_it.then(|| Ref::new(pair.second))
        }
        #[cfg(Py_GIL_DISABLED)]
        {
            let _ = Self::at(first);
            None
        }
    }

    /// Remembers a pair, both of which are alive.
    pub fn remember(
        &mut self,
        (first, to_first): (*mut ffi::PyObject, &WeakRef),
        (second, to_second): (*mut ffi::PyObject, &WeakRef),
    ) {
        self.0[Self::at(first)] = Pair { first, second, to_first: to_first.as_ptr(), to_second: to_second.as_ptr() };
    }

    /// Before a weak reference is given up.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

/// What one thread at a time has: with a GIL its holder, else the holder of a lock.
#[derive(Debug, Default)]
pub struct Guarded<T> {
    #[cfg(not(Py_GIL_DISABLED))]
    value: std::cell::UnsafeCell<T>,
    #[cfg(Py_GIL_DISABLED)]
    value: std::sync::Mutex<T>,
}

// SAFETY: the cell is reached by `with` alone, whose callers hold the GIL and keep it.
#[cfg(not(Py_GIL_DISABLED))]
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// Runs `f` with the value.
    ///
    /// # Safety
    /// The thread is attached. `f` neither calls into Python nor drops an object, nor comes here again.
    #[inline(always)]
    pub unsafe fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(not(Py_GIL_DISABLED))]
        // SAFETY: the caller's promise: nobody else is in here.
        return f(unsafe { &mut *self.value.get() });
        #[cfg(Py_GIL_DISABLED)]
        f(&mut self.value.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The same for the garbage collector: `None` where another thread is in here.
    ///
    /// # Safety
    /// As for `with`.
    pub unsafe fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        #[cfg(not(Py_GIL_DISABLED))]
        // SAFETY: the caller's promise.
        return Some(unsafe { self.with(f) });
        #[cfg(Py_GIL_DISABLED)]
        match self.value.try_lock() {
            Ok(mut value) => Some(f(&mut value)),
            Err(_) => None,
        }
    }
}
