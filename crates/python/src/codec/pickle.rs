//! Pickling: for all that has no spelling of its own.
//!
//! Ring 3. Runs user code. The module `pickle` is imported when it is needed first.

use pyo3::ffi;

use super::atoms::{append, bytes_of};
use super::global::{self, Function, Name};
use super::{checked, Decoded, Sharing, Stop};
use crate::capi::reference::{calls, PyRef};
use engine::wire_format::header;

/// The highest that every supported Python reads.
const PROTOCOL: std::ffi::c_long = 5;

static DUMPS: Function = Function::new(c"pickle", c"dumps");
static LOADS: Function = Function::new(c"pickle", c"loads");

/// A whole value with its header.
///
/// # Safety
/// `object` is alive, and kept so by the caller; the thread is attached and holds no lock.
#[cold]
pub unsafe fn put(object: *mut ffi::PyObject, out: &mut Vec<u8>) -> Result<Sharing, Stop> {
    // SAFETY: the caller's promise.
    unsafe {
        let (sharing, header) = if is_immutable(object)? {
            (Sharing::Immutable, header::PICKLED_IMMUTABLE)
        } else {
            (Sharing::Pickled, header::PICKLED)
        };
        let protocol = checked(ffi::PyLong_FromLong(PROTOCOL))?;
        let pickle = DUMPS.call(&[object, protocol.as_ptr()])?;
        // Somebody may have put another function in the place of `pickle.dumps`.
        if ffi::PyBytes_Check(pickle.as_ptr()) == 0 {
            return Err(Stop::Unstorable);
        }
        out.push(header);
        append(bytes_of(pickle.as_ptr()), out)?;
        Ok(sharing)
    }
}

/// Reads the pickle behind a header.
///
/// # Safety
/// The thread is attached and holds no lock.
#[cold]
pub unsafe fn load(pickle: &[u8], sharing: Sharing) -> Decoded {
    // SAFETY: the caller's promise.
    let loaded = unsafe {
        let bytes = ffi::PyBytes_FromStringAndSize(pickle.as_ptr().cast(), pickle.len() as ffi::Py_ssize_t);
        checked(bytes).and_then(|bytes| LOADS.call(&[bytes.as_ptr()]))
    };
    match loaded {
        Ok(object) => Decoded::Object(object, sharing),
        Err(Stop::Unstorable) => Decoded::Damaged,
        Err(Stop::Failed) => Decoded::Failed,
    }
}

/// Types whose instances can't be changed, by module and name.
static IMMUTABLE: [(Name, Name); 7] = [
    (Name::new(c"datetime"), Name::new(c"date")),
    (Name::new(c"datetime"), Name::new(c"timedelta")),
    (Name::new(c"datetime"), Name::new(c"datetime")),
    (Name::new(c"datetime"), Name::new(c"time")),
    (Name::new(c"decimal"), Name::new(c"Decimal")),
    (Name::new(c"fractions"), Name::new(c"Fraction")),
    (Name::new(c"uuid"), Name::new(c"UUID")),
];

/// Whether the object can't be changed, or is pickled by its name, so that everybody has the same one anyway.
///
/// # Safety
/// As for [`put`].
unsafe fn is_immutable(object: *mut ffi::PyObject) -> Result<bool, Stop> {
    // SAFETY: the caller's promise; attributes are asked of objects that are alive.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        if ffi::PyType_Check(object) != 0 || kind == &raw mut ffi::PyFunction_Type || global::is_enum(kind)? {
            return Ok(true);
        }
        if ffi::PyCFunction_CheckExact(object) != 0 {
            // Else a method of some object, which goes into the pickle.
            let owner = ffi::PyCFunction_GetSelf(object);
            return Ok(owner.is_null() || ffi::PyModule_Check(owner) != 0);
        }
        for (module, name) in &IMMUTABLE {
            if global::is_instance_exactly(object, module, name)? {
                return match name.text().to_bytes() {
                    b"datetime" | b"time" => has_plain_zone(object),
                    _ => Ok(true),
                };
            }
        }
        Ok(false)
    }
}

/// Whether a datetime's or time's zone is none or a fixed one.
unsafe fn has_plain_zone(object: *mut ffi::PyObject) -> Result<bool, Stop> {
    static TZINFO: Name = Name::new(c"tzinfo");
    static DATETIME: Name = Name::new(c"datetime");
    static TIMEZONE: Name = Name::new(c"timezone");
    // SAFETY: as for `is_immutable`.
    unsafe {
        let zone: PyRef = checked(calls::PyObject_GetAttr(object, TZINFO.get()?))?;
        Ok(zone.as_ptr() == ffi::Py_None() || global::is_instance_exactly(zone.as_ptr(), &DATETIME, &TIMEZONE)?)
    }
}
