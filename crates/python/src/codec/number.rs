//! Numbers as keys: those that are equal are spelled alike, whatever their types.
//!
//! Ring 3. Python compares int, float, complex, Decimal and Fraction by their exact values. What has an integer value is
//! spelled as an int, what a float can hold as a float, anything else as a ratio in lowest terms.

use pyo3::ffi;

use super::global::{self, attribute, call_method, Name};
use super::{atoms, checked, Stop};
use crate::capi::reference::{calls, tuple_items, PyRef};
use engine::wire_format::{self, key};

/// A float; a NaN equals nothing.
///
/// # Safety
/// The thread is attached.
pub unsafe fn put_float(value: f64, out: &mut Vec<u8>) -> Result<(), Stop> {
    if value.is_nan() {
        return Err(Stop::Unstorable);
    }
    // 2^63; exact, as a float.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if value.is_infinite() || value.fract() != 0.0 {
        atoms::put_float(value, out);
    } else if value.abs() < BEYOND {
        wire_format::put_int(out, value as i64);
    } else {
        // SAFETY: the caller's promise; the result is an `int`.
        unsafe { atoms::put_int(checked(ffi::PyLong_FromDouble(value))?.as_ptr(), out) }
    }
    Ok(())
}

/// A complex number.
///
/// # Safety
/// As for [`put_float`].
pub unsafe fn put_complex(value: ffi::Py_complex, out: &mut Vec<u8>) -> Result<(), Stop> {
    if value.imag == 0.0 {
        // SAFETY: the caller's promise.
        return unsafe { put_float(value.real, out) };
    }
    if value.real.is_nan() || value.imag.is_nan() {
        return Err(Stop::Unstorable);
    }
    // Adding zero turns -0.0 into 0.0, which equals it.
    atoms::put_complex(ffi::Py_complex { real: value.real + 0.0, imag: value.imag }, out);
    Ok(())
}

