//! What an option of control over entries may be: callables, lifetimes, exceptions, tags, weights.
//!
//! Ring 3. These are options of the decorator `cache` alone. What they are together is checked in Python, where the backend
//! is known (`warp_cache/_control.py`).

use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyMapping, PyString, PyTuple, PyType};

use super::option_checks::{
    exact_seconds, is_int, nanos, seconds, shown, wrong_type, wrong_value, OptionKind, Seconds,
};
use super::option_object::Object;
use crate::capi::guarded::GuardedCalls;

fn none(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(py.None().into_bound(py))
}

fn object_or_none<'py>(object: Option<&Object>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    object.map_or_else(|| none(py), |object| Ok(object.bind(py).clone()))
}

/// A callable, or None.
pub struct Function;

impl OptionKind for Function {
    type Value = Option<Object>;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Object>> {
        match value {
            value if value.is_none() => Ok(None),
            value if value.is_callable() => Ok(Some(Object::new(value))),
            value => Err(wrong_type(argument, "a callable or None", value)),
        }
    }

    fn given_back<'py>(value: &Option<Object>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object_or_none(value.as_ref(), py)
    }

    fn traverse(value: &Option<Object>, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        value.as_ref().map_or(Ok(()), |object| object.traverse(visit))
    }
}

/// How long an entry is fresh: seconds for all alike, or a callable that is given the value.
#[derive(Clone, Debug, Default)]
pub struct Ttl {
    /// Nanoseconds; 0 is no limit, or one that `of` gives.
    pub nanos: u64,
    pub of: Option<Object>,
}

impl Ttl {
    /// Whether entries have deadlines.
    pub fn is_given(&self) -> bool {
        self.nanos != 0 || self.of.is_some()
    }
}

impl OptionKind for Ttl {
    type Value = Ttl;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Ttl> {
        if !value.is_none() && value.is_callable() {
            return Ok(Ttl { nanos: 0, of: Some(Object::new(value)) });
        }
        // (The other callers refuse callables in Python.)
        const RIGHT: &str = "a positive, finite number of seconds, a timedelta or None \
                             (for cache also a callable that is given the result)";
        let nanos = Seconds::check_as(argument, RIGHT, value)?.map_or(0, |ttl| ttl.as_nanos() as u64);
        Ok(Ttl { nanos, of: None })
    }

    fn given_back<'py>(value: &Ttl, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &value.of {
            Some(of) => Ok(of.bind(py).clone()),
            None => Ok((value.nanos != 0).then(|| exact_seconds(value.nanos)).into_pyobject(py)?),
        }
    }

    fn traverse(value: &Ttl, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Function::traverse(&value.of, visit)
    }
}

/// Names of parameters; a lone string is one name.
pub struct Names;

impl OptionKind for Names {
    type Value = Vec<String>;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
        const RIGHT: &str = "an iterable of parameters' names (strings)";
        strings(argument, RIGHT, value)
    }

    fn given_back<'py>(value: &Vec<String>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyTuple::new(py, value)?.into_any())
    }
}

/// The strings of an iterable, or of a lone string.
fn strings(argument: &str, right: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(one) = value.cast::<PyString>() {
        return Ok(vec![string(argument, right, one)?]);
    }
    let Ok(items) = value.try_iter() else {
        return Err(wrong_type(argument, right, value));
    };
    let mut names = Vec::new();
    for item in items {
        match item?.cast::<PyString>() {
            Ok(name) => names.push(string(argument, right, name)?),
            Err(_) => return Err(wrong_type(argument, right, value)),
        }
    }
    Ok(names)
}

/// A string that is not empty and has bytes.
fn string(argument: &str, right: &str, value: &Bound<'_, PyString>) -> PyResult<String> {
    match value.to_cow() {
        Ok(name) if !name.is_empty() => Ok(name.into_owned()),
        _ => Err(wrong_value(argument, right, value.as_any())),
    }
}

/// A fraction from 0 up to, but not including, 1.
pub struct Fraction;

