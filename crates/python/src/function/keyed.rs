//! The key of a call: by its arguments, by those that count, or by what the user's key function gives.
//!
//! Ring 3. What a key and its shape are, the head of [`key`](crate::key) says.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::option_object::Object;
use super::CachedFunction;
use crate::capi::borrowed::{Arguments, Level, Ref};
use crate::capi::exceptions::Raise;
use crate::capi::panics::point;
use crate::capi::reference::PyRef;
use crate::key::signature::{ArgBuffer, Parts, Row};
use crate::key::{self, View, ONE, TOO_MANY};

/// A call's key, or why it has none.
pub(crate) enum Keyed<'a> {
    View(View<'a>),
    /// The function itself is to complain.
    NotACall,
    /// An exception is set: an argument can't be hashed.
    Failed,
}

impl CachedFunction {
    /// Whether a call with that many positional arguments and no keywords is its own canonical form.
    #[inline(always)]
    pub(crate) fn is_direct(&self, positional: usize) -> bool {
        positional.wrapping_sub(self.direct.0) <= self.direct.1
    }

    /// The values and names that make a call's key; `None` for a call that the function would refuse.
    #[inline(always)]
    pub(super) fn parts<'a>(&'a self, arguments: &Arguments<'a>, row: &'a mut Row) -> Option<Parts<'a>> {
        match &self.signature {
            Some(signature) => signature.canonical(arguments, row),
            None => Some(arguments.parts()),
        }
    }

    /// The key of the values and names.
    #[inline(always)]
    pub(super) fn keyed<'a>(&self, values: &'a [Ref<'a>], names: &'a [Ref<'a>]) -> Keyed<'a> {
        let shape = key::shape(values.len(), names.len());
        if shape == TOO_MANY {
            return Keyed::NotACall;
        }
        point("key");
        let hash =
            if shape == ONE { key::hash_one(values[0], self.typed) } else { key::hash_many(values, names, self.typed) };
        hash.map_or(Keyed::Failed, |hash| Keyed::View(View { values, names, shape, hash, typed: self.typed }))
    }

    /// What the key function gives for a call, or `None` with an exception set.
    #[inline(always)]
    pub(super) fn ask_key(&self, key: &Object, arguments: &Arguments<'_>) -> Option<PyRef> {
        point("ask key");
        let key = key.lend(arguments.py());
        // Python counts the depth of its own functions; any other one may come back here without one of them.
        let counts = key.is_exact(&raw mut ffi::PyFunction_Type);
        let _level = if counts { None } else { Some(Level::enter(arguments.py(), c" while asking for a key")?) };
        arguments.call(key)
    }

    /// The key of any call.
    pub(crate) fn view<'a>(&'a self, arguments: &Arguments<'a>, scratch: &'a mut ArgBuffer) -> Keyed<'a> {
        let parts = match (&self.signature, &self.options.key) {
            (Some(signature), _) if signature.ignores() => signature.kept(arguments, scratch),
            (None, Some(key)) => match self.ask_key(key, arguments) {
                Some(key) => Some(scratch.keep(key, arguments.py())),
                None => return Keyed::Failed,
            },
            _ => self.parts(arguments, &mut scratch.row),
        };
        match parts {
            Some((values, names)) => {
                let keyed = self.keyed(values, names);
                if matches!((&keyed, &self.options.key, values), (Keyed::Failed, Some(_), [_])) {
                    name_key(values[0]);
                }
                keyed
            }
            None => Keyed::NotACall,
        }
    }
}

/// Has the TypeError of a key that cannot be hashed, which is set, name the parameter that gave the key.
#[cold]
#[inline(never)]
pub(super) fn name_key(key: Ref<'_>) {
    let py = key.py();
    let error = PyErr::fetch(py);
    if !error.is_instance_of::<PyTypeError>(py) {
        return error.raise(py);
    }
    let shown = super::option_checks::shown(&key.to_bound());
    let said = error.value(py).to_string();
    let named = PyTypeError::new_err(format!("{said}; key must return what can be hashed, got {shown}"));
    named.set_cause(py, Some(error));
    named.raise(py);
}
