//! What exact built-in objects look like inside: hashes and comparisons that need no call into Python.
//!
//! Ring 3. Only types whose equality cannot run user code appear here, and only exact instances of them.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the layout of int is known for 64-bit platforms only");

use std::ffi::c_void;
use std::sync::atomic::{AtomicIsize, Ordering};

use pyo3::ffi;

/// The object's type. (`Py_TYPE`, which is a function with a call since 3.14.)
///
/// # Safety
/// `object` is alive.
#[inline(always)]
pub unsafe fn type_of(object: *mut ffi::PyObject) -> *mut ffi::PyTypeObject {
    // SAFETY: the caller's promise. An object's type changes only by assignment to `__class__`, under the interpreter's
    // lock or with the world stopped.
    unsafe { (*object).ob_type }
}

/// Whether the object is of this very type.
///
/// # Safety
/// `object` is alive.
#[inline(always)]
pub unsafe fn is_exact(object: *mut ffi::PyObject, of: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: the caller's promise.
    unsafe { type_of(object) == of }
}

/// The exact built-in types as the cache sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exact {
    Str,
    Int,
    Bytes,
    Float,
    Bool,
    None,
    Tuple,
    /// Anything else: its `__eq__` may be the user's.
    Other,
}

/// Which of the types above the object is exactly.
///
/// # Safety
/// `object` is alive.
#[inline(always)]
pub unsafe fn exact(object: *mut ffi::PyObject) -> Exact {
    // SAFETY: these are addresses of static types.
    let (str_, int, bytes, float, bool_, tuple) = (
        &raw mut ffi::PyUnicode_Type,
        &raw mut ffi::PyLong_Type,
        &raw mut ffi::PyBytes_Type,
        &raw mut ffi::PyFloat_Type,
        &raw mut ffi::PyBool_Type,
        &raw mut ffi::PyTuple_Type,
    );
    // SAFETY: the caller's promise.
    let own = unsafe { type_of(object) };
    if own == str_ {
        Exact::Str
    } else if own == int {
        Exact::Int
    } else if own == tuple {
        Exact::Tuple
    } else if own == float {
        Exact::Float
    } else if own == bytes {
        Exact::Bytes
    } else if own == bool_ {
        Exact::Bool
    // SAFETY: `None` is a static object.
    } else if object == unsafe { ffi::Py_None() } {
        Exact::None
    } else {
        Exact::Other
    }
}

// ---- int ----

/// The head of an `int`, for every version on 64-bit platforms: a word that holds sign and number of digits, then the
/// digits of 30 bits.
#[repr(C)]
struct Int {
    object: ffi::PyObject,
    size: isize,
    digits: [u32; 1],
}

/// (number of digits, sign and number of digits as one comparable word)
#[inline(always)]
unsafe fn int_size(int: *const Int) -> (usize, isize) {
    // SAFETY: the caller passes an exact `int`.
    let size = unsafe { (*int).size };
    #[cfg(Py_3_12)]
    let (count, word) = ((size as usize) >> 3, size & !0b100);
    #[cfg(not(Py_3_12))]
    let (count, word) = (size.unsigned_abs(), size);
    (count, word)
}

/// The hash of an `int` of at most two digits (60 bits), or `None` for a larger one.
///
/// # Safety
/// `object` is an exact `int`.
#[inline(always)]
pub unsafe fn short_int_hash(object: *mut ffi::PyObject) -> Option<isize> {
    let int = object.cast::<Int>();
    // SAFETY: an exact `int` has this head, and as many digits as it says. A zero has none; what stands in their place is not
    // used. A value of less than 61 bits is its own hash, but −1, whose hash is −2.
    unsafe {
        let digits = (&raw const (*int).digits).cast::<u32>();
        let low = *digits as isize;
        let long = |sign: isize| sign * ((*digits.add(1) as isize) << 30 | low);
        let size = (*int).size;
        #[cfg(Py_3_12)]
        return match size & !0b100 {
            8 => Some(low),
            1 => Some(0),
            10 => Some(if low == 1 { -2 } else { -low }),
            16 => Some(long(1)),
            18 => Some(long(-1)),
            _ => None,
        };
        #[cfg(not(Py_3_12))]
        return match size {
            1 => Some(low),
            0 => Some(0),
            -1 => Some(if low == 1 { -2 } else { -low }),
            2 => Some(long(1)),
            -2 => Some(long(-1)),
            _ => None,
        };
    }
}

/// The value of an `int` that is zero or has one digit and is positive; `None` for another.
///
/// # Safety
/// `object` is an exact `int`.
#[inline(always)]
pub unsafe fn plain_digit(object: *mut ffi::PyObject) -> Option<u32> {
    let int = object.cast::<Int>();
    // SAFETY: an exact `int` has this head. A zero has no digit; what stands in its place is not used.
    unsafe {
        let size = (*int).size;
        #[cfg(Py_3_12)]
        return match size & !0b100 {
            8 => Some((*int).digits[0]),
            1 => Some(0),
            _ => None,
        };
        #[cfg(not(Py_3_12))]
        return (size as usize <= 1).then(|| (*int).digits[0] & (size as u32).wrapping_neg());
    }
}