impl OptionKind for Fraction {
    type Value = f64;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
        const RIGHT: &str = "a fraction in [0, 1)";
        if value.is_instance_of::<PyBool>() {
            return Err(wrong_type(argument, RIGHT, value));
        }
        match value.extract::<f64>() {
            Ok(fraction) if (0.0..1.0).contains(&fraction) => Ok(fraction),
            Ok(_) => Err(wrong_value(argument, RIGHT, value)),
            Err(_) if is_int(value) => Err(wrong_value(argument, RIGHT, value)),
            Err(_) => Err(wrong_type(argument, RIGHT, value)),
        }
    }

    fn given_back<'py>(value: &f64, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(value.into_pyobject(py)?.into_any())
    }
}

/// A finite number of seconds from 0, in nanoseconds.
pub struct Window;

impl OptionKind for Window {
    type Value = u64;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        const RIGHT: &str = "a finite number of seconds that is not negative, or a timedelta";
        match seconds(argument, RIGHT, value)? {
            seconds if seconds >= 0.0 => Ok(nanos(seconds)),
            _ => Err(wrong_value(argument, RIGHT, value)),
        }
    }

    fn given_back<'py>(value: &u64, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(exact_seconds(*value).into_pyobject(py)?.into_any())
    }
}

/// The exceptions that are stored, and the nanoseconds that each lives (`None`: as long as a value).
#[derive(Clone, Debug)]
pub struct StoredExceptions {
    given: Object,
    pub kinds: Vec<(Object, Option<u64>)>,
}

/// An exception type, a tuple of them, or a mapping from type to seconds, or None.
pub struct Exceptions;

impl OptionKind for Exceptions {
    type Value = Option<StoredExceptions>;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<StoredExceptions>> {
        const RIGHT: &str = "an Exception type, a tuple of them, or a mapping from such types to seconds or None";
        if value.is_none() {
            return Ok(None);
        }
        let py = value.py();
        let admit = |kind: &Bound<'_, PyAny>| match kind.cast::<PyType>() {
            Ok(kind) if kind.is_subclass_of::<PyException>().unwrap_or(false) => Ok(Object::new(kind.as_any())),
            _ => Err(wrong_type(argument, RIGHT, value)),
        };
        let mut kinds = Vec::new();
        if let Ok(tuple) = value.cast::<PyTuple>() {
            for kind in tuple {
                kinds.push((admit(&kind)?, None));
            }
        } else if let Ok(mapping) = value.cast::<PyMapping>() {
            for item in mapping.items()? {
                let (kind, lifetime): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
                let name = format!("{argument}[{}]", shown(&kind));
                let lifetime = Seconds::check(&name, &lifetime)?.map(|lifetime| lifetime.as_nanos() as u64);
                kinds.push((admit(&kind)?, lifetime));
            }
        } else {
            kinds.push((admit(value)?, None));
        }
        // A mapping may be changed later: what was checked is kept.
        let given = match value.cast::<PyMapping>() {
            Ok(mapping) if value.cast::<PyTuple>().is_err() => {
                py.get_type::<pyo3::types::PyDict>().guarded_call((mapping,))?
            }
            _ => value.clone(),
        };
        Ok((!kinds.is_empty()).then(|| StoredExceptions { given: Object::new(&given), kinds }))
    }

    fn given_back<'py>(value: &Option<StoredExceptions>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object_or_none(value.as_ref().map(|stored| &stored.given), py)
    }

    fn traverse(value: &Option<StoredExceptions>, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        value.as_ref().map_or(Ok(()), |stored| stored.traverse(visit))
    }
}

impl StoredExceptions {
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.given.traverse(visit)?;
        self.kinds.iter().try_for_each(|(kind, _)| kind.traverse(visit))
    }
}

/// The groups of an entry: templates for a call's arguments, or a callable that is given them.
#[derive(Clone, Debug, Default)]
pub enum TagSource {
    #[default]
    None,
    Templates(Vec<String>),
    Call(Object),
}

/// Tags at most that an entry has.
pub const MOST_TAGS: usize = 16;

