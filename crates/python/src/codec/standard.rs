//! Values of the standard library that cannot be changed and have a spelling of their own: dates and times, `Decimal`,
//! `Fraction`, `UUID`.
//!
//! Ring 3. Only objects of exactly these classes, and of dates and times only those without a zone or with a fixed one: so no
//! user code runs. The spelling is the tag, the number of the class, and a tuple of what its constructor is given, which
//! checks it: the bytes may be anything.

use pyo3::ffi;
use pyo3::prelude::*;

use super::global::{attribute, call_method, is_instance_exactly, Function, Name};
use super::{checked, Stop};
use crate::capi::reference::{calls, new_tuple, tuple_items, PyRef};

/// A class, by its number in this list.
struct Class {
    module: Name,
    name: Name,
    make: Function,
    parts: Parts,
}

/// What an object's constructor is given.
enum Parts {
    /// These attributes.
    Attributes(&'static [Name]),
    /// Its text.
    Text,
    /// Of a fixed zone: its offset, and its name if it has one.
    Zone,
}

macro_rules! class {
    ($module:literal, $name:literal, $parts:expr) => {
        Class { module: Name::new($module), name: Name::new($name), make: Function::new($module, $name), parts: $parts }
    };
}

static DATE: [Name; 3] = [Name::new(c"year"), Name::new(c"month"), Name::new(c"day")];
static TIME: [Name; 6] = [
    Name::new(c"hour"),
    Name::new(c"minute"),
    Name::new(c"second"),
    Name::new(c"microsecond"),
    Name::new(c"tzinfo"),
    Name::new(c"fold"),
];
static DATETIME: [Name; 9] = [
    Name::new(c"year"),
    Name::new(c"month"),
    Name::new(c"day"),
    Name::new(c"hour"),
    Name::new(c"minute"),
    Name::new(c"second"),
    Name::new(c"microsecond"),
    Name::new(c"tzinfo"),
    Name::new(c"fold"),
];
static TIMEDELTA: [Name; 3] = [Name::new(c"days"), Name::new(c"seconds"), Name::new(c"microseconds")];
static FRACTION: [Name; 2] = [Name::new(c"numerator"), Name::new(c"denominator")];

// A number here is for ever: files and servers have it.
static CLASSES: [Class; 8] = [
    class!(c"datetime", c"date", Parts::Attributes(&DATE)),
    class!(c"datetime", c"time", Parts::Attributes(&TIME)),
    class!(c"datetime", c"datetime", Parts::Attributes(&DATETIME)),
    class!(c"datetime", c"timedelta", Parts::Attributes(&TIMEDELTA)),
    class!(c"datetime", c"timezone", Parts::Zone),
    class!(c"decimal", c"Decimal", Parts::Text),
    class!(c"fractions", c"Fraction", Parts::Attributes(&FRACTION)),
    class!(c"uuid", c"UUID", Parts::Text),
];
const ZONE: usize = 4;

/// The number of an object's class, and the tuple that its constructor is given; `None` if it has no such spelling.
///
/// # Safety
/// `object` is kept by the caller; the thread is attached and holds no lock; no exception is set.
pub(super) unsafe fn parts_of(object: *mut ffi::PyObject) -> Result<Option<(u8, PyRef)>, Stop> {
    static TZINFO: Name = Name::new(c"tzinfo");
    static IS_SAFE: Name = Name::new(c"is_safe");
    static VALUE: Name = Name::new(c"value");
    static INITIAL: Name = Name::new(c"__getinitargs__");
    // SAFETY: the caller's promise, throughout; the parts are strong references until they are in the tuple.
    unsafe {
        for (number, class) in CLASSES.iter().enumerate() {
            if !is_instance_exactly(object, &class.module, &class.name)? {
                continue;
            }
            let parts = match &class.parts {
                Parts::Attributes(names) => {
                    let parts: Vec<PyRef> =
                        names.iter().map(|name| attribute(object, name)).collect::<Result<_, _>>()?;
                    if names.iter().any(|name| name.text() == TZINFO.text()) {
                        let zone = &parts[parts.len() - 2];
                        let fixed = &CLASSES[ZONE];
                        if zone.as_ptr() != ffi::Py_None()
                            && !is_instance_exactly(zone.as_ptr(), &fixed.module, &fixed.name)?
                        {
                            return Ok(None);
                        }
                    }
                    tuple(&parts)?
                }
                Parts::Text => {
                    if class.name.text() == c"UUID" {
                        // Whether it was made safely is told by those alone that were made here.
                        let safe = attribute(attribute(object, &IS_SAFE)?.as_ptr(), &VALUE)?;
                        if safe.as_ptr() != ffi::Py_None() {
                            return Ok(None);
                        }
                    }
                    tuple(&[checked(calls::PyObject_Str(object))?])?
                }
                Parts::Zone => call_method(object, &INITIAL, None)?,
            };
            return Ok(Some((number as u8, parts)));
        }
        Ok(None)
    }
}

/// The name of the class of this number, with its module's; `None` if there is no such class.
pub(super) fn name(number: u8) -> Option<String> {
    let class = CLASSES.get(usize::from(number))?;
    let text = |name: &Name| name.text().to_string_lossy();
    Some(format!("{}.{}", text(&class.module), text(&class.name)))
}

/// The object of a class's number and what its constructor is given; `None` if there is no such class.
///
/// # Safety
/// `parts` is a tuple; the thread is attached and holds no lock; no exception is set.
pub(super) unsafe fn make(number: u8, parts: &PyRef) -> Option<Result<PyRef, Stop>> {
    let class = CLASSES.get(usize::from(number))?;
    // SAFETY: a tuple keeps its items, and is kept by the caller.
    unsafe {
        let items = tuple_items(parts.as_ptr());
        if let Parts::Attributes(names) = &class.parts {
            if items.len() != names.len() {
                return None;
            }
            // `fold` is given by its name alone.
            if names.len() >= TIME.len() {
                let (fold, before) = items.split_last()?;
                return Some(with_fold(&class.make, before, *fold));
            }
        }
        Some(class.make.call(items))
    }
}

/// Calls a constructor with `fold`, which is given by its name alone.
unsafe fn with_fold(make: &Function, before: &[*mut ffi::PyObject], fold: *mut ffi::PyObject) -> Result<PyRef, Stop> {
    static FOLD: Name = Name::new(c"fold");
    static REPLACE: Name = Name::new(c"replace");
    // SAFETY: the callers'; the names are a tuple of one `str`.
    unsafe {
        let made = make.call(before)?;
        if ffi::PyObject_IsTrue(fold) == 0 {
            return Ok(made);
        }
        let method = attribute(made.as_ptr(), &REPLACE)?;
        let names = tuple(&[PyRef::borrow(FOLD.get()?)])?;
        let arguments = [fold];
        checked(calls::PyObject_Vectorcall(method.as_ptr(), arguments.as_ptr(), 0, names.as_ptr()))
    }
}

/// A tuple of these.
unsafe fn tuple(items: &[PyRef]) -> Result<PyRef, Stop> {
    // SAFETY: attached (the callers').
    let py = unsafe { Python::assume_attached() };
    new_tuple(py, items.iter().map(|item| item.lend(py))).ok_or(Stop::Failed)
}
