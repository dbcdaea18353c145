//! Methods whose instances have a cache each.
//!
//! Ring 3. A [`PerInstanceFunction`] stores nothing itself: a call finds the cache of its first argument, another
//! `CachedFunction` of the same function whose keys leave the first argument out, and enters that. What frees a cache with its
//! instance is where it hangs: in the instance's `__dict__`, in an [`InstanceCaches`] under one private name, so the garbage
//! collector sees the cycle that a value may make. The function itself knows it by address and by two weak references, which is
//! what a hit looks at: to the instance (another one may have come to the address) and to the cache ([`Recent`] has both at
//! hand). An instance without a
//! `__dict__` has its cache here, until it ends.

use std::collections::HashMap;
use std::ffi::c_void;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyType};

use super::asynchronous::Flights;
use super::bound_method::Place;
use super::call::{instance, Vectorcall};
use super::control::Control;
use super::options::Options;
use super::{AsyncCachedFunction, CachedFunction};
use crate::backend::{AnyBackend, Memory};
use crate::capi::panics::{as_error, caught};
use crate::capi::reference::{Arguments, PyRef};
use crate::capi::type_slots;
use crate::capi::weak::{Guarded, Recent, WeakRef};
use engine::hashing::{fold_multiply, GOLDEN};

/// A method with a cache for each instance: they die with their instances.
///
/// Made by the decorator.
#[pyclass(frozen, extends = CachedFunction, subclass, module = "warp_cache._warp_cache_rs")]
pub struct PerInstanceFunction;

/// The instances of a function that have caches.
#[derive(Debug)]
pub(crate) struct Instances {
    /// Whether it is a coroutine function.
    is_async: bool,
    known: Guarded<KnownInstances>,
}

#[derive(Debug, Default)]
struct KnownInstances {
    /// By the address of the instance.
    by_address: HashMap<usize, Known, BuildHasherDefault<AddressHasher>>,
    /// At this number those that have ended are looked for.
    sweep_at: usize,
    /// Of `by_address`, what was asked for lately.
    recent: Recent,
}

/// An instance and its cache.
#[derive(Debug)]
struct Known {
    /// `None`: the instance has no weak references, and whether it is this one its `__dict__` has to say.
    owner: Option<WeakRef>,
    cache: Kept,
}

#[derive(Debug)]
enum Kept {
    /// The instance keeps it.
    ByInstance(WeakRef),
    /// It is kept here.
    Here(PyRef),
}

#[derive(Debug, Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_usize(byte.into()));
    }

    #[inline(always)]
    fn write_usize(&mut self, address: usize) {
        self.0 = fold_multiply(self.0 ^ address as u64, GOLDEN);
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.0
    }
}

impl Kept {
    #[inline(always)]
    unsafe fn get(&self) -> Option<PyRef> {
        // SAFETY: the thread is attached (the callers').
        unsafe {
            match self {
                Kept::ByInstance(cache) => cache.get(),
                Kept::Here(cache) => Some(cache.clone_ref()),
            }
        }
    }
}

impl Known {
    /// Its cache, if instance and cache are alive. What is only held meanwhile goes to `later`, to be dropped where code may
    /// run.
    unsafe fn living(&self, later: &mut Vec<PyRef>) -> Option<PyRef> {
        // SAFETY: the thread is attached (the callers').
        unsafe {
            if let Some(owner) = &self.owner {
                later.push(owner.get()?);
            }
            self.cache.get()
        }
    }
}

impl Instances {
    pub(crate) fn new(is_async: bool) -> Self {
        Instances { is_async, known: Guarded::default() }
    }

    /// The cache of an instance, if that is known.
    ///
    /// # Safety
    /// The instance is alive; the thread is attached.
    #[inline(always)]
    unsafe fn get_quickly(&self, instance: *mut ffi::PyObject) -> Option<PyRef> {
        // SAFETY: the caller's promise; looking and counting a reference runs nothing. What is remembered is in the table.
        unsafe {
            let recent = self.known.with(|known| known.recent.find(instance).map(|own| PyRef::borrow(own)));
            recent.or_else(|| self.get(instance))
        }
    }

