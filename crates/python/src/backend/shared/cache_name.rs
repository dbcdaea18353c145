//! What a function's cache is called, and whether the function is still what that says.
//!
//! Ring 3.

use std::path::PathBuf;

use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::bindings::watch;
use crate::capi::exceptions::{ErrSet, Raise};
use crate::capi::guarded::GuardedCalls;
use crate::capi::reference::{import, PyRef};
use crate::function::option_table::Options;

/// What a function was when its cache got its name: `warp_cache._naming.identity.Identity`.
pub struct Identity {
    pub(super) object: PyRef,
    /// Its list of what was seen of the function, which stays the same list.
    watches: PyRef,
}

impl Identity {
    fn new(object: &Bound<'_, PyAny>) -> PyResult<Identity> {
        let watches = object.getattr("watches")?.cast_into::<PyList>()?;
        Ok(Identity { object: PyRef::from(object.clone().unbind()), watches: PyRef::from(watches.into_any().unbind()) })
    }

    /// Shows the garbage collector what it refers to.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.object.as_py())?;
        visit.call(self.watches.as_py())
    }

    /// Whether all that was seen of the function is what it was. `Err` with an exception set, which is none that `renamed`
    /// would take for a change.
    pub(super) fn is_unchanged(&self, py: Python<'_>) -> Result<bool, ErrSet> {
        let watches = self.watches.as_py().bind(py);
        match watches.cast::<PyList>().map_err(PyErr::from).and_then(watch::is_unchanged) {
            Ok(is_unchanged) => Ok(is_unchanged),
            Err(error) if error.is_instance_of::<PyException>(py) => Ok(false),
            Err(error) => {
                error.raise(py);
                Err(ErrSet)
            }
        }
    }
}

/// What a function's cache is called.
pub struct CacheName {
    pub(super) name: String,
    /// Of a function's own cache, what tells whether it still is what the name says. Without it and without a name from the
    /// user no other process can name the file: it loses its name at once, and is shared with forks alone.
    pub(super) identity: Option<Identity>,
    pub(super) private: bool,
    /// What tells the key function from others where the user named the cache; in all other names it is told already.
    pub(super) key: Vec<u8>,
    /// It is a cache object's, which no lifetime is a part of.
    pub(super) is_object: bool,
    /// Where it alone is to lie; `None`: where all caches of this process do.
    pub(super) directory: Option<PathBuf>,
}

impl CacheName {
    /// The name of a cache object's cache.
    pub fn of_object(py: Python<'_>, name: &str, directory: Option<PathBuf>) -> PyResult<CacheName> {
        // As in `find`.
        import(py, "warp_cache._naming.identity")?;
        Ok(CacheName { is_object: true, directory, ..Self::named(name.to_owned()) })
    }

    /// A name that says all there is to say.
    pub fn named(name: String) -> CacheName {
        CacheName { name, identity: None, private: false, key: Vec::new(), is_object: false, directory: None }
    }

    /// The name of the cache that the user named, or of the function's own.
    pub fn find(function: &Bound<'_, PyAny>, options: &Options, name: Option<&str>) -> PyResult<CacheName> {
        let key = options.key.as_ref().map(|key| key.bind(function.py()));
        // It loads what will be needed when the file is opened: there may be no importing then.
        let identity = import(function.py(), "warp_cache._naming.identity")?;
        if let Some(name) = name {
            let key = match key {
                Some(key) => identity.guarded_method("key_digest", (key,))?.extract()?,
                None => Vec::new(),
            };
            let name = name.to_owned();
            return Ok(CacheName { name, identity: None, private: false, key, is_object: false, directory: None });
        }
        let (name, identity): (String, Option<Py<PyAny>>) =
            identity.guarded_method("identify", (function, key))?.extract()?;
        let (private, key) = (identity.is_none(), Vec::new());
        let identity = identity.map(|identity| Identity::new(identity.bind(function.py()))).transpose()?;
        Ok(CacheName { name, private, identity, key, is_object: false, directory: None })
    }
}
