//! Bytes to values.
//!
//! Ring 3. The bytes may be anything: every length is compared with what is left before it is believed, and nesting is
//! limited. No user code runs but for what a pickle brings.

use pyo3::ffi;

use super::{classify_exception, names, pickle, standard, Decoded, Sharing, Stop};
use crate::capi::reference::{calls, PyRef};
use engine::wire_format::{header, tag, unzigzag, Reader, MAX_DEPTH};

/// Reads a value. A pickle is trusted as far as `pickle` trusts it: whoever may write the file may run code.
///
/// # Safety
/// The thread is attached and holds no lock. Runs user code.
pub unsafe fn decode_value(bytes: &[u8]) -> Decoded {
    let Some((&first, body)) = bytes.split_first() else {
        return Decoded::Damaged;
    };
    // SAFETY: the caller's promise.
    unsafe {
        let sharing = match first {
            header::IMMUTABLE => Sharing::Immutable,
            header::CONTAINERS => Sharing::Containers,
            header::PICKLED => return pickle::load(body, Sharing::Pickled),
            header::PICKLED_IMMUTABLE => return pickle::load(body, Sharing::Immutable),
            _ => return Decoded::Damaged,
        };
        let mut decoder = Decoder::new(body);
        let read = match decoder.reader.byte() {
            Some(tag) => decoder.read(tag, MAX_DEPTH),
            None => Err(DecodeError::Damaged),
        };
        match read {
            Ok(object) if decoder.reader.is_done() && decoder.containers == (sharing == Sharing::Containers) => {
                Decoded::Object(object, sharing)
            }
            Ok(_) | Err(DecodeError::Damaged) => Decoded::Damaged,
            // TypeError for a list as the key of a dict, say; what stays set is MemoryError.
            Err(DecodeError::ErrSet) => match classify_exception() {
                Stop::Unstorable => Decoded::Damaged,
                Stop::Failed => Decoded::Failed,
            },
        }
    }
}

/// Why nothing was read.
pub(super) enum DecodeError {
    Damaged,
    /// An exception is set.
    ErrSet,
}

/// The bytes ended too early, or announced what can't be.
pub(super) fn or_damaged<T>(read: Option<T>) -> Result<T, DecodeError> {
    read.ok_or(DecodeError::Damaged)
}

#[inline(always)]
pub(super) unsafe fn made(object: *mut ffi::PyObject) -> Result<PyRef, DecodeError> {
    if object.is_null() {
        return Err(DecodeError::ErrSet);
    }
    // SAFETY: the callers pass a strong reference or null.
    Ok(unsafe { PyRef::steal(object) })
}

pub(super) struct Decoder<'a> {
    pub reader: Reader<'a>,
    /// Whether there was a list, dict or set.
    containers: bool,
}

