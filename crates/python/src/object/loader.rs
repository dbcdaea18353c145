//! The loader of a cache object: the decorated function that brings what `get_or_set` asks for.
//!
//! Ring 3. It serves calls of both kinds: as a coroutine function where the value is to be awaited, as any other where not.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::backend::{AnyBackend, Memory, Remote, Shared};
use crate::capi::panics::as_error;
use crate::capi::type_slots;
use crate::function::asynchronous::Flights;
use crate::function::control::Control;
use crate::function::option_object::Object;
use crate::function::option_table::Options;
use crate::function::{AsyncCachedFunction, CachedFunction};

/// The loader of an object with these options. `function`: what is called to compute; `terms`, `tags`: see
/// `Control::of_object`. `name`: that of a shared or remote cache; `is_shared`: whether the processes of the host have a file;
/// `directory`: where that alone is to lie.
#[pyfunction]
#[pyo3(signature = (function, options, name, terms, tags, is_shared, directory))]
pub fn _make_loader<'py>(
    function: &Bound<'py, PyAny>,
    options: &Bound<'py, Options>,
    name: Option<&str>,
    terms: &Bound<'py, PyAny>,
    tags: &Bound<'py, PyAny>,
    is_shared: bool,
    directory: Option<PathBuf>,
) -> PyResult<Bound<'py, PyAny>> {
    as_error(|| {
        let (py, options) = (function.py(), options.get());
        crate::capi::exceptions::install(py)?;
        let backend = match name {
            Some(name) if options.remote.is_given() => {
                AnyBackend::Remote(Remote::of_object(py, options, name, is_shared, directory)?)
            }
            Some(name) => AnyBackend::Shared(Shared::of_object(py, options, name, directory)?),
            None => AnyBackend::Memory(Memory::default()),
        };
        let signature = CachedFunction::signature(function, options, false)?;
        let mut control =
            Control::of(options, function, signature.as_ref())?.of_object(Object::new(terms), Object::new(tags));
        if options.remote.is_given() && is_shared {
            control.copy_as_a_file();
        }
        let base =
            CachedFunction::assemble(function, options, signature, Some(Flights::new(py)?), backend, Some(control));
        let made = type_slots::make(py, PyClassInitializer::from(base).add_subclass(AsyncCachedFunction))?.into_any();
        crate::capi::refcount::share_refcount_mode(&made, function);
        Ok(made)
    })
}
