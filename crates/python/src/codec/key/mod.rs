//! Keys: the arguments of a call as canonical bytes.
//!
//! Ring 3. Keys that the in-process cache takes for equal (by identity or `==`) give equal bytes in every process, whatever
//! the seed of `hash`; keys that are not equal never give the same. What cannot keep that is unstorable:
//!
//! * what is compared by identity (a bare `object()`, a NaN), unless it is found in every process under a name: classes,
//!   functions, enum members. What these are counts beside the name, see [`super::named`]. Bound methods compare their
//!   instances so, and are keys where that is a class;
//! * what can't be reduced as `copyreg` and pickle do it, holds itself, or is nested too deeply;
//! * what does not equal the object that its bytes would make, see [`super::load`].
//!
//! A key is *plain* if no part of it can be edited in place, so that equal arguments have these bytes for ever: see [`Spelled`].
//!
//! Classes derived from int, float, complex, str, bytes, tuple or frozenset that compare as their base does are spelled as
//! the base (IntEnum, NamedTuple). Other objects are spelled by what `__reduce_ex__` says of them, see [`super::reduce`],
//! as their `__eq__` can't be asked without a second object. Where that method is coarser than the state, equal keys have
//! different bytes, which costs a miss.

mod compared;
mod objects;
mod writer;

pub use self::compared::{compares_as, is_editable, is_fixed};
pub use self::objects::{next, put_entries};
pub use self::writer::Writer;

use std::sync::Arc;

use pyo3::ffi;

use self::compared::PyMethod_Type;
use crate::codec::named::{Hash, Role};
use crate::codec::{atoms, named, refusal, Encoded, Stop};
use crate::key::View;
use engine::wire_format::{self, key};

/// Writes a call's canonical bytes behind what is in `out`; where there are none, `out` is as it was.
/// Runs user code.
pub fn encode_key(view: &View<'_>, out: &mut Vec<u8>) -> Encoded {
    encode_key_with(view, &[], out).map_or_else(|encoded| encoded, |_| Encoded::Done)
}

/// What a call's bytes depend on.
#[derive(Debug)]
pub enum Spelled {
    /// On arguments that stay what they are: equal ones have these bytes for ever.
    Plain,
    /// On something that can be edited in place: a function, a class, an instance of one. The hashes of what has a name.
    Editable(Arc<[Hash]>),
}

/// [`encode_key`] where some objects, given by their addresses, are defaults that have no bytes: each is spelled by its
/// number in the list, by which all processes know it.
pub fn encode_key_with(view: &View<'_>, defaults: &[usize], out: &mut Vec<u8>) -> Result<Spelled, Encoded> {
    let start = out.len();
    if let Some(put) = put_lone_str(defaults, view, out) {
        if let Err(stop) = put {
            out.truncate(start);
            refusal::key(0, None);
            return Err(stop.into());
        }
        return Ok(Spelled::Plain);
    }
    let mut writer = Writer::new();
    match put_view(&mut writer, defaults, view, out) {
        Ok(()) if writer.plain => Ok(Spelled::Plain),
        Ok(()) => Ok(Spelled::Editable(writer.named.keys().copied().collect())),
        Err(stop) => {
            out.truncate(start);
            refusal::key(writer.at, writer.why);
            Err(stop.into())
        }
    }
}

/// Why a call has no canonical bytes, found by trying once more: which of the view's values it is about, by number, and the
/// reason, after the name of a type ("Connection: it is compared by identity"). `None` where it has some now, or an exception is
/// set.
#[cold]
pub fn explain_key(view: &View<'_>) -> Option<(usize, String)> {
    let mut writer = Writer::new();
    match put_view(&mut writer, &[], view, &mut Vec::new()) {
        Err(Stop::Unstorable) => {
            let reason = writer.why.unwrap_or_else(|| String::from("there are no bytes that stand for it"));
            Some((writer.at, reason))
        }
        Ok(()) | Err(Stop::Failed) => None,
    }
}

/// `put_view` of a lone `str`, which needs no writer; `None` where it is something else.
fn put_lone_str(defaults: &[usize], view: &View<'_>, out: &mut Vec<u8>) -> Option<Result<(), Stop>> {
    let [value] = view.values else { return None };
    if !view.names.is_empty() || view.typed || !defaults.is_empty() || !value.is_exact(&raw mut ffi::PyUnicode_Type) {
        return None;
    }
    wire_format::put_varint(out, 1 << 1);
    // SAFETY: a view's objects are alive and kept; it is a `str`.
    Some(unsafe { atoms::put_str(value.as_ptr(), out) })
}

fn put_view(writer: &mut Writer, defaults: &[usize], view: &View<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
    // The shape: how many values there are, and how many of them have names.
    let named = !view.names.is_empty();
    wire_format::put_varint(out, (view.values.len() as u64) << 1 | u64::from(named));
    if named {
        wire_format::put_varint(out, view.names.len() as u64);
    }
    // SAFETY: a view's objects are alive and kept; names are `str`s, maybe of a derived type.
    unsafe {
        for (at, &value) in view.values.iter().enumerate() {
            writer.at = at;
            if let Some(number) = defaults.iter().position(|&default| default == value.as_ptr() as usize) {
                let kind = value.kind();
                // As most of these are: `object()`.
                writer.plain &= kind == &raw mut ffi::PyBaseObject_Type;
                out.push(key::DEFAULT);
                wire_format::put_varint(out, number as u64);
                continue;
            }
            if view.typed {
                put_type(writer, value.kind(), out)?;
            }
            writer.put(value.as_ptr(), out, wire_format::MAX_DEPTH)?;
        }
        for &name in view.names {
            atoms::put_str(name.as_ptr(), out)?;
        }
    }
    Ok(())
}

/// The type of an argument, where it counts.
unsafe fn put_type(writer: &mut Writer, kind: *mut ffi::PyTypeObject, out: &mut Vec<u8>) -> Result<(), Stop> {
    // SAFETY: attached; addresses of static types.
    unsafe {
        let known = [
            &raw mut ffi::PyLong_Type,
            &raw mut ffi::PyUnicode_Type,
            &raw mut ffi::PyFloat_Type,
            &raw mut ffi::PyBool_Type,
            &raw mut ffi::PyTuple_Type,
            &raw mut ffi::PyBytes_Type,
            ffi::Py_TYPE(ffi::Py_None()),
            // These are not found under the names that they say to have.
            &raw mut ffi::PyFunction_Type,
            &raw mut ffi::PyCFunction_Type,
            &raw mut PyMethod_Type,
            &raw mut ffi::PyModule_Type,
            ffi::Py_TYPE(ffi::Py_Ellipsis()),
            ffi::Py_TYPE(ffi::Py_NotImplemented()),
        ];
        match known.iter().position(|&type_| type_ == kind) {
            Some(at) => {
                out.extend_from_slice(&[key::BUILTIN_TYPE, at as u8]);
                Ok(())
            }
            None => named::put(writer, kind.cast(), Role::Maker, out),
        }
    }
}
