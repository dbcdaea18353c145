//! What a call means: the parameters of a function, read once, so that every spelling of a call has one key.
//!
//! Ring 3. The canonical form of a call is a row of values: one for each positional parameter, those that went to `*args`,
//! one for each keyword-only parameter, and the values of `**kwargs` with their names, in the order of the call. What is
//! left out is filled with its default. A default that can't be hashed can't be part of a key; in its place stands an
//! object that no caller can pass.
//!
//! The signature is that of the callable itself: what it `functools.wraps` may take other arguments or other defaults.

use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyFunction, PyString, PyTuple};

use crate::capi::reference::{Arguments, PyRef};

/// A parameter that has a name.
#[derive(Debug)]
struct Parameter {
    name: PyRef,
    /// What stands in the canonical form where the argument is left out; `None` if it must be given.
    default: Option<PyRef>,
}

/// The parameters of a callable.
#[derive(Debug)]
pub struct Signature {
    /// The positional ones, then the keyword-only ones.
    parameters: Vec<Parameter>,
    positional: usize,
    /// How many of the positional ones can't be given by keyword.
    positional_only: usize,
    var_positional: bool,
    var_keyword: bool,
    /// At most [`INLINE`] parameters, none of them variadic.
    has_few: bool,
}

/// Room for the canonical form of a call with few parameters.
pub type InlineArgs = [MaybeUninit<*mut ffi::PyObject>; INLINE];
pub const FEW: InlineArgs = [const { MaybeUninit::uninit() }; INLINE];

/// Room for a canonical form; small ones need no allocation.
#[derive(Debug)]
pub struct ArgBuffer {
    values: ArgVec,
    names: ArgVec,
}

const INLINE: usize = 12;

#[derive(Debug)]
struct ArgVec {
    /// The first `length` are set, where `length` is not larger than the array.
    inline: InlineArgs,
    length: usize,
    /// Used instead of `inline` by rows that are longer.
    heap: Vec<*mut ffi::PyObject>,
}

impl ArgVec {
    const fn new() -> Self {
        ArgVec { inline: FEW, length: 0, heap: Vec::new() }
    }

    #[inline]
    fn push(&mut self, object: *mut ffi::PyObject) {
        if self.length < INLINE {
            self.inline[self.length].write(object);
        } else {
            self.spill(object);
        }
        self.length += 1;
    }

    #[cold]
    fn spill(&mut self, object: *mut ffi::PyObject) {
        if self.length == INLINE {
            // SAFETY: all of the array is set.
            self.heap.extend(self.inline.iter().map(|place| unsafe { place.assume_init() }));
        }
        self.heap.push(object);
    }

    #[inline]
    fn get(&mut self) -> &mut [*mut ffi::PyObject] {
        if self.length <= INLINE {
            // SAFETY: the first `length` are set, and `MaybeUninit` has its content's layout.
            unsafe { std::slice::from_raw_parts_mut(self.inline.as_mut_ptr().cast(), self.length) }
        } else {
            &mut self.heap
        }
    }
}

impl Default for ArgBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl ArgBuffer {
    pub const fn new() -> Self {
        ArgBuffer { values: ArgVec::new(), names: ArgVec::new() }
    }

    /// The values of the canonical form and the names of the last of them.
    pub fn parts(&mut self) -> (&[*mut ffi::PyObject], &[*mut ffi::PyObject]) {
        (self.values.get(), self.names.get())
    }
}

impl Signature {
    /// The numbers of positional arguments for which a call without keywords is its own canonical form.
    pub fn direct(&self) -> (usize, usize) {
        match (self.parameters.len() > self.positional, self.var_positional) {
            (true, _) => (1, 0),
            (false, true) => (self.positional, usize::MAX),
            (false, false) => (self.positional, self.positional),
        }
    }

    /// Whether [`bind_inline`](Self::bind_inline) serves: few parameters, no `*args`, no `**kwargs`.
    #[inline(always)]
    pub fn has_few(&self) -> bool {
        self.has_few
    }