impl<'a> Decoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Decoder { reader: Reader::new(bytes), containers: false }
    }

    /// # Safety
    /// The thread is attached.
    pub unsafe fn read(&mut self, tag: u8, depth: u32) -> Result<PyRef, DecodeError> {
        // SAFETY: the caller's promise; new references throughout, `None`, `True` and `False` are borrowed.
        unsafe {
            let reader = &mut self.reader;
            match tag {
                0..tag::SHORT_STR => made(ffi::PyLong_FromLong(tag.into())),
                tag::SHORT_STR..tag::SHORT_TUPLE => ascii(or_damaged(reader.bytes((tag - tag::SHORT_STR).into()))?),
                tag::SHORT_TUPLE..tag::SHORT_LIST => self.tuple((tag - tag::SHORT_TUPLE).into(), depth),
                tag::SHORT_LIST..tag::SHORT_DICT => self.list((tag - tag::SHORT_LIST).into(), depth),
                tag::SHORT_DICT..tag::NONE => self.dict((tag - tag::SHORT_DICT).into(), depth),
                tag::NONE => Ok(PyRef::borrow(ffi::Py_None())),
                tag::FALSE => Ok(PyRef::borrow(ffi::Py_False())),
                tag::TRUE => Ok(PyRef::borrow(ffi::Py_True())),
                tag::INT => made(ffi::PyLong_FromLongLong(unzigzag(or_damaged(reader.varint())?))),
                tag::BIG_POSITIVE => big_int(or_damaged(reader.sized(1))?),
                tag::BIG_NEGATIVE => {
                    let magnitude = big_int(or_damaged(reader.sized(1))?)?;
                    made(ffi::PyNumber_Negative(magnitude.as_ptr()))
                }
                tag::FLOAT => made(ffi::PyFloat_FromDouble(or_damaged(reader.double())?)),
                tag::COMPLEX => {
                    let real = or_damaged(reader.double())?;
                    made(ffi::PyComplex_FromDoubles(real, or_damaged(reader.double())?))
                }
                tag::STR_ASCII => ascii(or_damaged(reader.sized(1))?),
                tag::STR_1 => latin1(or_damaged(reader.sized(1))?),
                tag::STR_2 => wide::<u16>(or_damaged(reader.sized(2))?),
                tag::STR_4 => wide::<u32>(or_damaged(reader.sized(4))?),
                tag::BYTES => {
                    let bytes = or_damaged(reader.sized(1))?;
                    made(ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t))
                }
                tag::TUPLE..=tag::FROZENSET => {
                    let count = or_damaged(reader.varint())?;
                    match tag {
                        tag::TUPLE => self.tuple(count, depth),
                        tag::LIST => self.list(count, depth),
                        tag::DICT => self.dict(count, depth),
                        _ => self.set(count, tag, depth),
                    }
                }
                tag::STANDARD => self.standard(depth),
                _ => Err(DecodeError::Damaged),
            }
        }
    }

    /// An object of the standard library, by its class and what its constructor is given.
    unsafe fn standard(&mut self, depth: u32) -> Result<PyRef, DecodeError> {
        let class = or_damaged(self.reader.byte())?;
        self.announce(1, 1, depth)?;
        // SAFETY: as for `read`.
        unsafe {
            let parts = self.item(depth)?;
            if ffi::PyTuple_CheckExact(parts.as_ptr()) == 0 {
                return Err(DecodeError::Damaged);
            }
            match or_damaged(standard::make(class, &parts))? {
                Ok(object) => Ok(object),
                Err(Stop::Unstorable) => Err(DecodeError::Damaged),
                Err(Stop::Failed) => Err(DecodeError::ErrSet),
            }
        }
    }

    #[inline(always)]
    unsafe fn item(&mut self, depth: u32) -> Result<PyRef, DecodeError> {
        let tag = or_damaged(self.reader.item())?;
        // SAFETY: as for `read`.
        unsafe { self.read(tag, depth - 1) }
    }

    /// [`item`](Self::item) where it is the key of a dict.
    #[inline(always)]
    unsafe fn key(&mut self, depth: u32) -> Result<PyRef, DecodeError> {
        let tag = or_damaged(self.reader.item())?;
        // SAFETY: as for `read`; `ascii` makes what it promises to `name`.
        unsafe {
            if (tag::SHORT_STR..tag::SHORT_TUPLE).contains(&tag) {
                let characters = or_damaged(self.reader.bytes((tag - tag::SHORT_STR).into()))?;
                return names::name(characters, || ascii(characters));
            }
            self.read(tag, depth - 1)
        }
    }

    fn announce(&mut self, count: u64, each: usize, depth: u32) -> Result<usize, DecodeError> {
        if depth == 0 {
            return Err(DecodeError::Damaged);
        }
        or_damaged(self.reader.announce(count, each))
    }

    unsafe fn tuple(&mut self, count: u64, depth: u32) -> Result<PyRef, DecodeError> {
        let count = self.announce(count, 1, depth)?;
        // SAFETY: each place of the new tuple is filled once; one that is given up may have empty places.
        unsafe {
            let tuple = made(calls::PyTuple_New(count as ffi::Py_ssize_t))?;
            for at in 0..count {
                let item = self.item(depth)?;
                ffi::PyTuple_SET_ITEM(tuple.as_ptr(), at as ffi::Py_ssize_t, item.into_ptr());
            }
            Ok(tuple)
        }
    }

    unsafe fn list(&mut self, count: u64, depth: u32) -> Result<PyRef, DecodeError> {
        let count = self.announce(count, 1, depth)?;
        self.containers = true;
        // SAFETY: as for `tuple`.
        unsafe {
            let list = made(calls::PyList_New(count as ffi::Py_ssize_t))?;
            for at in 0..count {
                let item = self.item(depth)?;
                ffi::PyList_SET_ITEM(list.as_ptr(), at as ffi::Py_ssize_t, item.into_ptr());
            }
            Ok(list)
        }
    }

    unsafe fn dict(&mut self, count: u64, depth: u32) -> Result<PyRef, DecodeError> {
        let count = self.announce(count, 2, depth)?;
        self.containers = true;
        // SAFETY: keys are exact built-in types, whose hashing and comparing runs no user code.
        unsafe {
            let dict = made(calls::PyDict_New())?;
            for _ in 0..count {
                let key = self.key(depth)?;
                let value = self.item(depth)?;
                if calls::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) != 0 {
                    return Err(DecodeError::ErrSet);
                }
            }
            // Two equal keys are no dict's.
            or_damaged((ffi::PyDict_Size(dict.as_ptr()) as usize == count).then_some(dict))
        }
    }

    unsafe fn set(&mut self, count: u64, tag: u8, depth: u32) -> Result<PyRef, DecodeError> {
        let count = self.announce(count, 1, depth)?;
        // SAFETY: as for `dict`. `PySet_Add` takes a frozenset that nobody else has a reference to.
        unsafe {
            let set = if tag == tag::SET {
                self.containers = true;
                made(calls::PySet_New(std::ptr::null_mut()))?
            } else if count == 0 {
                return made(calls::PyFrozenSet_New(std::ptr::null_mut()));
            } else {
                new_frozenset()?
            };
            for _ in 0..count {
                let item = self.item(depth)?;
                if calls::PySet_Add(set.as_ptr(), item.as_ptr()) != 0 {
                    return Err(DecodeError::ErrSet);
                }
            }
            or_damaged((ffi::PySet_Size(set.as_ptr()) as usize == count).then_some(set))
        }
    }
}

