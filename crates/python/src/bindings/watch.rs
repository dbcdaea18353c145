//! What is seen in a function, a class or an instance that is watched, and whether that is what was seen before: for
//! `warp_cache._naming.watch`.
//!
//! Ring 3. In Rust, as each call with a function, a class or an instance among its arguments looks at all of it again, and
//! each miss of a shared cache at its function. So a comparison makes no list of what it finds.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFunction, PyList, PyTuple, PyType};

use crate::capi::guarded::GuardedCalls;
use crate::capi::inspect;
use crate::capi::panics::as_error;

/// Takes what is found, one after the other.
trait Findings<'py> {
    fn push(&mut self, found: &Bound<'py, PyAny>);

    /// Names and values of a dict, behind a mark of their beginning.
    fn entries(&mut self, of: &Bound<'py, PyAny>) -> PyResult<()> {
        self.push(&of.py().None().into_bound(of.py()));
        let Ok(dict) = of.cast::<PyDict>() else { return Ok(()) };
        inspect::each_entry(dict, |name, value| {
            self.push(name);
            self.push(value);
        })
    }
}

/// What was found, for later.
struct Seen<'py>(Vec<Bound<'py, PyAny>>);

impl<'py> Findings<'py> for Seen<'py> {
    fn push(&mut self, found: &Bound<'py, PyAny>) {
        self.0.push(found.clone());
    }
}

/// Whether it is what was seen before.
struct Comparison<'a, 'py> {
    /// What is still to be found.
    rest: std::slice::Iter<'a, Bound<'py, PyAny>>,
    is_same: bool,
}

impl<'py> Findings<'py> for Comparison<'_, 'py> {
    #[inline]
    fn push(&mut self, found: &Bound<'py, PyAny>) {
        self.is_same &= self.rest.next().is_some_and(|before| before.is(found));
    }
}

/// Where there is something to see, by kind.
#[derive(Clone, Copy)]
enum Kind {
    Function,
    Class,
    Instance,
    Dict,
}
const KINDS: [Kind; 4] = [Kind::Function, Kind::Class, Kind::Instance, Kind::Dict];

/// The functions below that look, as Python has them, in the order of `KINDS`.
static LOOKS: PyOnceLock<[Py<PyAny>; 4]> = PyOnceLock::new();

/// Finds them; called once, when the module has them.
pub fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let looks = ["_seen_in_function", "_seen_in_class", "_seen_in_instance", "_seen_in_dict"];
    let mut found = Vec::with_capacity(looks.len());
    for look in looks {
        found.push(module.getattr(look)?.unbind());
    }
    if let Ok(found) = <[Py<PyAny>; 4]>::try_from(found) {
        LOOKS.get_or_init(module.py(), || found);
    }
    Ok(())
}

impl Kind {
    /// What a function looks at, if it is one of those here.
    fn of(look: &Bound<'_, PyAny>) -> Option<Kind> {
        let looks = LOOKS.get(look.py())?;
        KINDS.into_iter().zip(looks).find(|(_, one)| one.is(look)).map(|(kind, _)| kind)
    }

    fn look<'py>(self, holder: &Bound<'py, PyAny>, to: &mut impl Findings<'py>) -> PyResult<()> {
        match self {
            Kind::Function => look_at_function(holder.cast()?, to),
            Kind::Class => look_at_class(holder.cast()?, to),
            Kind::Instance => look_at_instance(holder, to),
            Kind::Dict => to.entries(holder.cast::<PyDict>()?),
        }
    }

    fn seen<'py>(self, holder: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        as_error(|| {
            let mut seen = Seen(Vec::with_capacity(32));
            self.look(holder, &mut seen)?;
            PyTuple::new(holder.py(), seen.0)
        })
    }
}

