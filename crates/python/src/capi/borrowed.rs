//! Borrowed objects and calls, whose types say what a comment would have to promise.
//!
//! Ring 3. Whoever has a [`Ref`] has an object that is alive, on a thread that is attached to the interpreter. It is made
//! where CPython comes in (an entry point, a tuple's items, a reference of ours), and what is given one is safe code: it can
//! neither outlive what lends it nor go to another thread. Code that has no object at hand takes PyO3's [`Python`], which
//! says the same of the thread. The one way to be without the interpreter is [`detached`](super::detach::detached).
//!
//! That no lock is held where Python code may run is no matter of these types: [`sharing`](super::sharing) says who sees to it.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::reference::{calls, tuple_items, PyRef};

/// A borrowed object: alive, in the hands of an attached thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Ref<'a>(NonNull<ffi::PyObject>, PhantomData<(&'a PyRef, *const ())>);

impl<'a> Ref<'a> {
    /// Lends what CPython has lent.
    ///
    /// # Safety
    /// `object` is not null and alive for as long as the result; so long the thread is attached.
    #[inline(always)]
    pub unsafe fn new(object: *mut ffi::PyObject) -> Self {
        debug_assert!(!object.is_null());
        // SAFETY: the caller's promise.
        Ref(unsafe { NonNull::new_unchecked(object) }, PhantomData)
    }

    /// Lends what a reference of ours keeps.
    #[inline(always)]
    pub fn of(_: Python<'a>, object: &'a PyRef) -> Self {
        // SAFETY: the reference keeps the object, and the thread is attached.
        unsafe { Ref::new(object.as_ptr()) }
    }

    /// Objects as CPython has them in a row.
    ///
    /// # Safety
    /// As for [`new`](Self::new), for each of them.
    #[inline(always)]
    pub unsafe fn row(objects: &'a [*mut ffi::PyObject]) -> &'a [Ref<'a>] {
        // SAFETY: a `Ref` is a transparent pointer that is not null.
        unsafe { &*(std::ptr::from_ref(objects) as *const [Ref<'a>]) }
    }

    #[inline(always)]
    pub fn as_ptr(self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// That the thread is attached.
    #[inline(always)]
    pub fn py(self) -> Python<'a> {
        // SAFETY: it is, as long as there is this reference.
        unsafe { Python::assume_attached() }
    }

    /// A strong reference; runs nothing.
    #[inline(always)]
    pub fn to_owned(self) -> PyRef {
        // SAFETY: the object is alive.
        unsafe { PyRef::borrow(self.as_ptr()) }
    }

    /// One reference more, in PyO3's terms.
    pub fn to_bound(self) -> Bound<'a, PyAny> {
        self.bind(self.py())
    }

    /// The same for as long as the thread is attached.
    pub fn bind<'py>(self, py: Python<'py>) -> Bound<'py, PyAny> {
        // SAFETY: the object is alive.
        unsafe { Bound::from_borrowed_ptr(py, self.as_ptr()) }
    }
}

impl<'a> From<&'a Bound<'a, PyAny>> for Ref<'a> {
    fn from(object: &'a Bound<'a, PyAny>) -> Self {
        // SAFETY: it keeps its object, and is on an attached thread.
        unsafe { Ref::new(object.as_ptr()) }
    }
}

/// A call as vectorcall passes it: borrowed, valid while the call lasts.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    /// Positional values, then those of the keywords.
    values: *const *mut ffi::PyObject,
    /// The number of positional values, with vectorcall's flag.
    nargsf: usize,
    /// A tuple of names, or null.
    names: *mut ffi::PyObject,
    _call: PhantomData<Ref<'a>>,
}

impl<'a> Arguments<'a> {
    /// What CPython passes to an entry point.
    ///
    /// # Safety
    /// It is what vectorcall passes, and the call lasts as long as the result.
    #[inline(always)]
    pub unsafe fn new(values: *const *mut ffi::PyObject, nargsf: usize, names: *mut ffi::PyObject) -> Self {
        Arguments { values, nargsf, names, _call: PhantomData }
    }

