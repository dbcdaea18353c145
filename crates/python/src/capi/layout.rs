//! What exact built-in objects look like inside: hashes and comparisons that need no call into Python.
//!
//! Ring 3. Only types whose equality cannot run user code appear here, and only exact instances of them: an [`Int`] or a
//! [`Str`] is made of an object by a look at its type, so what is read in it is there.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the layout of int is known for 64-bit platforms only");

use std::ffi::c_void;
use std::sync::atomic::{AtomicIsize, Ordering};

use pyo3::ffi;

use super::borrowed::Ref;
use super::reference::{tuple_items, PyRef};

impl Ref<'_> {
    /// The object's type. (`Py_TYPE`, which is a function with a call since 3.14.)
    #[inline(always)]
    pub fn kind(self) -> *mut ffi::PyTypeObject {
        // SAFETY: it is alive. An object's type changes only by assignment to `__class__`, under the interpreter's lock or
        // with the world stopped.
        unsafe { (*self.as_ptr()).ob_type }
    }

    /// Whether the object is of this very type.
    #[inline(always)]
    pub fn is_exact(self, of: *mut ffi::PyTypeObject) -> bool {
        self.kind() == of
    }
}

/// An exact `int`.
#[derive(Clone, Copy, Debug)]
pub struct Int<'a>(Ref<'a>);

/// An exact `str`.
#[derive(Clone, Copy, Debug)]
pub struct Str<'a>(Ref<'a>);

/// An exact `bytes`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(Ref<'a>);

/// An exact `float`.
#[derive(Clone, Copy, Debug)]
pub struct Float<'a>(Ref<'a>);

/// An exact `tuple`.
#[derive(Clone, Copy, Debug)]
pub struct Tuple<'a>(Ref<'a>);

