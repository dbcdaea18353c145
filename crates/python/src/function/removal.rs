//! What has left a cache, on its way to the user's `on_removal` and to its end.
//!
//! Ring 3. Everything here runs with no lock held.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::control::Control;
use super::handout;
use super::option_object::Object;
use super::slot_value::Value;
use super::state::CacheState;
use crate::capi::imported::Imported;
use crate::capi::reference::{self, PyRef};
use crate::key::{Shape, View};
use engine::cache::{Cause, Departed, Evicted};
use engine::slab::Entry;

/// What an operation makes leave, gathered under the lock.
#[must_use = "end it after the lock is released"]
pub(crate) struct Departing<'a> {
    state: &'a CacheState,
    pub evicted: Evicted<PyRef, Value>,
    replaced: Option<Departed<PyRef, Value>>,
    /// What nobody is told of: it was never in, or is a key alone.
    rest: Vec<(Option<PyRef>, Option<Value>)>,
}

impl<'a> Departing<'a> {
    pub fn new(state: &'a CacheState) -> Self {
        Departing { state, evicted: Evicted::default(), replaced: None, rest: Vec::new() }
    }

    /// The value that stood in an entry. `key`: one that equals the entry's.
    pub fn replaced(&mut self, key: PyRef, shape: Shape, value: Value, cause: Cause) {
        self.replaced = Some(Departed { entry: Entry { key, value }, meta: shape, cause });
    }

    pub fn keep(&mut self, key: PyRef) {
        self.rest.push((Some(key), None));
    }

    pub fn unused(&mut self, key: PyRef, value: Value) {
        self.rest.push((Some(key), Some(value)));
    }

    /// Tells the user of what has left, and drops it.
    pub fn end(mut self) {
        let told = self.state.control.as_ref().and_then(|control| Some((control, control.on_removal.as_ref()?)));
        if let Some((control, on_removal)) = told {
            for departed in self.replaced.take().into_iter().chain(self.evicted.drain()) {
                let cause = name(departed.cause);
                tell(control, on_removal, departed, cause);
            }
        }
    }
}

impl CacheState {
    /// Tells the user of what has left, and drops it.
    #[inline(always)]
    pub(crate) fn release(&self, evicted: Evicted<PyRef, Value>) {
        if self.control.is_none() {
            return drop(evicted);
        }
        Departing { evicted, ..Departing::new(self) }.end();
    }
}

impl CacheState {
    /// Drops what a cache had that is freed: the user is told only if that is the cache of an instance.
    pub(super) fn let_collected_go(&self, mut evicted: Evicted<PyRef, Value>) {
        let told = self.control.as_ref().and_then(|control| Some((control, control.on_removal.as_ref()?)));
        // SAFETY: a question that may be asked at any time. At the end of the process nobody is told.
        let is_running = unsafe { ffi::Py_IsInitialized() } != 0;
        if let Some((control, on_removal)) = told.filter(|_| self.is_of_instance && is_running) {
            for departed in evicted.drain() {
                // What had ended leaves as such here, too.
                let cause = if departed.cause == Cause::Expired { name(Cause::Expired) } else { COLLECTED };
                tell(control, on_removal, departed, cause);
            }
        }
    }
}

impl Drop for CacheState {
    fn drop(&mut self) {
        if self.is_of_instance {
            let now = self.now();
            let mut evicted = Evicted::default();
            self.entries.write(|writer| {
                writer.value.expire(now, &mut evicted);
                writer.value.clear(&mut evicted);
            });
            self.let_collected_go(evicted);
        }
    }
}

const COLLECTED: &str = "COLLECTED";

/// The causes by the names of `warp_cache.RemovalCause`.
fn name(cause: Cause) -> &'static str {
    match cause {
        Cause::Explicit => "EXPLICIT",
        Cause::Replaced => "REPLACED",
        Cause::Size => "SIZE",
        Cause::Expired => "EXPIRED",
    }
}

/// Calls `on_removal(call, value, cause)`; what it raises goes to `sys.unraisablehook`.
#[cold]
fn tell(control: &Control, on_removal: &Object, departed: Departed<PyRef, Value>, cause: &str) {
    // SAFETY: attached, no lock held (the callers').
    let py = unsafe { Python::assume_attached() };
    let Some(object) = departed.entry.value.as_owned() else {
        return;
    };
    // An exception that is on its way must not be seen by the callback, and comes back after.
    let raised = crate::capi::exceptions::take(py);
    let told = (|| -> PyResult<()> {
        let value = match departed.entry.value.as_special() {
            Some(special) if special.is_exception => special.object.as_py().bind(py).getattr("error")?,
            _ => handout::hand_out(py, object.clone_ref(py)).ok_or_else(|| PyErr::fetch(py))?.into_bound(py),
        };
        let call = call_of(control, &departed.entry.key, departed.meta, py)?;
        static CAUSE: Imported = Imported::new("warp_cache._removal", "RemovalCause");
        let cause = CAUSE.get(py)?.getattr(cause)?;
        reference::call(on_removal.bind(py), &(call, value, cause).into_pyobject(py)?, None)?;
        Ok(())
    })();
    if let Err(error) = told {
        error.write_unraisable(py, Some(on_removal.bind(py)));
    }
    if let Some(raised) = raised {
        crate::capi::exceptions::set(py, raised);
    }
}

/// The call of a key: `(args, kwargs)`, or the key that the user's function gave.
fn call_of<'py>(control: &Control, key: &PyRef, shape: Shape, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    if control.has_own_keys {
        return Ok(key.as_py().bind(py).clone());
    }
    let key = key.lend(py);
    // SAFETY: the key of an entry with this shape.
    let view = unsafe { View::of_key(&key, shape, 0, false) };
    let (args, named) = view.values.split_at(view.values.len() - view.names.len());
    let (args, only) = args.split_at(args.len().saturating_sub(control.keyword_only.len()));
    let kwargs = PyDict::new(py);
    for (name, value) in control.keyword_only.iter().zip(only) {
        kwargs.set_item(name.bind(py), value.bind(py))?;
    }
    for (name, value) in view.names.iter().zip(named) {
        kwargs.set_item(name.bind(py), value.bind(py))?;
    }
    let args = PyTuple::new(py, args.iter().map(|value| value.bind(py)))?;
    Ok((args, kwargs).into_pyobject(py)?.into_any())
}
