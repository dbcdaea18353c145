//! Exact values without parts, as values and keys both spell them: int, float, complex, str, bytes.
//!
//! Ring 3. No user code runs here.

use std::ffi::c_int;

use pyo3::ffi;

use super::{classify_exception, Stop};
use crate::capi::borrowed::Ref;
use crate::capi::layout;
use engine::wire_format::{self, tag};

/// An `int`, of a derived type too.
///
/// # Safety
/// `object` is an `int`; the thread is attached.
#[inline]
pub unsafe fn put_int(object: *mut ffi::PyObject, out: &mut Vec<u8>) {
    let mut overflow: c_int = 0;
    // SAFETY: the caller's promise; for an `int` the call can't fail.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object, &mut overflow) };
    if overflow == 0 {
        wire_format::put_int(out, value);
    } else {
        // SAFETY: the caller's promise.
        unsafe { put_big_int(object, out) }
    }
}

/// # Safety
/// As for [`put_int`].
#[cold]
unsafe fn put_big_int(object: *mut ffi::PyObject, out: &mut Vec<u8>) {
    // SAFETY: the caller's promise: an `int`, on an attached thread.
    let (negative, digits) = unsafe { layout::int_digits(Ref::new(object)) };
    let mut magnitude = Vec::with_capacity(digits.len() * 4);
    let (mut bits, mut count) = (0u64, 0);
    for &digit in digits {
        bits |= u64::from(digit) << count;
        count += 30;
        while count >= 8 {
            magnitude.push(bits as u8);
            bits >>= 8;
            count -= 8;
        }
    }
    magnitude.push(bits as u8);
    while magnitude.last() == Some(&0) {
        magnitude.pop();
    }
    wire_format::put_sized(out, if negative { tag::BIG_NEGATIVE } else { tag::BIG_POSITIVE }, magnitude.len());
    out.extend_from_slice(&magnitude);
}

/// Appends bytes; where there is no room for many of them, that is a MemoryError and not the end of the process.
///
/// # Safety
/// The thread is attached.
#[inline]
pub unsafe fn append(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Stop> {
    const MANY: usize = 1 << 16;
    if bytes.len() >= MANY && out.try_reserve(bytes.len()).is_err() {
        // SAFETY: the caller's promise.
        unsafe { ffi::PyErr_NoMemory() };
        return Err(Stop::Failed);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

#[inline]
pub fn put_float(value: f64, out: &mut Vec<u8>) {
    out.push(tag::FLOAT);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

#[inline]
pub fn put_complex(value: ffi::Py_complex, out: &mut Vec<u8>) {
    out.push(tag::COMPLEX);
    out.extend_from_slice(&value.real.to_bits().to_le_bytes());
    out.extend_from_slice(&value.imag.to_bits().to_le_bytes());
}

/// A `str`, of a derived type too.
///
/// # Safety
/// `object` is a `str`; the thread is attached.
#[inline]
pub unsafe fn put_str(object: *mut ffi::PyObject, out: &mut Vec<u8>) -> Result<(), Stop> {
    // SAFETY: the caller's promise. A `str` that is ready has `length` characters of `kind` bytes at its data, which never
    // change; the widest of them needs that kind.
    unsafe {
        // Does nothing where every `str` is ready; else it may lack memory.
        #[allow(deprecated)]
        if ffi::PyUnicode_READY(object) != 0 {
            return Err(classify_exception());
        }
        let length = ffi::PyUnicode_GET_LENGTH(object) as usize;
        let kind = ffi::PyUnicode_KIND(object) as usize;
        let characters = std::slice::from_raw_parts(ffi::PyUnicode_DATA(object).cast::<u8>(), length * kind);
        match kind {
            1 if characters.is_ascii() => {
                if length < tag::SHORT_STRS {
                    out.push(tag::SHORT_STR + length as u8);
                } else {
                    wire_format::put_sized(out, tag::STR_ASCII, length);
                }
            }
            1 => wire_format::put_sized(out, tag::STR_1, length),
            2 => wire_format::put_sized(out, tag::STR_2, length),
            _ => wire_format::put_sized(out, tag::STR_4, length),
        }
        append(characters, out)
    }
}

/// A `bytes`, of a derived type too.
///
/// # Safety
/// `object` is a `bytes`; the thread is attached.
#[inline]
pub unsafe fn put_bytes(object: *mut ffi::PyObject, out: &mut Vec<u8>) -> Result<(), Stop> {
    // SAFETY: the caller's promise.
    unsafe {
        let bytes = bytes_of(object);
        wire_format::put_sized(out, tag::BYTES, bytes.len());
        append(bytes, out)
    }
}

/// What a `bytes` holds.
///
/// # Safety
/// `object` is a `bytes` that outlives the result.
#[inline]
pub unsafe fn bytes_of<'a>(object: *mut ffi::PyObject) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe {
        std::slice::from_raw_parts(ffi::PyBytes_AsString(object).cast::<u8>(), ffi::PyBytes_Size(object) as usize)
    }
}