    /// The same by the table.
    ///
    /// # Safety
    /// As for `get_quickly`.
    #[inline(never)]
    unsafe fn get(&self, instance: *mut ffi::PyObject) -> Option<PyRef> {
        // SAFETY: the caller's promise; looking up and counting a reference runs nothing.
        unsafe {
            self.known.with(|known| {
                let found = known.by_address.get(&(instance as usize))?;
                let owner = found.owner.as_ref().filter(|owner| owner.is_to(instance))?;
                let own = found.cache.get()?;
                if let Kept::ByInstance(cache) = &found.cache {
                    known.recent.remember((instance, owner), (own.as_ptr(), cache));
                }
                Some(own)
            })
        }
    }

    /// Takes note of an instance. If another thread has been first with one that is kept here, that one is given.
    ///
    /// # Safety
    /// The thread is attached.
    unsafe fn insert(&self, instance: *mut ffi::PyObject, known: Known) -> Option<PyRef> {
        let (mut later, mut ended) = (Vec::new(), Vec::new());
        // SAFETY: as in `get`; what is taken out is dropped below.
        unsafe {
            self.known.with(|instances| {
                instances.recent.forget();
                if let Some(before) = instances.by_address.get(&(instance as usize)) {
                    let is_same = before.owner.as_ref().is_some_and(|owner| owner.is_to(instance));
                    if let (true, Kept::Here(cache)) = (is_same, &before.cache) {
                        let cache = cache.clone_ref();
                        ended.push(known);
                        return Some(cache);
                    }
                }
                if instances.by_address.len() >= instances.sweep_at {
                    let gone: Vec<usize> = (instances.by_address.iter())
                        .filter_map(|(address, known)| match known.living(&mut later) {
                            Some(cache) => {
                                later.push(cache);
                                None
                            }
                            None => Some(*address),
                        })
                        .collect();
                    ended.extend(gone.iter().filter_map(|address| instances.by_address.remove(address)));
                    instances.sweep_at = instances.by_address.len() * 2 + 64;
                }
                ended.extend(instances.by_address.insert(instance as usize, known));
                None
            })
        }
    }

    /// The caches of the instances that are alive.
    ///
    /// # Safety
    /// The thread is attached.
    unsafe fn living(&self) -> Vec<PyRef> {
        let mut later = Vec::new();
        // SAFETY: as in `get`.
        unsafe {
            self.known.with(|known| known.by_address.values().filter_map(|known| known.living(&mut later)).collect())
        }
    }

    /// Lets an instance go whose end its weak reference has told.
    ///
    /// # Safety
    /// The thread is attached.
    unsafe fn forget(&self, address: usize, reference: *mut ffi::PyObject) {
        // SAFETY: as in `get`; what is taken out is dropped behind this.
        let gone = unsafe {
            self.known.with(|known| {
                let found = known.by_address.get(&address)?;
                let is_it = found.owner.as_ref().is_some_and(|owner| owner.as_ptr() == reference);
                if is_it {
                    known.recent.forget();
                    known.by_address.remove(&address)
                } else {
                    None
                }
            })
        };
        drop(gone);
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let show = |known: &mut KnownInstances| {
            known.by_address.values().try_for_each(|known| match (&known.cache, &known.owner) {
                (Kept::Here(cache), owner) => {
                    visit.call(cache.as_py())?;
                    owner.as_ref().map_or(Ok(()), |owner| visit.call(owner.as_py()))
                }
                (Kept::ByInstance(_), _) => Ok(()),
            })
        };
        // SAFETY: the collector runs attached; its visitor runs nothing.
        unsafe { self.known.try_with(show) }.unwrap_or(Ok(()))
    }

    pub(crate) fn clear(&self) {
        // SAFETY: the collector runs attached; what is taken out is dropped behind this.
        let gone = unsafe { self.known.with(std::mem::take) };
        drop(gone);
    }
}

/// The vectorcall of a method with a cache for each instance.
///
/// # Safety
/// To be called as PEP 590 says, with a `PerInstanceFunction`.
unsafe extern "C-unwind" fn enter(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls this for an instance, with a call that lasts until this returns.
    unsafe {
        if nargsf & !ffi::PY_VECTORCALL_ARGUMENTS_OFFSET != 0 {
            let instances = instance(object).instances.as_ref().unwrap_unchecked();
            if let Some(own) = instances.get_quickly(*values) {
                // The instance may be left by its cache while that is called.
                return entry(&own)(own.as_ptr(), values, nargsf, names);
            }
        }
        enter_new(object, values, nargsf, names)
    }
}