/// A frozenset of its own, to be filled: `PyFrozenSet_New(NULL)` gives the same one to all on some versions.
unsafe fn new_frozenset() -> Result<PyRef, DecodeError> {
    // SAFETY: new references; an empty tuple is iterable.
    unsafe {
        let empty = made(calls::PyTuple_New(0))?;
        made(calls::PyFrozenSet_New(empty.as_ptr()))
    }
}

#[inline]
unsafe fn ascii(characters: &[u8]) -> Result<PyRef, DecodeError> {
    if !characters.is_ascii() {
        return Err(DecodeError::Damaged);
    }
    // SAFETY: a new `str` of that many characters of one byte, which nobody else knows yet.
    unsafe {
        if characters.len() < 2 {
            // These are one object for all.
            return characters_of(1, characters.as_ptr(), characters.len());
        }
        let str = made(ffi::PyUnicode_New(characters.len() as ffi::Py_ssize_t, 0x7F))?;
        let place = ffi::PyUnicode_DATA(str.as_ptr()).cast::<u8>();
        place.copy_from_nonoverlapping(characters.as_ptr(), characters.len());
        Ok(str)
    }
}

unsafe fn latin1(characters: &[u8]) -> Result<PyRef, DecodeError> {
    // SAFETY: `PyUnicode_FromKindAndData` takes any characters of one byte.
    unsafe { characters_of(1, characters.as_ptr(), characters.len()) }
}

unsafe fn characters_of(kind: std::ffi::c_int, data: *const u8, length: usize) -> Result<PyRef, DecodeError> {
    // SAFETY: the callers pass that many characters, aligned, and below 0x110000.
    unsafe { made(ffi::PyUnicode_FromKindAndData(kind, data.cast(), length as ffi::Py_ssize_t)) }
}

/// A character of two or four bytes.
trait Character: Copy + Into<u32> {
    fn from_bytes(bytes: &[u8]) -> Self;
}

impl Character for u16 {
    fn from_bytes(bytes: &[u8]) -> Self {
        u16::from_ne_bytes([bytes[0], bytes[1]])
    }
}

impl Character for u32 {
    fn from_bytes(bytes: &[u8]) -> Self {
        u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

unsafe fn wide<C: Character>(bytes: &[u8]) -> Result<PyRef, DecodeError> {
    let characters: Vec<C> = bytes.chunks_exact(size_of::<C>()).map(C::from_bytes).collect();
    if characters.iter().any(|&c| c.into() > 0x10_FFFF) {
        return Err(DecodeError::Damaged);
    }
    // SAFETY: characters of this width, aligned, none out of range (lone surrogates are characters).
    unsafe { characters_of(size_of::<C>() as std::ffi::c_int, characters.as_ptr().cast(), characters.len()) }
}

unsafe fn big_int(magnitude: &[u8]) -> Result<PyRef, DecodeError> {
    // SAFETY: little-endian, unsigned.
    unsafe { made(ffi::_PyLong_FromByteArray(magnitude.as_ptr(), magnitude.len(), 1, 0)) }
}