fn look_at_function<'py>(function: &Bound<'py, PyFunction>, to: &mut impl Findings<'py>) -> PyResult<()> {
    let [code, defaults, name, qualname, module, doc, closure, keywords, attributes] = inspect::parts(function)?;
    for part in [code, defaults, name, qualname, module, doc] {
        to.push(&part);
    }
    if let Ok(cells) = closure.cast::<PyTuple>() {
        for cell in cells.iter() {
            // Nothing is in an empty one, so not the cell itself.
            to.push(&inspect::content(&cell).unwrap_or(cell));
        }
    }
    to.entries(&keywords)?;
    to.entries(&attributes)?;
    let annotations = inspect::annotations(function)?;
    to.entries(&annotations)?;
    if !annotations.is_instance_of::<PyDict>() {
        to.push(&annotations);
    }
    Ok(())
}

fn look_at_class<'py>(kind: &Bound<'py, PyType>, to: &mut impl Findings<'py>) -> PyResult<()> {
    to.push(kind.get_type().as_any());
    to.push(kind.name()?.as_any());
    to.push(kind.qualname()?.as_any());
    for base in kind.mro().iter() {
        to.push(&base);
    }
    to.entries(&inspect::body(kind))
}

fn look_at_instance<'py>(value: &Bound<'py, PyAny>, to: &mut impl Findings<'py>) -> PyResult<()> {
    /// What types in C say of their own layout.
    const OFFSETS: [&str; 3] = ["__vectorcalloffset__", "__dictoffset__", "__weaklistoffset__"];
    let py = value.py();
    let kind = value.get_type();
    to.push(kind.as_any());
    for base in kind.mro().iter() {
        let Ok(base) = base.cast_into::<PyType>() else { continue };
        let Ok(body) = inspect::body(&base).cast_into::<PyDict>() else { continue };
        for (name, slot) in body.copy()?.iter() {
            if !inspect::is_member(&slot) || OFFSETS.iter().any(|offset| name.eq(offset).unwrap_or(false)) {
                continue;
            }
            match slot.guarded_method("__get__", (value,)) {
                Ok(found) => to.push(&found),
                // Nothing is in it.
                Err(error) if error.is_instance_of::<pyo3::exceptions::PyAttributeError>(py) => to.push(&slot),
                Err(error) => return Err(error),
            }
        }
    }
    if let Some(attributes) = value.getattr_opt(intern!(py, "__dict__"))? {
        to.entries(&attributes)?;
    }
    Ok(())
}

/// A function's code, defaults, names and attributes, and what it closes over.
#[pyfunction]
pub fn _seen_in_function<'py>(function: &Bound<'py, PyFunction>) -> PyResult<Bound<'py, PyTuple>> {
    Kind::Function.seen(function)
}

/// A class's names, bases and body.
#[pyfunction]
pub fn _seen_in_class<'py>(kind: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyTuple>> {
    Kind::Class.seen(kind)
}

/// An instance's class and attributes, in slots and in a dict.
#[pyfunction]
pub fn _seen_in_instance<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    Kind::Instance.seen(value)
}

/// Names and values of a dict.
#[pyfunction]
pub fn _seen_in_dict<'py>(dict: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyTuple>> {
    Kind::Dict.seen(dict)
}

/// Whether all that was seen is there still. `watches`: of each a function that looks, where it looks, and what it saw.
#[pyfunction]
pub fn _is_unchanged(watches: &Bound<'_, PyList>) -> PyResult<bool> {
    as_error(|| is_unchanged(watches))
}

/// The same, for who is not called by Python.
pub fn is_unchanged(watches: &Bound<'_, PyList>) -> PyResult<bool> {
    for watch in watches.iter() {
        let watch = watch.cast_into::<PyTuple>()?;
        let [look, holder, seen] = watch.as_slice() else {
            return Err(PyTypeError::new_err("a watch is a function, where it looks, and what it saw"));
        };
        let seen = seen.cast::<PyTuple>()?;
        let is_same = match Kind::of(look) {
            Some(kind) => {
                let mut comparison = Comparison { rest: seen.as_slice().iter(), is_same: true };
                kind.look(holder, &mut comparison)?;
                comparison.is_same && comparison.rest.len() == 0
            }
            None => {
                let now = look.guarded_call((holder,))?.cast_into::<PyTuple>()?;
                now.len() == seen.len() && now.iter_borrowed().zip(seen.iter_borrowed()).all(|(a, b)| a.is(b))
            }
        };
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}