    /// [`canonical`](Self::canonical) where [`has_few`](Self::has_few): the row of values, `None` for a call that the function
    /// would refuse.
    ///
    /// # Safety
    /// The call still lasts; the thread is attached.
    #[inline]
    pub unsafe fn bind_inline<'a>(
        &self,
        call: &'a Arguments,
        row: &'a mut InlineArgs,
    ) -> Option<&'a [*mut ffi::PyObject]> {
        debug_assert!(self.has_few);
        let (given, count) = (call.positional(), self.parameters.len());
        if given > self.positional {
            return None;
        }
        // SAFETY: the caller's promise.
        let (values, keywords) = unsafe { call.parts() };
        let (_, by_name) = self.parameters.split_at(given.max(self.positional_only).min(count));
        let in_order = |(p, &name): (&Parameter, &*mut ffi::PyObject)| p.name.as_ptr() == name;
        if keywords.len() == by_name.len() && values.len() == count && by_name.iter().zip(keywords).all(in_order) {
            // Everything was given, in the order of the parameters.
            return Some(values);
        }
        let row = row.get_mut(..count)?;
        for (place, &value) in row.iter_mut().zip(&values[..given]) {
            place.write(value);
        }
        for place in &mut row[given..] {
            place.write(std::ptr::null_mut());
        }
        // SAFETY: all of it is written, and `MaybeUninit` has its content's layout.
        let row = unsafe { &mut *(row as *mut [MaybeUninit<*mut ffi::PyObject>] as *mut [*mut ffi::PyObject]) };
        for (&name, &value) in keywords.iter().zip(&values[given..]) {
            let place = &mut row[self.find(name)?];
            if !place.is_null() {
                return None;
            }
            *place = value;
        }
        for (place, parameter) in row.iter_mut().zip(&self.parameters).skip(given) {
            if place.is_null() {
                *place = parameter.default.as_ref()?.as_ptr();
            }
        }
        Some(row)
    }

    /// Writes the canonical form of a call to `scratch`; false for a call that the function would refuse. O(values +
    /// keywords × parameters); nothing is run.
    ///
    /// # Safety
    /// The call still lasts; the thread is attached.
    #[inline(never)]
    pub unsafe fn canonical(&self, call: &Arguments, scratch: &mut ArgBuffer) -> bool {
        let given = call.positional();
        if given > self.positional && !self.var_positional {
            return false;
        }
        // SAFETY: the caller's promise.
        let (values, keywords) = unsafe { call.parts() };
        let named = self.positional.max(given);
        for &value in &values[..given] {
            scratch.values.push(value);
        }
        for _ in given..named + self.parameters.len() - self.positional {
            scratch.values.push(std::ptr::null_mut());
        }
        for (&name, &value) in keywords.iter().zip(&values[given..]) {
            match self.find(name) {
                Some(at) => {
                    let at = if at < self.positional { at } else { at - self.positional + named };
                    let place = &mut scratch.values.get()[at];
                    if !place.is_null() {
                        return false;
                    }
                    *place = value;
                }
                None if self.var_keyword => scratch.names.push(name),
                None => return false,
            }
        }
        let row = scratch.values.get();
        for (at, parameter) in self.parameters.iter().enumerate() {
            let place = &mut row[if at < self.positional { at } else { at - self.positional + named }];
            if place.is_null() {
                match &parameter.default {
                    Some(default) => *place = default.as_ptr(),
                    None => return false,
                }
            }
        }
        if scratch.names.length > 0 {
            for (&name, &value) in keywords.iter().zip(&values[given..]) {
                if self.find(name).is_none() {
                    scratch.values.push(value);
                }
            }
        }
        true
    }

    /// The parameter that a keyword names. Names are interned, so the first loop finds them.
    #[inline]
    fn find(&self, name: *mut ffi::PyObject) -> Option<usize> {
        let from = self.positional_only;
        let parameters = &self.parameters[from..];
        parameters
            .iter()
            .position(|p| p.name.as_ptr() == name)
            .or_else(|| {
                parameters
                    .iter()
                    // SAFETY: names are strings, maybe of a derived type: what is compared are their characters.
                    .position(|p| unsafe { ffi::PyUnicode_Compare(p.name.as_ptr(), name) == 0 })
            })
            .map(|at| at + from)
    }

    /// Everything that it refers to, for the garbage collector.
    pub fn references(&self) -> impl Iterator<Item = &PyRef> {
        self.parameters.iter().filter_map(|p| p.default.as_ref())
    }

    /// Reads the signature of a callable; `None` where it has no readable one.
    pub fn read(function: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let mut signature = Self::read_any(function)?;
        if let Some(signature) = &mut signature {
            let variadic = signature.var_positional || signature.var_keyword;
            signature.has_few = !variadic && signature.parameters.len() <= INLINE;
        }
        Ok(signature)
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
        let inspect = py.import("inspect")?;
        let options = PyDict::new(py);
        options.set_item("follow_wrapped", false)?;
        match inspect.call_method("signature", (function,), Some(&options)) {
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
        let method = py.import("types")?.getattr("MethodType")?;
        let partial = py.import("functools")?.getattr("partial")?;
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
        let (var_positional, var_keyword, has_few) = (false, false, false);
        Ok(Some(Self { parameters, positional, positional_only, var_positional, var_keyword, has_few }))
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
        Ok(Signature {
            parameters,
            positional,
            positional_only: number("co_posonlyargcount")?,
            var_positional: flags & VARARGS != 0,
            var_keyword: flags & VARKEYWORDS != 0,
            has_few: false,
        })
    }

    fn of_inspected(signature: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut result = Signature {
            parameters: Vec::new(),
            positional: 0,
            positional_only: 0,
            var_positional: false,
            var_keyword: false,
            has_few: false,
        };
        let mut absent = Absent::default();
        let empty = signature.getattr("empty")?;
        for parameter in signature.getattr("parameters")?.call_method0("values")?.try_iter()? {
            let parameter = parameter?;
            let kind: u8 = parameter.getattr("kind")?.extract()?;
            match kind {
                0 => {
                    result.positional_only += 1;
                    result.positional += 1;
                }
                1 => result.positional += 1,
                2 => result.var_positional = true,
                3 => (),
                _ => result.var_keyword = true,
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
                    self.0 = Some(py.import("builtins")?.getattr("object")?.call0()?);
                }
                self.0.clone()
            }
            other => other,
        };
        debug_assert!(name.is_instance_of::<PyString>());
        Ok(Parameter { name: name.unbind().into(), default: default.map(|d| d.unbind().into()) })
    }
}
