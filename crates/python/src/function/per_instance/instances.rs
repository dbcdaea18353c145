//! The instances of a function that have caches, by their addresses.
//!
//! Ring 3. A hit asks here. An instance is known by two weak references: to the instance (another one may have come to the
//! address) and to its cache; [`Recent`] has both at hand.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::capi::borrowed::Ref;
use crate::capi::reference::PyRef;
use crate::capi::weak::{Guarded, Recent, WeakRef};
use engine::hashing::{fold_multiply, GOLDEN};

/// The instances of a function that have caches.
#[derive(Debug)]
pub(crate) struct Instances {
    /// Whether it is a coroutine function.
    pub(super) is_async: bool,
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
pub(super) struct Known {
    /// `None`: the instance has no weak references, and whether it is this one its `__dict__` has to say.
    pub(super) owner: Option<WeakRef>,
    pub(super) cache: Kept,
}

#[derive(Debug)]
pub(super) enum Kept {
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
    fn get(&self, py: Python<'_>) -> Option<PyRef> {
        match self {
            Kept::ByInstance(cache) => cache.get(py),
            Kept::Here(cache) => Some(cache.clone_ref(py)),
        }
    }
}

impl Known {
    /// Its cache, if instance and cache are alive. What is only held meanwhile goes to `later`, to be dropped where code may
    /// run.
    fn living(&self, py: Python<'_>, later: &mut Vec<PyRef>) -> Option<PyRef> {
        if let Some(owner) = &self.owner {
            later.push(owner.get(py)?);
        }
        self.cache.get(py)
    }
}

impl Instances {
    pub(crate) fn new(is_async: bool) -> Self {
        Instances { is_async, known: Guarded::default() }
    }

    /// The cache of an instance, if that is known.
    #[inline(always)]
    pub(super) fn get_quickly(&self, instance: Ref<'_>) -> Option<PyRef> {
        // SAFETY: looking and counting a reference runs nothing. What is remembered is in the table.
        let recent = unsafe { self.known.with(|known| known.recent.find(instance).map(Ref::to_owned)) };
        recent.or_else(|| self.get(instance))
    }

    /// The same by the table.
    #[inline(never)]
    pub(super) fn get(&self, instance: Ref<'_>) -> Option<PyRef> {
        let address = instance.as_ptr() as usize;
        // SAFETY: looking up and counting a reference runs nothing.
        unsafe {
            self.known.with(|known| {
                let found = known.by_address.get(&address)?;
                let owner = found.owner.as_ref().filter(|owner| owner.is_to(instance))?;
                let own = found.cache.get(instance.py())?;
                if let Kept::ByInstance(cache) = &found.cache {
                    known.recent.remember((instance.as_ptr(), owner), (own.as_ptr(), cache));
                }
                Some(own)
            })
        }
    }

    /// Takes note of an instance. If another thread has been first with one that is kept here, that one is given.
    pub(super) fn insert(&self, instance: Ref<'_>, known: Known) -> Option<PyRef> {
        let (py, address) = (instance.py(), instance.as_ptr() as usize);
        let (mut later, mut ended) = (Vec::new(), Vec::new());
        // SAFETY: as in `get`; what is taken out is dropped below.
        unsafe {
            self.known.with(|instances| {
                instances.recent.forget();
                if let Some(before) = instances.by_address.get(&address) {
                    let is_same = before.owner.as_ref().is_some_and(|owner| owner.is_to(instance));
                    if let (true, Kept::Here(cache)) = (is_same, &before.cache) {
                        let cache = cache.clone_ref(py);
                        ended.push(known);
                        return Some(cache);
                    }
                }
                if instances.by_address.len() >= instances.sweep_at {
                    let gone: Vec<usize> = (instances.by_address.iter())
                        .filter_map(|(address, known)| match known.living(py, &mut later) {
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
                ended.extend(instances.by_address.insert(address, known));
                None
            })
        }
    }

    /// The caches of the instances that are alive.
    pub(super) fn living(&self, py: Python<'_>) -> Vec<PyRef> {
        let mut later = Vec::new();
        // SAFETY: as in `get`.
        unsafe {
            self.known
                .with(|known| known.by_address.values().filter_map(|known| known.living(py, &mut later)).collect())
        }
    }

    /// Lets an instance go whose end its weak reference has told.
    pub(super) fn forget(&self, address: usize, reference: *mut ffi::PyObject) {
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