/// What is entered to call an instance's cache.
#[inline(always)]
unsafe fn entry(own: &PyRef) -> Vectorcall {
    // SAFETY: an instance's cache is a `CachedFunction`, whose field has a `Vectorcall`. Acquire: pairs with the release store
    // of a recording's beginning and end.
    unsafe { std::mem::transmute::<*mut c_void, Vectorcall>(instance(own.as_ptr()).vectorcall.load(Ordering::Acquire)) }
}

/// The same for an instance that is not known by now.
///
/// # Safety
/// As for `enter`.
#[cold]
#[inline(never)]
unsafe extern "C-unwind" fn enter_new(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `enter`.
    unsafe {
        caught(|| {
            let py = Python::assume_attached();
            let arguments = Arguments { values, nargsf, names };
            let this = instance(object);
            let first = match arguments.positional() {
                0 => this.signature.as_ref().and_then(|signature| signature.first_by_name(&arguments)),
                _ => Some(*values),
            };
            let Some(first) = first else {
                // The function is to complain.
                return this.compute(&arguments);
            };
            let of_instances: Bound<'_, PerInstanceFunction> =
                Bound::from_borrowed_ptr(py, object).cast_into_unchecked();
            match PerInstanceFunction::find(&of_instances, &Bound::from_borrowed_ptr(py, first)) {
                Ok(own) => entry(&own)(own.as_ptr(), values, nargsf, names),
                Err(error) => {
                    error.restore(py);
                    std::ptr::null_mut()
                }
            }
        })
    }
}

