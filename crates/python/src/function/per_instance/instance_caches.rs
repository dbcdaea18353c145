//! What an instance keeps in its `__dict__`: its caches.
//!
//! Ring 3. They lie there under one private name, so that the garbage collector sees the cycle that a value may make. They know
//! whose they are, so that those of a copied `__dict__` answer nothing.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use super::{hide, PerInstanceFunction};
use crate::capi::guarded::GuardedCalls;
use crate::capi::reference::PyRef;
use crate::capi::weak::{Guarded, WeakRef};
use crate::function::instance::instance;

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
    pub(super) fn of<'py>(
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
            let kept = py.get_type::<PyDict>().guarded_method("setdefault", (dict, name, &made))?;
            if let Ok(kept) = kept.cast_into::<InstanceCaches>() {
                return Ok(kept);
            }
        }
        dict.set_item(name, &made)?;
        Ok(made)
    }

    fn is_of(&self, instance: &Bound<'_, PyAny>) -> bool {
        match &self.owner {
            Owner::Weak(owner) => owner.is_to(instance.into()),
            Owner::Address(address) => *address == instance.as_ptr() as usize,
            Owner::Nobody => false,
        }
    }

    /// The cache of a function; it is made if there is none.
    pub(super) fn cache_of(&self, function: &Bound<'_, PerInstanceFunction>) -> PyResult<PyRef> {
        let of = |caches: &mut Vec<(PyRef, PyRef)>| {
            let found = caches.iter().find(|(of, _)| of.as_ptr() == function.as_ptr());
            found.map(|(_, cache)| cache.clone_ref(function.py()))
        };
        // SAFETY: attached; looking and counting references runs nothing.
        unsafe {
            if let Some(found) = self.caches.with(of) {
                return Ok(found);
            }
            let made = PerInstanceFunction::make(function)?;
            let mut entry = Some((PyRef::borrow(function.as_ptr()), made.clone_ref(function.py())));
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
pub(super) struct Forget {
    pub(super) of_function: WeakRef,
    pub(super) address: usize,
}

#[pymethods]
impl Forget {
    fn __call__(&self, reference: &Bound<'_, PyAny>) {
        let py = reference.py();
        // SAFETY: attached; a `CachedFunction`, held meanwhile.
        unsafe {
            if let Some(function) = self.of_function.get(py) {
                let function = function.as_py().bind(py);
                if let Some(instances) = &instance(function.as_ptr()).get().instances {
                    instances.forget(self.address, reference.as_ptr());
                }
            }
        }
    }
}
