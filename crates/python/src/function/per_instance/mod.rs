//! Methods whose instances have a cache each.
//!
//! Ring 3. A [`PerInstanceFunction`] stores nothing itself: a call finds the cache of its first argument, another
//! `CachedFunction` of the same function whose keys leave the first argument out, and enters that. What frees a cache with its
//! instance is where it hangs: in the instance's `__dict__`, in an [`InstanceCaches`]. The function itself
//! knows it by the instance's address ([`Instances`]), which is what a hit looks at. An instance without a `__dict__` has
//! its cache there, until it ends.

mod instance_caches;
mod instances;

pub use instance_caches::InstanceCaches;
pub(crate) use instances::Instances;

use instance_caches::Forget;
use instances::{Kept, Known};

use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyType};

use crate::backend::{AnyBackend, Memory};
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::exceptions::Raise;
use crate::capi::guarded::GuardedCalls;
use crate::capi::imported::Imported;
use crate::capi::panics::{as_error, caught};
use crate::capi::reference::PyRef;
use crate::capi::type_slots;
use crate::capi::weak::WeakRef;
use crate::function::asynchronous::Flights;
use crate::function::bound_method::Place;
use crate::function::call::{new_reference, Vectorcall};
use crate::function::control::Control;
use crate::function::instance::instance;
use crate::function::option_table::Options;
use crate::function::{admit, AsyncCachedFunction, CachedFunction};

/// A method with a cache for each instance: they die with their instances.
///
/// Made by the decorator.
#[pyclass(frozen, extends = CachedFunction, subclass, module = "warp_cache._warp_cache_rs")]
pub struct PerInstanceFunction;

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
            let instances = instance(object).get().instances.as_ref().unwrap_unchecked();
            if let Some(own) = instances.get_quickly(Ref::new(*values)) {
                // The instance may be left by its cache while that is called.
                return entry(&own)(own.as_ptr(), values, nargsf, names);
            }
        }
        enter_new(object, values, nargsf, names)
    }
}

/// What is entered to call an instance's cache.
///
/// # Safety
/// `own` is a `CachedFunction`; the thread is attached.
#[inline(always)]
unsafe fn entry(own: &PyRef) -> Vectorcall {
    // SAFETY: the caller's promise; the field of a `CachedFunction` has a `Vectorcall`. Acquire: pairs with the release store
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
            let arguments = Arguments::new(values, nargsf, names);
            let this = instance(object);
            let first = match arguments.positional() {
                0 => this.signature.as_ref().and_then(|signature| signature.first_by_name(&arguments)),
                _ => arguments.parts().0.first().copied(),
            };
            let Some(first) = first else {
                // The function is to complain.
                return new_reference(this.compute(&arguments));
            };
            let of_instances = this.object().to_bound().cast_into_unchecked::<PerInstanceFunction>();
            match PerInstanceFunction::find(&of_instances, &first.to_bound()) {
                Ok(own) => entry(&own)(own.as_ptr(), values, nargsf, names),
                Err(error) => {
                    error.raise(first.py());
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
        if let Some(own) = instances.get(instance.into()) {
            return Ok(own);
        }
        let owner = WeakRef::new(instance, None)?;
        if let Some(dict) = dict_of(instance)? {
            let caches = InstanceCaches::of(&dict, instance, owner)?;
            let own = caches.get().cache_of(slf)?;
            if let Some(cache) = WeakRef::new(own.as_py().bind(py), None)? {
                let known = Known { owner: WeakRef::new(instance, None)?, cache: Kept::ByInstance(cache) };
                instances.insert(instance.into(), known);
            }
            return Ok(own);
        }
        let (true, Some(of_function)) = (owner.is_some(), WeakRef::new(slf.as_any(), None)?) else {
            return Err(Self::nowhere(slf, instance));
        };
        let forget = Bound::new(py, Forget { of_function, address: instance.as_ptr() as usize })?;
        let own = Self::make(slf)?;
        let cache = Kept::Here(own.clone_ref(py));
        let known = Known { owner: WeakRef::new(instance, Some(forget.as_any()))?, cache };
        Ok(instances.insert(instance.into(), known).unwrap_or(own))
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
        let signature = this.signature.as_ref().map(|signature| signature.duplicate(py));
        let flights = if is_async { Some(Flights::new(py)?) } else { None };
        let function = this.function.as_py().bind(py);
        let control = this.state.control.clone();
        let mut made = CachedFunction::assemble(
            function,
            &this.options,
            signature,
            flights,
            AnyBackend::Memory(Memory::default()),
            control,
        );
        made.state.is_of_instance = true;
        let made = if is_async {
            type_slots::make(py, PyClassInitializer::from(made).add_subclass(AsyncCachedFunction))?.into_any()
        } else {
            type_slots::make(py, made)?.into_any()
        };
        Ok(made.unbind().into())
    }
}

#[pymethods]
impl PerInstanceFunction {
    /// A function made from checked options. `name`: what the user calls it.
    #[staticmethod]
    #[pyo3(signature = (function, options, is_async, name=None))]
    fn _of<'py>(
        function: &Bound<'py, PyAny>,
        options: &Bound<'py, Options>,
        is_async: bool,
        name: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        admit("fn", function)?;
        as_error(|| {
            let (py, options) = (function.py(), options.get());
            let signature = CachedFunction::signature(function, options, true)?;
            let control = Control::new(options, function, signature.as_ref())?;
            let mut base = CachedFunction::assemble(
                function,
                options,
                signature,
                None,
                AnyBackend::Memory(Memory::named(name)),
                control,
            );
            base.vectorcall = AtomicPtr::new(enter as Vectorcall as *mut c_void);
            base.instances = Some(Box::new(Instances::new(is_async)));
            let made =
                type_slots::make(py, PyClassInitializer::from(base).add_subclass(PerInstanceFunction))?.into_any();
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
    pub(super) fn _kind<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyType>> {
        let is_async = Self::instances(slf)?.is_async;
        let py = slf.py();
        Ok(if is_async { py.get_type::<AsyncCachedFunction>() } else { py.get_type::<CachedFunction>() })
    }

    /// The caches of the instances that are alive.
    fn _living<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let living = Self::instances(slf)?.living(slf.py());
        PyList::new(slf.py(), living.iter().map(|cache| cache.as_py().clone_ref(slf.py())))
    }

    /// The methods are those of the instance's cache, or of all caches.
    fn __getattribute__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if Place::of(&name.to_cow().unwrap_or_default()).is_some() {
            static OPERATION: Imported = Imported::new("warp_cache._instances", "operation");
            return OPERATION.get(py)?.guarded_call((slf, name));
        }
        // SAFETY: live objects; a new reference or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetAttr(slf.as_ptr(), name.as_ptr())) }
    }
}

/// Has a class hide what its instances keep.
fn hide(py: Python<'_>, class: &Bound<'_, PyAny>) -> PyResult<()> {
    static HIDE: Imported = Imported::new("warp_cache._instances", "hide");
    HIDE.get(py)?.guarded_call((class,)).map(|_| ())
}