/// Whether `a` is an `int` equal to `b`, which has a [`plain_digit`]; may say no of equal zeros.
///
/// # Safety
/// `a` is alive; `b` is an exact `int` with a plain digit.
#[inline(always)]
pub unsafe fn same_digit(a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> bool {
    // SAFETY: `a` is looked into if it is an exact `int`; equal sizes mean that it has one digit, as `b`, or is zero.
    unsafe {
        if !is_exact(a, &raw mut ffi::PyLong_Type) {
            return false;
        }
        let (a, b) = (a.cast::<Int>(), b.cast::<Int>());
        (*a).size == (*b).size && (*a).digits[0] == (*b).digits[0]
    }
}

/// Whether an `int` is negative, and the digits of 30 bits of its magnitude, the lowest first.
///
/// # Safety
/// `object` is an `int`, maybe of a derived type, that outlives the result.
pub unsafe fn int_digits<'a>(object: *mut ffi::PyObject) -> (bool, &'a [u32]) {
    let int = object.cast::<Int>();
    // SAFETY: every `int` has this head and `count` digits after it.
    unsafe {
        let (count, word) = int_size(int);
        #[cfg(Py_3_12)]
        let negative = word & 0b11 == 0b10;
        #[cfg(not(Py_3_12))]
        let negative = word < 0;
        (negative, std::slice::from_raw_parts((&raw const (*int).digits).cast::<u32>(), count))
    }
}

/// Whether two ints are equal.
///
/// # Safety
/// Both are exact `int`s.
#[inline(always)]
pub unsafe fn ints_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> bool {
    let (a, b) = (a.cast::<Int>(), b.cast::<Int>());
    // SAFETY: exact `int`s have this head and `count` digits after it.
    unsafe {
        let (count, word) = int_size(a);
        if word != int_size(b).1 {
            return false;
        }
        let (a, b) = ((&raw const (*a).digits).cast::<u32>(), (&raw const (*b).digits).cast::<u32>());
        // One digit is the usual case; a zero has none, and what stands in its place does not count.
        count == 0 || (*a == *b && (1..count).all(|i| *a.add(i) == *b.add(i)))
    }
}

// ---- str ----

/// The hash that a `str` keeps, or −1 where it was not computed yet.
///
/// # Safety
/// `object` is a `str`.
#[inline(always)]
pub unsafe fn kept_str_hash(object: *mut ffi::PyObject) -> isize {
    // SAFETY: every `str` has this head. Relaxed: the hash depends on nothing else, and every thread computes the same.
    unsafe { AtomicIsize::from_ptr(&raw mut (*object.cast::<ffi::PyASCIIObject>()).hash).load(Ordering::Relaxed) }
}

/// Where `kind` (3 bits), `compact` and `ascii` (1 bit each) stand in a `str`'s word of state.
const KIND_SHIFT: u32 = if cfg!(all(Py_3_14, Py_GIL_DISABLED)) { 8 } else { 2 };

/// Whether two strings are equal; `None` for a legacy representation that is not ready to be compared.
///
/// # Safety
/// Both are exact `str`s.
#[inline(always)]
pub unsafe fn strs_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> Option<bool> {
    // SAFETY: exact `str`s have this head. A compact one's characters follow it directly, `length` of them in `kind` bytes
    // each, after the ASCII head if `ascii` is set and after the longer one if not. Equal compact strings are represented alike.
    unsafe {
        let (x, y) = (a.cast::<ffi::PyASCIIObject>(), b.cast::<ffi::PyASCIIObject>());
        if (*x).length != (*y).length {
            return Some(false);
        }
        let form = ((*x).state >> KIND_SHIFT) & 0b11111;
        let other = ((*y).state >> KIND_SHIFT) & 0b11111;
        if form & other & 0b01000 == 0 {
            return None;
        }
        if form != other {
            return Some(false);
        }
        let head = if form & 0b10000 != 0 {
            size_of::<ffi::PyASCIIObject>()
        } else {
            size_of::<ffi::PyCompactUnicodeObject>()
        };
        let bytes = (*x).length as usize * (form & 0b111) as usize;
        Some(same_bytes(a.byte_add(head).cast(), b.byte_add(head).cast(), bytes))
    }
}

#[inline(always)]
unsafe fn same_bytes(a: *const c_void, b: *const c_void, length: usize) -> bool {
    // SAFETY: the callers pass `length` readable bytes each.
    unsafe { std::slice::from_raw_parts(a.cast::<u8>(), length) == std::slice::from_raw_parts(b.cast::<u8>(), length) }
}

// ---- objects that are compared by identity ----

/// The hash of an object whose type takes `object.__hash__`, as that computes it; `None` for others.
///
/// # Safety
/// `object` is alive.
#[inline(always)]
pub unsafe fn address_hash(object: *mut ffi::PyObject) -> Option<isize> {
    // SAFETY: the caller's promise; both types are ready, so their slots are set.
    unsafe {
        let (own, inherited) = ((*type_of(object)).tp_hash?, ffi::PyBaseObject_Type.tp_hash?);
        // Objects are aligned to 8 bytes, so four bits rotated out leave no address at -1, which would mean an error.
        (own as usize == inherited as usize).then(|| (object as usize).rotate_right(4) as isize)
    }
}

// ---- bytes, float ----

/// Whether two `bytes` are equal.
///
/// # Safety
/// Both are exact `bytes`.
pub unsafe fn bytes_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> bool {
    // SAFETY: exact `bytes` have a size and as many bytes.
    unsafe {
        let length = ffi::PyBytes_Size(a);
        length == ffi::PyBytes_Size(b)
            && same_bytes(ffi::PyBytes_AsString(a).cast(), ffi::PyBytes_AsString(b).cast(), length as usize)
    }
}

/// Whether two floats are equal (a NaN to nothing).
///
/// # Safety
/// Both are exact `float`s.
pub unsafe fn floats_equal(a: *mut ffi::PyObject, b: *mut ffi::PyObject) -> bool {
    // SAFETY: exact `float`s.
    unsafe { ffi::PyFloat_AS_DOUBLE(a) == ffi::PyFloat_AS_DOUBLE(b) }
}