/// The exact built-in types as the cache sees them.
#[derive(Clone, Copy, Debug)]
pub enum Exact<'a> {
    Str(Str<'a>),
    Int(Int<'a>),
    Bytes(Bytes<'a>),
    Float(Float<'a>),
    Bool,
    None,
    Tuple(Tuple<'a>),
    /// Anything else: its `__eq__` may be the user's.
    Other,
}

impl<'a> Ref<'a> {
    /// Which of the types above the object is exactly.
    #[inline(always)]
    pub fn exact(self) -> Exact<'a> {
        let own = self.kind();
        if own == &raw mut ffi::PyUnicode_Type {
            Exact::Str(Str(self))
        } else if own == &raw mut ffi::PyLong_Type {
            Exact::Int(Int(self))
        } else if own == &raw mut ffi::PyTuple_Type {
            Exact::Tuple(Tuple(self))
        } else if own == &raw mut ffi::PyFloat_Type {
            Exact::Float(Float(self))
        } else if own == &raw mut ffi::PyBytes_Type {
            Exact::Bytes(Bytes(self))
        } else if own == &raw mut ffi::PyBool_Type {
            Exact::Bool
        // SAFETY: `None` is a static object.
        } else if self.as_ptr() == unsafe { ffi::Py_None() } {
            Exact::None
        } else {
            Exact::Other
        }
    }

    /// The object as an exact `int`.
    #[inline(always)]
    pub fn as_int(self) -> Option<Int<'a>> {
        self.is_exact(&raw mut ffi::PyLong_Type).then_some(Int(self))
    }

    /// The object as an exact `str`.
    #[inline(always)]
    pub fn as_str(self) -> Option<Str<'a>> {
        self.is_exact(&raw mut ffi::PyUnicode_Type).then_some(Str(self))
    }
}

// ---- int ----

/// The head of an `int`, for every version on 64-bit platforms: a word that holds sign and number of digits, then the
/// digits of 30 bits.
#[repr(C)]
struct IntHead {
    object: ffi::PyObject,
    size: isize,
    digits: [u32; 1],
}

/// (number of digits, sign and number of digits as one comparable word)
///
/// # Safety
/// An `int`'s head.
#[inline(always)]
unsafe fn int_size(int: *const IntHead) -> (usize, isize) {
    // SAFETY: the caller's promise.
    let size = unsafe { (*int).size };
    #[cfg(Py_3_12)]
    let (count, word) = ((size as usize) >> 3, size & !0b100);
    #[cfg(not(Py_3_12))]
    let (count, word) = (size.unsigned_abs(), size);
    (count, word)
}

impl Int<'_> {
    #[inline(always)]
    fn head(self) -> *const IntHead {
        self.0.as_ptr().cast()
    }

    /// The hash of an `int` of at most two digits (60 bits), or `None` for a larger one.
    #[inline(always)]
    pub fn short_hash(self) -> Option<isize> {
        let int = self.head();
        // SAFETY: an exact `int` has this head, and as many digits as it says. A zero has none; what stands in their place is
        // not used. A value of less than 61 bits is its own hash, but −1, whose hash is −2.
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
    #[inline(always)]
    pub fn plain_digit(self) -> Option<u32> {
        let int = self.head();
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

    /// Whether `other` is an `int` equal to this one, which has a [`plain_digit`](Self::plain_digit); may say no of equal zeros.
    #[inline(always)]
    pub fn is_same_digit(self, other: Ref<'_>) -> bool {
        let Some(other) = other.as_int() else { return false };
        let (a, b) = (other.head(), self.head());
        // SAFETY: exact `int`s have this head; equal sizes mean that both have one digit, or are zero.
        unsafe { (*a).size == (*b).size && (*a).digits[0] == (*b).digits[0] }
    }

    /// Whether two ints are equal.
    #[inline(always)]
    pub fn equals(self, other: Int<'_>) -> bool {
        let (a, b) = (self.head(), other.head());
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
}

/// Whether two objects are exact `int`s that are equal.
pub fn ints_equal(a: &PyRef, b: &PyRef) -> bool {
    // SAFETY: they keep their objects; nothing runs.
    let (a, b) = unsafe { (Ref::new(a.as_ptr()), Ref::new(b.as_ptr())) };
    matches!((a.as_int(), b.as_int()), (Some(a), Some(b)) if a.equals(b))
}

/// Whether an `int` is negative, and the digits of 30 bits of its magnitude, the lowest first.
///
/// # Safety
/// `object` is an `int`, maybe of a derived type.
pub unsafe fn int_digits<'a>(object: Ref<'a>) -> (bool, &'a [u32]) {
    let int = object.as_ptr().cast::<IntHead>();
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

// ---- str ----

/// Where `kind` (3 bits), `compact` and `ascii` (1 bit each) stand in a `str`'s word of state.
const KIND_SHIFT: u32 = if cfg!(all(Py_3_14, Py_GIL_DISABLED)) { 8 } else { 2 };

impl Str<'_> {
    /// The hash that a `str` keeps, or −1 where it was not computed yet.
    #[inline(always)]
    pub fn kept_hash(self) -> isize {
        let head = self.0.as_ptr().cast::<ffi::PyASCIIObject>();
        // SAFETY: every `str` has this head. Relaxed: the hash depends on nothing else, and every thread computes the same.
        unsafe { AtomicIsize::from_ptr(&raw mut (*head).hash).load(Ordering::Relaxed) }
    }

    /// Whether two strings are equal; `None` for a legacy representation that is not ready to be compared.
    #[inline(always)]
    pub fn equals(self, other: Str<'_>) -> Option<bool> {
        let (a, b) = (self.0.as_ptr(), other.0.as_ptr());
        // SAFETY: exact `str`s have this head. A compact one's characters follow it directly, `length` of them in `kind` bytes
        // each, after the ASCII head if `ascii` is set and after the longer one if not. Equal compact strings are represented
        // alike.
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
}

/// # Safety
/// `length` readable bytes each.
#[inline(always)]
unsafe fn same_bytes(a: *const c_void, b: *const c_void, length: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(a.cast::<u8>(), length) == std::slice::from_raw_parts(b.cast::<u8>(), length) }
}

// ---- objects that are compared by identity ----

impl Ref<'_> {
    /// The hash of an object whose type takes `object.__hash__`, as that computes it; `None` for others.
    #[inline(always)]
    pub fn address_hash(self) -> Option<isize> {
        // SAFETY: an object keeps its type; both types are ready, so their slots are set.
        let (own, inherited) = unsafe { ((*self.kind()).tp_hash?, ffi::PyBaseObject_Type.tp_hash?) };
        // Objects are aligned to 8 bytes, so four bits rotated out leave no address at -1, which would mean an error.
        (own as usize == inherited as usize).then(|| (self.as_ptr() as usize).rotate_right(4) as isize)
    }
}

// ---- bytes, float, tuple ----

impl<'a> Bytes<'a> {
    /// What it holds.
    #[inline]
    pub fn as_slice(self) -> &'a [u8] {
        let object = self.0.as_ptr();
        // SAFETY: an exact `bytes` has a size and as many bytes, which never change.
        unsafe {
            let length = ffi::PyBytes_Size(object) as usize;
            std::slice::from_raw_parts(ffi::PyBytes_AsString(object).cast(), length)
        }
    }
}

impl Float<'_> {
    pub fn value(self) -> f64 {
        // SAFETY: an exact `float`.
        unsafe { ffi::PyFloat_AS_DOUBLE(self.0.as_ptr()) }
    }
}

impl<'a> Tuple<'a> {
    /// The items of a tuple that is part of a key: it was hashed, so it is whole.
    #[inline(always)]
    pub fn items(self) -> &'a [Ref<'a>] {
        // SAFETY: an exact `tuple`, which keeps its items.
        unsafe { Ref::row(tuple_items(self.0.as_ptr())) }
    }
}