/// A Decimal or a Fraction, or an object of a class derived from one that compares as its base does. False: it is neither.
///
/// # Safety
/// `object` is kept by the caller; the thread is attached and holds no lock. Runs user code.
pub unsafe fn put_other(object: *mut ffi::PyObject, out: &mut Vec<u8>) -> Result<bool, Stop> {
    static DECIMAL: [Name; 2] = [Name::new(c"decimal"), Name::new(c"Decimal")];
    static FRACTION: [Name; 2] = [Name::new(c"fractions"), Name::new(c"Fraction")];
    // SAFETY: the caller's promise; a ready type's slots are read.
    unsafe {
        let kind = ffi::Py_TYPE(object);
        let numbers = (*kind).tp_as_number;
        if numbers.is_null() || (*numbers).nb_float.is_none() {
            return Ok(false);
        }
        if compares_as(kind, &DECIMAL)? {
            put_decimal(object, out)?;
        } else if compares_as(kind, &FRACTION)? {
            static NUMERATOR: Name = Name::new(c"numerator");
            static DENOMINATOR: Name = Name::new(c"denominator");
            put_ratio(&attribute(object, &NUMERATOR)?, &attribute(object, &DENOMINATOR)?, out)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// Whether instances of `kind` are compared by the `__eq__` of this class, from which it is derived.
unsafe fn compares_as(kind: *mut ffi::PyTypeObject, [module, name]: &[Name; 2]) -> Result<bool, Stop> {
    // SAFETY: attached; a type, and one that `imported` gave.
    unsafe {
        let Some(base) = global::imported(module, name)? else {
            return Ok(false);
        };
        if ffi::PyType_Check(base.as_ptr()) == 0 || ffi::PyType_IsSubtype(kind, base.as_ptr().cast()) == 0 {
            return Ok(false);
        }
        has_eq_of(kind, base.as_ptr().cast())
    }
}

/// Whether two types have the same `__eq__`.
///
/// # Safety
/// The thread is attached; the types are alive.
pub unsafe fn has_eq_of(kind: *mut ffi::PyTypeObject, other: *mut ffi::PyTypeObject) -> Result<bool, Stop> {
    static EQ: Name = Name::new(c"__eq__");
    // SAFETY: the caller's promise.
    unsafe { Ok(attribute(kind.cast(), &EQ)?.as_ptr() == attribute(other.cast(), &EQ)?.as_ptr()) }
}

/// Exponents beyond this are not spelled: the numbers would be as long as they are large.
const DIGITS: std::ffi::c_long = 5000;

unsafe fn put_decimal(object: *mut ffi::PyObject, out: &mut Vec<u8>) -> Result<(), Stop> {
    static IS_FINITE: Name = Name::new(c"is_finite");
    static ADJUSTED: Name = Name::new(c"adjusted");
    static AS_RATIO: Name = Name::new(c"as_integer_ratio");
    // SAFETY: attached; a Decimal.
    unsafe {
        let finite = call_method(object, &IS_FINITE, None)?;
        if finite.as_ptr() != ffi::Py_True() {
            return put_float(as_float(object)?, out);
        }
        let adjusted = call_method(object, &ADJUSTED, None)?;
        let adjusted = ffi::PyLong_AsLong(adjusted.as_ptr());
        if !ffi::PyErr_Occurred().is_null() {
            return Err(super::classify_exception());
        }
        if !(-DIGITS..=DIGITS).contains(&adjusted) {
            return Err(Stop::Unstorable);
        }
        let ratio = call_method(object, &AS_RATIO, None)?;
        if ffi::PyTuple_CheckExact(ratio.as_ptr()) == 0 || ffi::PyTuple_GET_SIZE(ratio.as_ptr()) != 2 {
            return Err(Stop::Unstorable);
        }
        let items = tuple_items(ratio.as_ptr());
        put_ratio(&PyRef::borrow(items[0]), &PyRef::borrow(items[1]), out)
    }
}

/// A quotient of two ints in lowest terms, the second of which is positive.
unsafe fn put_ratio(numerator: &PyRef, denominator: &PyRef, out: &mut Vec<u8>) -> Result<(), Stop> {
    let is_whole = |one: &PyRef| crate::capi::layout::ints_equal(denominator, one);
    let (numerator, denominator) = (numerator.as_ptr(), denominator.as_ptr());
    // SAFETY: attached; both are checked to be exact `int`s.
    unsafe {
        if ffi::PyLong_CheckExact(numerator) == 0 || ffi::PyLong_CheckExact(denominator) == 0 {
            return Err(Stop::Unstorable);
        }
        let one = checked(ffi::PyLong_FromLong(1))?;
        if is_whole(&one) {
            atoms::put_int(numerator, out);
            return Ok(());
        }
        if let Some(value) = exact_float(numerator, denominator)? {
            return put_float(value, out);
        }
        out.push(key::RATIO);
        atoms::put_int(numerator, out);
        atoms::put_int(denominator, out);
        Ok(())
    }
}

/// The float that equals the quotient, if there is one.
unsafe fn exact_float(numerator: *mut ffi::PyObject, denominator: *mut ffi::PyObject) -> Result<Option<f64>, Stop> {
    static AS_RATIO: Name = Name::new(c"as_integer_ratio");
    // SAFETY: attached; exact `int`s, whose division runs no user code and gives a float.
    unsafe {
        let quotient = ffi::PyNumber_TrueDivide(numerator, denominator);
        if quotient.is_null() {
            // OverflowError: beyond every float.
            return match super::classify_exception() {
                Stop::Unstorable => Ok(None),
                Stop::Failed => Err(Stop::Failed),
            };
        }
        let quotient = PyRef::steal(quotient);
        let ratio = call_method(quotient.as_ptr(), &AS_RATIO, None)?;
        let items = tuple_items(ratio.as_ptr());
        let same = items.len() == 2
            && calls::PyObject_RichCompareBool(items[0], numerator, ffi::Py_EQ) == 1
            && calls::PyObject_RichCompareBool(items[1], denominator, ffi::Py_EQ) == 1;
        Ok(same.then(|| ffi::PyFloat_AS_DOUBLE(quotient.as_ptr())))
    }
}

unsafe fn as_float(object: *mut ffi::PyObject) -> Result<f64, Stop> {
    static FLOAT: Name = Name::new(c"__float__");
    // SAFETY: attached; what is no `float` is refused.
    unsafe {
        let float = call_method(object, &FLOAT, None)?;
        if ffi::PyFloat_CheckExact(float.as_ptr()) == 0 {
            return Err(Stop::Unstorable);
        }
        Ok(ffi::PyFloat_AS_DOUBLE(float.as_ptr()))
    }
}
