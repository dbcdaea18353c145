//! What a call means: the parameters of a function, read once, so that every spelling of a call has one key.
//!
//! Ring 3. The canonical form of a call is a row of values: one for each positional parameter, those that went to `*args`,
//! one for each keyword-only parameter, and the values of `**kwargs` with their names, in the order of the call. What is
//! left out is filled with its default. What the user wants [ignored](ignoring) is then left out of the row. A default that
//! can't be hashed can't be part of a key; in its place stands an object that no caller can pass.
//!
//! The signature is that of the callable itself: what it `functools.wraps` may take other arguments or other defaults.

mod ignoring;
mod read;

use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;

use self::ignoring::Ignored;
use crate::capi::borrowed::{Arguments, Ref};
use crate::capi::reference::PyRef;

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
    /// What `*args` and `**kwargs` are called.
    variadic: [Option<String>; 2],
    /// What of a call is no part of its key.
    ignored: Option<Box<Ignored>>,
}

/// Room for the canonical form of a call with few parameters.
pub type InlineArgs = [MaybeUninit<*mut ffi::PyObject>; INLINE];
pub const FEW: InlineArgs = [const { MaybeUninit::uninit() }; INLINE];

/// Room for a canonical form, as bare pointers: it outlives the call. Small ones need no allocation.
#[derive(Debug)]
pub struct Row {
    values: ArgVec,
    names: ArgVec,
}

/// The values that make a call's key, and the names of the last of them.
pub type Parts<'a> = (&'a [Ref<'a>], &'a [Ref<'a>]);

/// Room for what makes a call's key: its canonical form, or what a key function gave.
#[derive(Debug, Default)]
pub struct ArgBuffer {
    pub row: Row,
    /// What a key function gave, and its address once more, as a row of one value.
    key: Option<(PyRef, *mut ffi::PyObject)>,
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

    /// Keeps the first `length`.
    fn truncate(&mut self, length: usize) {
        if self.length > INLINE {
            if length > INLINE {
                self.heap.truncate(length);
            } else {
                for (place, &object) in self.inline.iter_mut().zip(&self.heap[..length]) {
                    place.write(object);
                }
                self.heap.clear();
            }
        }
        self.length = length;
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

impl Default for Row {
    fn default() -> Self {
        Self::new()
    }
}

impl ArgBuffer {
    pub const fn new() -> Self {
        ArgBuffer { row: Row::new(), key: None }
    }

    /// Keeps what a key function gave: the values and names of the key.
    pub fn keep<'a>(&'a mut self, key: PyRef, py: Python<'a>) -> Parts<'a> {
        let pointer = key.as_ptr();
        let (_, pointer) = self.key.insert((key, pointer));
        let _ = py;
        // SAFETY: what is kept beside it is its object.
        (unsafe { Ref::row(std::slice::from_ref(pointer)) }, &[])
    }
}

impl Row {
    pub const fn new() -> Self {
        Row { values: ArgVec::new(), names: ArgVec::new() }
    }

    /// The values of the canonical form and the names of the last of them.
    ///
    /// # Safety
    /// What was written last lives as long as the result, and none of it is null.
    unsafe fn parts<'a>(&'a mut self) -> Parts<'a> {
        // SAFETY: the caller's promise.
        unsafe { (Ref::row(self.values.get()), Ref::row(self.names.get())) }
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
    #[inline]
    pub fn bind_inline<'a>(&'a self, call: &Arguments<'a>, row: &'a mut InlineArgs) -> Option<&'a [Ref<'a>]> {
        debug_assert!(self.has_few);
        let (given, count) = (call.positional(), self.parameters.len());
        if given > self.positional {
            return None;
        }
        let (values, keywords) = call.parts();
        let (_, by_name) = self.parameters.split_at(given.max(self.positional_only).min(count));
        let in_order = |(p, name): (&Parameter, &Ref<'_>)| p.name.as_ptr() == name.as_ptr();
        if keywords.len() == by_name.len() && values.len() == count && by_name.iter().zip(keywords).all(in_order) {
            // Everything was given, in the order of the parameters.
            return Some(values);
        }
        let row = row.get_mut(..count)?;
        for (place, value) in row.iter_mut().zip(&values[..given]) {
            place.write(value.as_ptr());
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
            *place = value.as_ptr();
        }
        for (place, parameter) in row.iter_mut().zip(&self.parameters).skip(given) {
            if place.is_null() {
                *place = parameter.default.as_ref()?.as_ptr();
            }
        }
        // SAFETY: all of it is set, to what the call or the signature keeps.
        Some(unsafe { Ref::row(row) })
    }

    /// The canonical form of a call; `None` for one that the function would refuse. O(values + keywords × parameters);
    /// nothing is run.
    #[inline(always)]
    pub fn canonical<'a>(&'a self, call: &Arguments<'a>, row: &'a mut Row) -> Option<Parts<'a>> {
        // SAFETY: it was written, of what the call and the signature keep.
        self.write_canonical(call, row).then(|| unsafe { row.parts() })
    }

    /// Writes the canonical form of a call to `scratch`; false for a call that the function would refuse.
    #[inline(never)]
    fn write_canonical(&self, call: &Arguments<'_>, scratch: &mut Row) -> bool {
        let given = call.positional();
        if given > self.positional && !self.var_positional {
            return false;
        }
        let (values, keywords) = call.parts();
        let named = self.positional.max(given);
        for value in &values[..given] {
            scratch.values.push(value.as_ptr());
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
                    *place = value.as_ptr();
                }
                None if self.var_keyword => scratch.names.push(name.as_ptr()),
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
                    scratch.values.push(value.as_ptr());
                }
            }
        }
        true
    }

    /// The parameter that a keyword names. Names are interned, so the first loop finds them.
    #[inline]
    fn find(&self, name: Ref<'_>) -> Option<usize> {
        let from = self.positional_only;
        let parameters = &self.parameters[from..];
        parameters
            .iter()
            .position(|p| p.name.as_ptr() == name.as_ptr())
            .or_else(|| {
                parameters
                    .iter()
                    // SAFETY: names are strings, maybe of a derived type: what is compared are their characters.
                    .position(|p| unsafe { ffi::PyUnicode_Compare(p.name.as_ptr(), name.as_ptr()) == 0 })
            })
            .map(|at| at + from)
    }

    /// The names of the keyword-only parameters that are part of the key: its values have them last, before those with names.
    pub fn keyword_only(&self) -> impl Iterator<Item = &PyRef> {
        let parameters = self.parameters.iter().enumerate().skip(self.positional);
        parameters.filter(|(at, _)| !self.is_ignored(*at)).map(|(_, parameter)| &parameter.name)
    }

    /// The defaults that may be in a key.
    pub fn key_defaults(&self) -> impl Iterator<Item = &PyRef> {
        let kept = self.parameters.iter().enumerate().filter(|(at, _)| !self.is_ignored(*at));
        kept.filter_map(|(_, parameter)| parameter.default.as_ref())
    }

    /// Everything that it refers to, for the garbage collector.
    pub fn references(&self) -> impl Iterator<Item = &PyRef> {
        self.parameters.iter().filter_map(|p| p.default.as_ref())
    }
}
