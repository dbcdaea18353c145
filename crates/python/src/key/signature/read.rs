//! How the signature of a callable is read: from its code object, its text, or by `inspect`.
//!
//! Ring 3. Once a function, when it is decorated. `inspect` is imported only where nothing else tells.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyFunction, PyString, PyTuple};

use super::{Parameter, Signature, INLINE};
use crate::capi::guarded::GuardedCalls;
use crate::capi::reference::import;

impl Signature {
    /// Reads the signature of a callable; `None` where it has no readable one.
    pub fn read(function: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let mut signature = Self::read_any(function)?;
        if let Some(signature) = &mut signature {
            let variadic = signature.var_positional || signature.var_keyword;
            signature.has_few = !variadic && signature.parameters.len() <= INLINE;
        }
        Ok(signature)
    }

    /// That of a function without parameters.
    fn nothing() -> Self {
        Signature {
            parameters: Vec::new(),
            positional: 0,
            positional_only: 0,
            var_positional: false,
            var_keyword: false,
            has_few: false,
            variadic: [None, None],
            ignored: None,
        }
    }

    fn read_any(function: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if function.is_exact_instance_of::<PyFunction>() {
            return Self::of_function(function).map(Some);
        }
        if !Self::has_an_end(function)? {
            return Ok(None);
        }
        let py = function.py();
        if function.is_exact_instance_of::<PyCFunction>() {
            match function.getattr(intern!(py, "__text_signature__"))?.extract::<Option<String>>()? {
                None => return Ok(None),
                Some(text) => {
                    let bound = !function.getattr(intern!(py, "__self__"))?.is_none();
                    if let Some(signature) = Self::of_text(py, &text, bound)? {
                        return Ok(Some(signature));
                    }
                }
            }
        }
        let inspect = import(py, "inspect")?;
        let options = PyDict::new(py);
        options.set_item("follow_wrapped", false)?;
        match inspect.guarded_method_with("signature", (function,), Some(&options)) {
            Ok(signature) => Self::of_inspected(&signature).map(Some),
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether methods and partial objects lead to something else after some steps. Inventive objects, such as proxies, may say
    /// that they are one, and lead to their like for ever; `inspect` would follow them for a thousand steps.
    fn has_an_end(function: &Bound<'_, PyAny>) -> PyResult<bool> {
        const STEPS: u32 = 32;
        let py = function.py();
        let is = |object: &Bound<'_, PyAny>, kind: &Bound<'_, PyAny>| object.is_instance(kind).unwrap_or(false);
        let method = import(py, "types")?.getattr("MethodType")?;
        let partial = import(py, "functools")?.getattr("partial")?;
        let mut function = function.clone();
        for _ in 0..STEPS {
            let next = if is(&function, &method) {
                function.getattr("__func__")
            } else if is(&function, &partial) {
                function.getattr("func")
            } else {
                return Ok(true);
            };
            match next {
                Ok(next) => function = next,
                Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// From the text that a built-in function has, such as `($self, object, /)`; `None` where there is more in it than names
    /// that must be given, which is `inspect`'s to read.
    fn of_text(py: Python<'_>, text: &str, bound: bool) -> PyResult<Option<Self>> {
        let Some(list) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) else {
            return Ok(None);
        };
        let is_name = |name: &str| {
            name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
                && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
        };
        let mut absent = Absent::default();
        let (mut parameters, mut positional, mut positional_only) = (Vec::new(), None, 0);
        for (at, part) in list.split(',').map(str::trim).enumerate() {
            match part {
                "" if list.is_empty() => (),
                "/" if positional.is_none() && positional_only == 0 => positional_only = parameters.len(),
                "*" if positional.is_none() => positional = Some(parameters.len()),
                // What a method is bound to, or a function's module.
                _ if at == 0 && bound && part.strip_prefix('$').is_some_and(is_name) => (),
                _ if is_name(part) => {
                    parameters.push(absent.parameter(PyString::intern(py, part).into_any(), None)?);
                }
                _ => return Ok(None),
            }
        }
        let positional = positional.unwrap_or(parameters.len());
        Ok(Some(Self { parameters, positional, positional_only, ..Self::nothing() }))
    }

    /// Straight from the code object: importing `inspect` takes longer than everything else here.
    fn of_function(function: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = function.py();
        let code = function.getattr(intern!(py, "__code__"))?;
        let number = |name| -> PyResult<usize> { code.getattr(name)?.extract() };
        let positional = number("co_argcount")?;
        let keyword_only = number("co_kwonlyargcount")?;
        let flags = number("co_flags")?;
        let names = code.getattr("co_varnames")?.cast_into::<PyTuple>()?;
        let defaults = function.getattr("__defaults__")?;
        let defaults = defaults.cast::<PyTuple>().ok();
        let required = positional - defaults.map_or(0, |d| d.len());
        let keyword_defaults = function.getattr("__kwdefaults__")?;
        let keyword_defaults = keyword_defaults.cast::<PyDict>().ok();
        let mut absent = Absent::default();
        let mut parameters = Vec::with_capacity(positional + keyword_only);
        for at in 0..positional + keyword_only {
            let name = names.get_item(at)?;
            let default = match (at < positional, defaults, keyword_defaults) {
                (true, Some(defaults), _) if at >= required => Some(defaults.get_item(at - required)?),
                (false, _, Some(defaults)) => defaults.get_item(&name)?,
                _ => None,
            };
            parameters.push(absent.parameter(name, default)?);
        }
        const VARARGS: usize = 0x04;
        const VARKEYWORDS: usize = 0x08;
        let (var_positional, var_keyword) = (flags & VARARGS != 0, flags & VARKEYWORDS != 0);
        // Behind the others, in this order.
        let name = |at: usize| names.get_item(at)?.extract::<String>();
        let args = var_positional.then(|| name(parameters.len())).transpose()?;
        let kwargs = var_keyword.then(|| name(parameters.len() + usize::from(var_positional))).transpose()?;
        Ok(Signature {
            parameters,
            positional,
            positional_only: number("co_posonlyargcount")?,
            var_positional,
            var_keyword,
            variadic: [args, kwargs],
            ..Self::nothing()
        })
    }

    fn of_inspected(signature: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut result = Self::nothing();
        let mut absent = Absent::default();
        let empty = signature.getattr("empty")?;
        for parameter in signature.getattr("parameters")?.guarded_method("values", ())?.try_iter()? {
            let parameter = parameter?;
            let kind: u8 = parameter.getattr("kind")?.extract()?;
            match kind {
                0 => {
                    result.positional_only += 1;
                    result.positional += 1;
                }
                1 => result.positional += 1,
                2 => {
                    result.var_positional = true;
                    result.variadic[0] = Some(parameter.getattr("name")?.extract()?);
                }
                3 => (),
                _ => {
                    result.var_keyword = true;
                    result.variadic[1] = Some(parameter.getattr("name")?.extract()?);
                }
            }
            if matches!(kind, 0 | 1 | 3) {
                let default = parameter.getattr("default")?;
                let default = (!default.is(&empty)).then_some(default);
                result.parameters.push(absent.parameter(parameter.getattr("name")?, default)?);
            }
        }
        Ok(result)
    }
}

/// Makes parameters, and the object that stands for defaults which can't be hashed.
#[derive(Default)]
struct Absent<'py>(Option<Bound<'py, PyAny>>);

impl<'py> Absent<'py> {
    fn parameter(&mut self, name: Bound<'py, PyAny>, default: Option<Bound<'py, PyAny>>) -> PyResult<Parameter> {
        let py = name.py();
        let default = match default {
            Some(value) if value.hash().is_err() => {
                if self.0.is_none() {
                    self.0 = Some(import(py, "builtins")?.getattr("object")?.guarded_call(())?);
                }
                self.0.clone()
            }
            other => other,
        };
        debug_assert!(name.is_instance_of::<PyString>());
        Ok(Parameter { name: name.unbind().into(), default: default.map(|d| d.unbind().into()) })
    }
}