    /// A call without keywords.
    ///
    /// # Safety
    /// As for [`new`](Self::new).
    #[inline(always)]
    pub unsafe fn plain(values: *const *mut ffi::PyObject, nargsf: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Arguments::new(values, nargsf, std::ptr::null_mut()) }
    }

    /// A call that we make: the positional values, then those of the names.
    pub fn of(values: &'a [Ref<'a>], names: Option<&'a Bound<'a, PyTuple>>) -> Self {
        let named = names.map_or(0, |names| names.len());
        let names = names.map_or(std::ptr::null_mut(), |names| names.as_ptr());
        // SAFETY: a row of references is one of pointers; each name has a value.
        unsafe { Arguments::new(values.as_ptr().cast(), values.len().saturating_sub(named), names) }
    }

    /// The arguments as Python has them: a tuple and a dict.
    pub fn as_python(&self, py: Python<'a>) -> PyResult<(Bound<'a, PyTuple>, Bound<'a, PyDict>)> {
        let (values, names) = self.parts();
        let (args, named) = values.split_at(values.len() - names.len());
        let kwargs = PyDict::new(py);
        for (name, value) in names.iter().zip(named) {
            kwargs.set_item(name.to_bound(), value.to_bound())?;
        }
        Ok((PyTuple::new(py, args.iter().map(|value| value.to_bound()))?, kwargs))
    }

    /// That the thread is attached.
    #[inline(always)]
    pub fn py(&self) -> Python<'a> {
        // SAFETY: it is while the call lasts.
        unsafe { Python::assume_attached() }
    }

    #[inline(always)]
    pub fn positional(&self) -> usize {
        self.nargsf & !ffi::PY_VECTORCALL_ARGUMENTS_OFFSET
    }

    /// The call without its first values.
    ///
    /// # Safety
    /// There are so many, and none by name.
    #[inline(always)]
    pub unsafe fn plain_from(&self, first: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Arguments::plain(self.values.add(first), self.positional() - first) }
    }

    /// Whether there are values by name.
    #[inline(always)]
    pub fn has_names(&self) -> bool {
        !self.names.is_null()
    }

    /// Where they lie: no other call's are there before this one has ended.
    pub fn address(&self) -> usize {
        self.values as usize
    }

    /// The values of a call without keywords.
    #[inline(always)]
    pub fn plain_values(&self) -> &'a [Ref<'a>] {
        debug_assert!(!self.has_names());
        // SAFETY: vectorcall passes so many values.
        unsafe { Ref::row(std::slice::from_raw_parts(self.values, self.positional())) }
    }

    /// All values, and the names of the last of them.
    #[inline(always)]
    pub fn parts(&self) -> (&'a [Ref<'a>], &'a [Ref<'a>]) {
        let names = self.keywords();
        let count = self.positional() + names.len();
        // A call without arguments may come with a null pointer.
        if count == 0 {
            return (&[], names);
        }
        // SAFETY: vectorcall passes the positional values, then one for each keyword.
        (unsafe { Ref::row(std::slice::from_raw_parts(self.values, count)) }, names)
    }

    /// The keywords' names.
    #[inline(always)]
    pub fn keywords(&self) -> &'a [Ref<'a>] {
        if self.names.is_null() {
            return &[];
        }
        // SAFETY: vectorcall passes a tuple of names; the caller keeps it.
        unsafe { Ref::row(tuple_items(self.names)) }
    }

    /// Passes the call on, as it came; `None` with an exception set.
    #[inline(always)]
    pub fn call(&self, callable: Ref<'_>) -> Option<PyRef> {
        // SAFETY: the call lasts; a new reference, or null with an exception set.
        unsafe {
            PyRef::steal_or_none(calls::PyObject_Vectorcall(callable.as_ptr(), self.values, self.nargsf, self.names))
        }
    }
}

impl Arguments<'_> {
    /// [`call`](Self::call) where the caller's row is not to be written to.
    pub fn call_anew(&self, callable: Ref<'_>) -> Option<PyRef> {
        Arguments { nargsf: self.positional(), ..*self }.call(callable)
    }

    /// [`call`](Self::call) with other arguments before these.
    pub fn call_behind<'b>(&'b self, callable: Ref<'_>, first: impl Iterator<Item = Ref<'b>>) -> Option<PyRef> {
        let (values, names) = self.parts();
        let row: Vec<_> = first.chain(values.iter().copied()).collect();
        let nargsf = row.len() - names.len();
        // SAFETY: a row of references is one of pointers; the last of them are those of the names.
        unsafe { Arguments::new(row.as_ptr().cast(), nargsf, self.names) }.call(callable)
    }
}

impl Ref<'_> {
    /// Calls the object with these arguments; `None` with an exception set. Runs any code.
    #[inline]
    pub fn call(self, arguments: &[Ref<'_>]) -> Option<PyRef> {
        // SAFETY: live objects; a row of references is one of pointers. A new reference, or null with an exception set.
        unsafe {
            PyRef::steal_or_none(calls::PyObject_Vectorcall(
                self.as_ptr(),
                arguments.as_ptr().cast(),
                arguments.len(),
                std::ptr::null_mut(),
            ))
        }
    }
}

/// A level of the interpreter's recursion, which it would otherwise not know of: that of a frame on the C stack.
pub struct Level<'a>(PhantomData<Ref<'a>>);

impl<'a> Level<'a> {
    /// Enters a level; `None` with a RecursionError set, which says `place`.
    #[inline(always)]
    pub fn enter(_: Python<'a>, place: &CStr) -> Option<Self> {
        // SAFETY: attached; the text is borrowed for the call.
        (unsafe { calls::Py_EnterRecursiveCall(place.as_ptr()) } == 0).then_some(Level(PhantomData))
    }
}

impl<'a> Level<'a> {
    /// It is left by whoever calls [`entered`](Self::entered).
    #[inline(always)]
    pub fn stays(self) {
        std::mem::forget(self);
    }

    /// A level that was entered before.
    ///
    /// # Safety
    /// By this thread, and [it stays](Self::stays).
    #[inline(always)]
    pub unsafe fn entered(_: Python<'a>) -> Self {
        Level(PhantomData)
    }
}

impl Drop for Level<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: attached; it was entered.
        unsafe { calls::Py_LeaveRecursiveCall() };
    }
}