/// Up to 16 strings (a lone one is one tag), or a callable.
pub struct Tags;

impl OptionKind for Tags {
    type Value = TagSource;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<TagSource> {
        const RIGHT: &str = "up to 16 strings that are not empty, or one callable that gives them";
        if value.is_none() {
            return Err(wrong_type(argument, RIGHT, value));
        }
        if value.is_callable() {
            return Ok(TagSource::Call(Object::new(value)));
        }
        let templates = strings(argument, RIGHT, value)?;
        match templates.len() {
            0 => Ok(TagSource::None),
            1..=MOST_TAGS => Ok(TagSource::Templates(templates)),
            _ => Err(wrong_value(argument, RIGHT, value)),
        }
    }

    fn given_back<'py>(value: &TagSource, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match value {
            TagSource::None => Ok(PyTuple::empty(py).into_any()),
            TagSource::Templates(templates) => Ok(PyTuple::new(py, templates)?.into_any()),
            TagSource::Call(of) => Ok(of.bind(py).clone()),
        }
    }

    fn traverse(value: &TagSource, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match value {
            TagSource::Call(of) => of.traverse(visit),
            TagSource::None | TagSource::Templates(_) => Ok(()),
        }
    }
}

/// An int that is not negative, or None.
pub struct Weight;

impl OptionKind for Weight {
    type Value = Option<u64>;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
        const RIGHT: &str = "an int that is not negative, or None";
        if value.is_none() {
            return Ok(None);
        }
        if !is_int(value) {
            return Err(wrong_type(argument, RIGHT, value));
        }
        if value.lt(0)? {
            return Err(wrong_value(argument, RIGHT, value));
        }
        Ok(Some(value.extract::<u64>().unwrap_or(u64::MAX)))
    }

    fn given_back<'py>(value: &Option<u64>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(value.into_pyobject(py)?)
    }
}

/// What of a stored value is handed out.
#[derive(Clone, Debug, Default)]
pub enum CopyMode {
    /// As the backend does: memory the object itself, a file a copy of what may be changed.
    #[default]
    OfBackend,
    /// A copy of exact containers, when stored and at each hit.
    Containers,
    /// What `OfBackend` is of a file, for what memory keeps of it: containers are copied, what is not made of these is decoded at
    /// each hit.
    OfFile,
    /// Stored as bytes, decoded at each hit.
    Pickle,
    /// The object itself.
    Never,
    /// What a callable makes of it, when stored and at each hit.
    Call(Object),
}

impl OptionKind for CopyMode {
    type Value = CopyMode;

    fn check(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<CopyMode> {
        const RIGHT: &str = "None, True, False, \"pickle\" or a callable";
        if value.is_none() {
            return Ok(CopyMode::OfBackend);
        }
        if let Ok(flag) = value.cast::<PyBool>() {
            return Ok(if flag.is_true() { CopyMode::Containers } else { CopyMode::Never });
        }
        if let Ok(name) = value.cast::<PyString>() {
            let right = format!("copy must be {RIGHT}, got {}", shown(value));
            return match name.to_cow() {
                Ok(name) if name == "pickle" => Ok(CopyMode::Pickle),
                _ => Err(PyValueError::new_err(right)),
            };
        }
        if value.is_callable() {
            return Ok(CopyMode::Call(Object::new(value)));
        }
        Err(PyTypeError::new_err(format!("{argument} must be {RIGHT}, got {}", shown(value))))
    }

    fn given_back<'py>(value: &CopyMode, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match value {
            CopyMode::OfBackend | CopyMode::OfFile => none(py),
            CopyMode::Containers => Ok(PyBool::new(py, true).to_owned().into_any()),
            CopyMode::Never => Ok(PyBool::new(py, false).to_owned().into_any()),
            CopyMode::Pickle => Ok(PyString::new(py, "pickle").into_any()),
            CopyMode::Call(with) => Ok(with.bind(py).clone()),
        }
    }

    fn traverse(value: &CopyMode, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match value {
            CopyMode::Call(with) => with.traverse(visit),
            _ => Ok(()),
        }
    }
}
