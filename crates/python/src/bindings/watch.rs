//! What is seen in a function, a class or an instance that is watched, and whether that is what was seen before: for
//! `warp_cache._naming.watch`.
//!
//! Ring 3. In Rust, as each call with a function, a class or an instance among its arguments looks at all of it again.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFunction, PyList, PyTuple, PyType};

use crate::capi::inspect;
use crate::capi::panics::as_error;

/// What was found, one after the other.
struct Seen<'py>(Vec<Bound<'py, PyAny>>);

impl<'py> Seen<'py> {
    fn new() -> Self {
        Seen(Vec::with_capacity(32))
    }

    /// Names and values of a dict, which other threads may change meanwhile, behind a mark of their beginning.
    fn entries(&mut self, of: &Bound<'py, PyAny>) -> PyResult<()> {
        self.0.push(of.py().None().into_bound(of.py()));
        if let Ok(dict) = of.cast::<PyDict>() {
            for (name, value) in dict.copy()?.iter() {
                self.0.extend([name, value]);
            }
        }
        Ok(())
    }

    fn done(self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0)
    }
}

/// A function's code, defaults, names and attributes, and what it closes over.
#[pyfunction]
pub fn _seen_in_function<'py>(function: &Bound<'py, PyFunction>) -> PyResult<Bound<'py, PyTuple>> {
    let py = function.py();
    as_error(|| {
        let mut seen = Seen::new();
        let [code, defaults, name, qualname, module, doc, closure, keywords, attributes] = inspect::parts(function)?;
        seen.0.extend([code, defaults, name, qualname, module, doc]);
        if let Ok(cells) = closure.cast::<PyTuple>() {
            for cell in cells.iter() {
                // Nothing is in an empty one, so not the cell itself.
                seen.0.push(inspect::content(&cell).unwrap_or(cell));
            }
        }
        seen.entries(&keywords)?;
        seen.entries(&attributes)?;
        let annotations = inspect::annotations(function)?;
        seen.entries(&annotations)?;
        if !annotations.is_instance_of::<PyDict>() {
            seen.0.push(annotations);
        }
        seen.done(py)
    })
}

/// A class's names, bases and body.
#[pyfunction]
pub fn _seen_in_class<'py>(kind: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyTuple>> {
    as_error(|| {
        let mut seen = Seen::new();
        seen.0.extend([kind.get_type().into_any(), kind.name()?.into_any(), kind.qualname()?.into_any()]);
        seen.0.extend(kind.mro().iter());
        seen.entries(&inspect::body(kind))?;
        seen.done(kind.py())
    })
}

/// An instance's class and attributes, in slots and in a dict.
#[pyfunction]
pub fn _seen_in_instance<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    /// What types in C say of their own layout.
    const OFFSETS: [&str; 3] = ["__vectorcalloffset__", "__dictoffset__", "__weaklistoffset__"];
    let py = value.py();
    as_error(|| {
        let kind = value.get_type();
        let mut seen = Seen::new();
        seen.0.push(kind.clone().into_any());
        for base in kind.mro().iter() {
            let Ok(base) = base.cast_into::<PyType>() else { continue };
            let Ok(body) = inspect::body(&base).cast_into::<PyDict>() else { continue };
            for (name, slot) in body.copy()?.iter() {
                if !inspect::is_member(&slot) || OFFSETS.iter().any(|offset| name.eq(offset).unwrap_or(false)) {
                    continue;
                }
                match slot.call_method1(intern!(py, "__get__"), (value,)) {
                    Ok(found) => seen.0.push(found),
                    // Nothing is in it.
                    Err(error) if error.is_instance_of::<pyo3::exceptions::PyAttributeError>(py) => seen.0.push(slot),
                    Err(error) => return Err(error),
                }
            }
        }
        if let Some(attributes) = value.getattr_opt(intern!(py, "__dict__"))? {
            seen.entries(&attributes)?;
        }
        seen.done(py)
    })
}

/// Names and values of a dict.
#[pyfunction]
pub fn _seen_in_dict<'py>(dict: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyTuple>> {
    as_error(|| {
        let mut seen = Seen::new();
        seen.entries(dict)?;
        seen.done(dict.py())
    })
}

/// Whether all that was seen is there still. `watches`: of each a function that looks, where it looks, and what it saw.
#[pyfunction]
pub fn _is_unchanged(watches: &Bound<'_, PyList>) -> PyResult<bool> {
    as_error(|| {
        for watch in watches.iter() {
            let (look, holder, seen): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyTuple>) = watch.extract()?;
            let now = look.call1((holder,))?.cast_into::<PyTuple>()?;
            if now.len() != seen.len() || !now.iter_borrowed().zip(seen.iter_borrowed()).all(|(a, b)| a.is(b)) {
                return Ok(false);
            }
        }
        Ok(true)
    })
}