/// The instance's own `__dict__`, whatever its class says of that; `None` where it has none, and of classes, whose is not to be
/// written to.
fn dict_of<'py>(instance: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = instance.py();
    if instance.is_instance_of::<PyType>() {
        return Ok(None);
    }
    // SAFETY: a live object; a new reference or null with an exception set.
    let dict = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetDict(instance.as_ptr(), std::ptr::null_mut()))
    };
    match dict {
        Ok(dict) => Ok(dict.cast_into::<PyDict>().ok()),
        Err(error) if error.is_instance_of::<PyAttributeError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

impl PerInstanceFunction {
    fn instances<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a Instances> {
        let instances = slf.as_super().get().instances.as_deref();
        instances.ok_or_else(|| PyTypeError::new_err("not made by the decorator"))
    }

    /// The cache of an instance; it is made if there is none.
    pub(super) fn find(slf: &Bound<'_, Self>, instance: &Bound<'_, PyAny>) -> PyResult<PyRef> {
        let (py, instances) = (slf.py(), Self::instances(slf)?);
        // SAFETY: attached, with a live instance.
        if let Some(own) = unsafe { instances.get(instance.as_ptr()) } {
            return Ok(own);
        }
        let owner = WeakRef::new(instance, None)?;
        if let Some(dict) = dict_of(instance)? {
            let caches = InstanceCaches::of(&dict, instance, owner)?;
            let own = caches.get().cache_of(slf)?;
            if let Some(cache) = WeakRef::new(own.as_py().bind(py), None)? {
                let known = Known { owner: WeakRef::new(instance, None)?, cache: Kept::ByInstance(cache) };
                // SAFETY: attached.
                unsafe { instances.insert(instance.as_ptr(), known) };
            }
            return Ok(own);
        }
        let (true, Some(of_function)) = (owner.is_some(), WeakRef::new(slf.as_any(), None)?) else {
            return Err(Self::nowhere(slf, instance));
        };
        let forget = Bound::new(py, Forget { of_function, address: instance.as_ptr() as usize })?;
        let own = Self::make(slf)?;
        // SAFETY: attached.
        unsafe {
            let cache = Kept::Here(own.clone_ref());
            let known = Known { owner: WeakRef::new(instance, Some(forget.as_any()))?, cache };
            Ok(instances.insert(instance.as_ptr(), known).unwrap_or(own))
        }
    }

    /// What is said of an instance that nothing can be kept with.
    fn nowhere(slf: &Bound<'_, Self>, instance: &Bound<'_, PyAny>) -> PyErr {
        let shown =
            |object: &Bound<'_, PyAny>, name| object.getattr(name).map_or_else(|_| "?".into(), |name| name.to_string());
        let (function, class) =
            (shown(slf.as_any(), "__qualname__"), shown(instance.get_type().as_any(), "__qualname__"));
        PyTypeError::new_err(format!(
            "per_instance needs instances with a __dict__ or weak references, and those of {class}, which {function} was called \
             with, have neither: add '__weakref__' or '__dict__' to its __slots__ (dataclass: weakref_slot=True)"
        ))
    }

    /// A cache for an instance.
    fn make(slf: &Bound<'_, Self>) -> PyResult<PyRef> {
        let (this, py) = (slf.as_super().get(), slf.py());
        let is_async = Self::instances(slf)?.is_async;
        // SAFETY: attached.
        let signature = this.signature.as_ref().map(|signature| unsafe { signature.duplicate() });
        let flights = if is_async { Some(Flights::new(py)?) } else { None };
        let function = this.function.as_py().bind(py);
        let control = this.state.control.clone();
        let mut made =
            CachedFunction::assemble(function, &this.options, signature, flights, AnyBackend::Memory(Memory), control);
        made.state.is_of_instance = true;
        // SAFETY: attached; one instance of the type.
        let made = unsafe {
            if is_async {
                let made = PyClassInitializer::from(made).add_subclass(AsyncCachedFunction);
                let kind = py.get_type::<AsyncCachedFunction>();
                type_slots::without_dict(&kind, || Bound::new(py, made))?.into_any()
            } else {
                type_slots::without_dict(&py.get_type::<CachedFunction>(), || Bound::new(py, made))?.into_any()
            }
        };
        Ok(made.unbind().into())
    }
}

#[pymethods]
impl PerInstanceFunction {
    /// A function made from checked options.
    #[staticmethod]
    fn _of<'py>(
        function: &Bound<'py, PyAny>,
        options: &Bound<'py, Options>,
        is_async: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        super::admit("fn", function)?;
        as_error(|| {
            let (py, options) = (function.py(), options.get());
            let signature = CachedFunction::signature(function, options, true)?;
            let mut base = CachedFunction::assemble(
                function,
                options,
                signature,
                None,
                AnyBackend::Memory(Memory),
                Control::new(options, function)?,
            );
            base.vectorcall = AtomicPtr::new(enter as Vectorcall as *mut c_void);
            base.instances = Some(Box::new(Instances::new(is_async)));
            let made = Bound::new(py, PyClassInitializer::from(base).add_subclass(PerInstanceFunction))?.into_any();
            crate::capi::refcount::share_refcount_mode(&made, function);
            Ok(made)
        })
    }

    /// Has the class hide what its instances keep when they are copied or pickled.
    fn __set_name__(slf: &Bound<'_, Self>, owner: &Bound<'_, PyAny>, _name: &Bound<'_, PyAny>) -> PyResult<()> {
        hide(slf.py(), owner)
    }

    /// The cache of an instance.
    fn _of_instance<'py>(slf: &Bound<'py, Self>, instance: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        as_error(|| Ok(Self::find(slf, instance)?.as_py().bind(slf.py()).clone()))
    }

    /// The type of the instances' caches.
    #[getter]
    fn _kind<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyType>> {
        let is_async = Self::instances(slf)?.is_async;
        let py = slf.py();
        Ok(if is_async { py.get_type::<AsyncCachedFunction>() } else { py.get_type::<CachedFunction>() })
    }

    /// The caches of the instances that are alive.
    fn _living<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        // SAFETY: attached.
        let living = unsafe { Self::instances(slf)?.living() };
        PyList::new(slf.py(), living.iter().map(|cache| cache.as_py().clone_ref(slf.py())))
    }

    /// The methods are those of the instance's cache, or of all caches.
    fn __getattribute__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if Place::of(&name.to_cow().unwrap_or_default()).is_some() {
            return py.import("warp_cache._instances")?.getattr("operation")?.call1((slf, name));
        }
        // SAFETY: live objects; a new reference or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetAttr(slf.as_ptr(), name.as_ptr())) }
    }
}

/// Has a class hide what its instances keep.
fn hide(py: Python<'_>, class: &Bound<'_, PyAny>) -> PyResult<()> {
    py.import("warp_cache._instances")?.getattr("hide")?.call1((class,)).map(|_| ())
}

/// Whose the caches are.
#[derive(Debug)]
enum Owner {
    Weak(WeakRef),
    /// Of an instance without weak references.
    Address(usize),
    /// Of nobody: a copy.
    Nobody,
}

/// What an instance keeps in its `__dict__`: its caches. Those of a copy of the `__dict__` answer nothing and are replaced.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
pub struct InstanceCaches {
    owner: Owner,
    /// By the function.
    caches: Guarded<Vec<(PyRef, PyRef)>>,
}

