//! Functions, classes and others that are known by a name, as parts of keys: by a hash of where they are found and of what
//! they are, which `warp_cache._naming.named` makes.
//!
//! Ring 3. Runs user code.

use pyo3::ffi;

use super::atoms::bytes_of;
use super::global::Function;
use super::key::{is_fixed, Writer};
use super::{checked, Stop};
use crate::capi::reference::PyRef;
use engine::wire_format::key;

/// The length of a hash in bytes.
pub const HASH: usize = 16;

/// The hash of something with a name.
pub type Hash = [u8; HASH];

static NAMED: Function = Function::new(c"warp_cache._naming.named", c"named");
static ONE_OF_A_KIND: Function = Function::new(c"warp_cache._naming.named", c"one_of_a_kind");

/// For what a function, class or module is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// As the class of an argument, which something else makes.
    ClassOf,
    /// As what makes an argument, or as its type where types count.
    Maker,
    /// As an argument: there are no bytes if something in it could change unseen.
    Argument,
}

/// Added to a role where the object was asked for in another one, for the same key.
const AGAIN: std::ffi::c_long = 4;

/// Spells a function, class or module.
///
/// # Safety
/// `object` is alive, and kept so by the caller; the thread is attached and holds no lock.
pub unsafe fn put(writer: &mut Writer, object: *mut ffi::PyObject, role: Role, out: &mut Vec<u8>) -> Result<(), Stop> {
    // SAFETY: the caller's promise; the constants live for ever.
    unsafe {
        writer.plain &= is_fixed(object);
        if let Some((.., hash)) = writer.met.iter().find(|met| met.0.as_ptr() == object && met.1 == role) {
            out.push(key::GLOBAL);
            out.extend_from_slice(hash);
            return Ok(());
        }
        let again = writer.met.iter().any(|met| met.0.as_ptr() == object);
        let number = role as std::ffi::c_long + if again { AGAIN } else { 0 };
        let number = checked(ffi::PyLong_FromLong(number))?;
        let found = NAMED.call(&[object, number.as_ptr()])?;
        let hash = put_found(writer, object, &found, out)?;
        // A class is met twice in most objects.
        if writer.met.len() < 8 {
            writer.met.push((PyRef::borrow(object), role, hash));
        }
        Ok(())
    }
}

/// Spells an object that is compared by identity, or is pickled by its name, if it is one and the same in every process.
/// `false`: it is nothing but its attributes.
///
/// # Safety
/// As for [`put`].
pub unsafe fn put_one_of_a_kind(
    writer: &mut Writer,
    object: *mut ffi::PyObject,
    out: &mut Vec<u8>,
) -> Result<bool, Stop> {
    // SAFETY: the caller's promise; the constants live for ever.
    unsafe {
        let found = ONE_OF_A_KIND.call(&[object])?;
        writer.plain = false;
        if found.as_ptr() == ffi::Py_None() {
            return Ok(false);
        }
        put_found(writer, object, &found, out)?;
        Ok(true)
    }
}

/// Spells a hash; what came in its place says why there is none.
unsafe fn put_found(
    writer: &mut Writer,
    object: *mut ffi::PyObject,
    found: &PyRef,
    out: &mut Vec<u8>,
) -> Result<Hash, Stop> {
    // SAFETY: the callers' objects are alive; types are checked.
    unsafe {
        if ffi::PyBytes_CheckExact(found.as_ptr()) == 0 {
            return writer.refuse(object, &text(found));
        }
        let Ok(hash) = Hash::try_from(bytes_of(found.as_ptr())) else {
            return Err(Stop::Unstorable);
        };
        out.push(key::GLOBAL);
        out.extend_from_slice(&hash);
        writer.named.entry(hash).or_insert_with(|| PyRef::borrow(object));
        Ok(hash)
    }
}

/// What a `str` says, as far as it can be said.
unsafe fn text(object: &PyRef) -> String {
    // SAFETY: attached; an exact `str` keeps its text, anything else is refused.
    unsafe {
        let mut length: ffi::Py_ssize_t = 0;
        if ffi::PyUnicode_CheckExact(object.as_ptr()) == 0 {
            return String::new();
        }
        let text = ffi::PyUnicode_AsUTF8AndSize(object.as_ptr(), &mut length);
        if text.is_null() {
            // A lone surrogate in a name.
            ffi::PyErr_Clear();
            return String::new();
        }
        let bytes = std::slice::from_raw_parts(text.cast::<u8>(), length as usize);
        String::from_utf8_lossy(bytes).into_owned()
    }
}
