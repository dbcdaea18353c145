//! Binding a call's arguments to parameters that are known as a table of names, with the errors of a Python function.
//!
//! Ring 3.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::option_checks::OptionKind;

/// The parameters of a constructor, or of a method.
pub struct Parameters {
    /// What is called, as errors name it.
    pub callee: &'static str,
    /// Positional, to be given.
    pub required: &'static [&'static str],
    /// Positional, after those.
    pub positional: &'static [&'static str],
    /// By name only.
    pub named: &'static [&'static str],
}

/// A call's arguments by name, as they were given.
pub struct Given<'py>(Vec<(&'static str, Bound<'py, PyAny>)>);

impl Parameters {
    /// The arguments of a call. TypeError for one that the parameters do not take.
    pub fn bind<'py>(
        &self,
        arguments: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Given<'py>> {
        let positional = || self.required.iter().chain(self.positional);
        let (least, most) = (self.required.len(), self.required.len() + self.positional.len());
        if arguments.len() > most {
            let count = arguments.len();
            return Err(
                self.wrong(&format!("takes from {least} to {most} positional arguments but {count} were given"))
            );
        }
        let mut given: Vec<_> = positional().copied().zip(arguments.iter()).collect();
        for (keyword, value) in keywords.into_iter().flatten() {
            let keyword = keyword.str()?;
            let keyword = keyword.to_string_lossy();
            let Some(name) = positional().chain(self.named).find(|name| **name == keyword) else {
                return Err(self.wrong(&format!("got an unexpected keyword argument '{keyword}'")));
            };
            if given.iter().any(|(other, _)| other == name) {
                return Err(self.wrong(&format!("got multiple values for argument '{name}'")));
            }
            given.push((name, value));
        }
        let is_missing = |name: &&&str| !given.iter().any(|(other, _)| other == *name);
        let missing: Vec<_> = self.required.iter().filter(is_missing).map(|name| format!("'{name}'")).collect();
        match &missing[..] {
            [] => Ok(Given(given)),
            [one] => Err(self.wrong(&format!("missing 1 required positional argument: {one}"))),
            [one, other] => Err(self.wrong(&format!("missing 2 required positional arguments: {one} and {other}"))),
            [first @ .., last] => {
                let (count, first) = (missing.len(), first.join(", "));
                Err(self.wrong(&format!("missing {count} required positional arguments: {first}, and {last}")))
            }
        }
    }

    fn wrong(&self, what: &str) -> PyErr {
        PyTypeError::new_err(format!("{}() {what}", self.callee))
    }
}

impl<'py> Given<'py> {
    pub fn get(&self, name: &str) -> Option<&Bound<'py, PyAny>> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// An argument that `bind` has seen to, checked.
    pub fn required<R>(&self, name: &str, check: fn(&str, &Bound<'py, PyAny>) -> PyResult<R>) -> PyResult<R> {
        self.get(name).map(|value| check(name, value)).unwrap_or_else(|| Err(PyTypeError::new_err(name.to_owned())))
    }

    /// An argument, checked, or the default if it was left out.
    pub fn or<R>(&self, name: &str, check: fn(&str, &Bound<'py, PyAny>) -> PyResult<R>, default: R) -> PyResult<R> {
        self.get(name).map_or(Ok(default), |value| check(name, value))
    }

    /// An option, checked, or the default if it was left out, for which None may stand where that is no value of its kind.
    pub fn named<K: OptionKind>(&self, name: &str, default: K::Value) -> PyResult<K::Value> {
        let is_left_out = |value: &Bound<'_, PyAny>| value.is_none() && !K::HAS_NONE;
        self.get(name).filter(|value| !is_left_out(value)).map_or(Ok(default), |value| K::check(name, value))
    }
}