impl InstanceCaches {
    /// Those in an instance's `__dict__`; they are put there if there are none.
    fn of<'py>(
        dict: &Bound<'py, PyDict>,
        instance: &Bound<'py, PyAny>,
        owner: Option<WeakRef>,
    ) -> PyResult<Bound<'py, InstanceCaches>> {
        let py = dict.py();
        let name = intern!(py, "__warp_cache__");
        let found = dict.get_item(name)?;
        if let Some(Ok(found)) = found.as_ref().map(|found| found.cast::<InstanceCaches>()) {
            if found.get().is_of(instance) {
                return Ok(found.clone());
            }
        }
        hide(py, instance.get_type().as_any())?;
        let owner = owner.map_or_else(|| Owner::Address(instance.as_ptr() as usize), Owner::Weak);
        let made = Bound::new(py, InstanceCaches { owner, caches: Guarded::default() })?;
        if found.is_none() {
            // Another thread may have been first.
            let kept = py.get_type::<PyDict>().call_method1("setdefault", (dict, name, &made))?;
            if let Ok(kept) = kept.cast_into::<InstanceCaches>() {
                return Ok(kept);
            }
        }
        dict.set_item(name, &made)?;
        Ok(made)
    }

    fn is_of(&self, instance: &Bound<'_, PyAny>) -> bool {
        match &self.owner {
            // SAFETY: attached, with a live instance.
            Owner::Weak(owner) => unsafe { owner.is_to(instance.as_ptr()) },
            Owner::Address(address) => *address == instance.as_ptr() as usize,
            Owner::Nobody => false,
        }
    }

    /// The cache of a function; it is made if there is none.
    fn cache_of(&self, function: &Bound<'_, PerInstanceFunction>) -> PyResult<PyRef> {
        let of = |caches: &mut Vec<(PyRef, PyRef)>| {
            let found = caches.iter().find(|(of, _)| of.as_ptr() == function.as_ptr());
            // SAFETY: attached.
            found.map(|(_, cache)| unsafe { cache.clone_ref() })
        };
        // SAFETY: attached; looking and counting references runs nothing.
        unsafe {
            if let Some(found) = self.caches.with(of) {
                return Ok(found);
            }
            let made = PerInstanceFunction::make(function)?;
            let mut entry = Some((PyRef::borrow(function.as_ptr()), made.clone_ref()));
            let kept = self.caches.with(|caches| {
                let found = of(caches);
                if found.is_none() {
                    caches.extend(entry.take());
                }
                found
            });
            drop(entry);
            Ok(kept.unwrap_or(made))
        }
    }
}

#[pymethods]
impl InstanceCaches {
    /// Nobody's: what is in the place of another's where a `__dict__` was copied.
    #[new]
    fn new() -> Self {
        InstanceCaches { owner: Owner::Nobody, caches: Guarded::default() }
    }

    /// Instances that are compared by their `__dict__` do not differ in this.
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.is_exact_instance_of::<InstanceCaches>()
    }

    fn __hash__(&self) -> isize {
        0
    }

    fn __copy__(&self) -> Self {
        Self::new()
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> Self {
        Self::new()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, ()) {
        (slf.get_type(), ())
    }

    fn __repr__(&self) -> &'static str {
        "<caches of methods>"
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let show = |caches: &mut Vec<(PyRef, PyRef)>| {
            caches.iter().try_for_each(|(function, cache)| {
                visit.call(function.as_py())?;
                visit.call(cache.as_py())
            })
        };
        // SAFETY: the collector runs attached; its visitor runs nothing.
        unsafe { self.caches.try_with(show) }.unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        // SAFETY: the collector runs attached; what is taken out is dropped behind this.
        let gone = unsafe { self.caches.with(std::mem::take) };
        drop(gone);
    }
}

/// What is called at the end of an instance whose cache its method keeps.
#[pyclass(frozen, module = "warp_cache._warp_cache_rs")]
struct Forget {
    of_function: WeakRef,
    address: usize,
}

#[pymethods]
impl Forget {
    fn __call__(&self, reference: &Bound<'_, PyAny>) {
        let py = reference.py();
        // SAFETY: attached; a `CachedFunction`, held meanwhile.
        unsafe {
            if let Some(function) = self.of_function.get() {
                let function = function.as_py().bind(py);
                if let Some(instances) = &instance(function.as_ptr()).instances {
                    instances.forget(self.address, reference.as_ptr());
                }
            }
        }
    }
}
