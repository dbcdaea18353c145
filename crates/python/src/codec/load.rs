//! What a key's bytes say, as an object: to see whether they say enough.
//!
//! Ring 3. The bytes were written a moment ago, by this process. Where a class defines `__eq__` and its own pickled form, the
//! form may leave out what the comparison looks at, and the spelling of keys takes for one what is equal, while this class
//! may not. So its bytes are read back: if the object that comes of them equals the original, then two originals with the
//! same bytes equal each other, by way of it.

use std::collections::HashMap;

use pyo3::ffi;
use pyo3::prelude::*;

use super::decode::{made, or_damaged, DecodeError, Decoder};
use super::global::Function;
use super::named::{Hash, HASH};
use super::{classify_exception, Stop};
use crate::capi::borrowed::Ref;
use crate::capi::reference::{calls, new_tuple, PyRef};
use engine::wire_format::{key, tag};

/// What was spelled by a hash.
pub type Named = HashMap<Hash, PyRef>;

static REBUILT: Function = Function::new(c"warp_cache._naming.named", c"rebuilt");
static RATIO: Function = Function::new(c"warp_cache._naming.named", c"ratio");
static ITEMS: Function = Function::new(c"warp_cache._naming.named", c"items");
static MEMBER: Function = Function::new(c"warp_cache._naming.named", c"member");

/// The object of these bytes. An `Exception` that user code raises on the way is dropped, and there is none.
///
/// # Safety
/// The thread is attached and holds no lock. Runs user code.
pub unsafe fn load(bytes: &[u8], named: &Named) -> Result<PyRef, Stop> {
    let mut loader = Loader { decoder: Decoder::new(bytes), named };
    // SAFETY: the caller's promise.
    match unsafe { loader.read() } {
        Ok(object) if loader.decoder.reader.is_done() => Ok(object),
        Ok(_) | Err(Wrong::Stop(Stop::Unstorable)) | Err(Wrong::DecodeError(DecodeError::Damaged)) => {
            Err(Stop::Unstorable)
        }
        Err(Wrong::Stop(Stop::Failed)) => Err(Stop::Failed),
        // SAFETY: the thread is attached (the caller's promise), and an exception is set.
        Err(Wrong::DecodeError(DecodeError::ErrSet)) => Err(unsafe { classify_exception() }),
    }
}

/// Why nothing was read.
enum Wrong {
    DecodeError(DecodeError),
    Stop(Stop),
}

impl From<DecodeError> for Wrong {
    fn from(bad: DecodeError) -> Self {
        Wrong::DecodeError(bad)
    }
}

impl From<Stop> for Wrong {
    fn from(stop: Stop) -> Self {
        Wrong::Stop(stop)
    }
}

struct Loader<'a> {
    decoder: Decoder<'a>,
    named: &'a Named,
}

impl Loader<'_> {
    /// # Safety
    /// As for [`load`]; so for all methods.
    unsafe fn read(&mut self) -> Result<PyRef, Wrong> {
        let tag = or_damaged(self.decoder.reader.byte())?;
        // SAFETY: the caller's promise; singletons live for ever.
        unsafe {
            match tag {
                tag::SHORT_TUPLE..tag::SHORT_LIST => self.tuple((tag - tag::SHORT_TUPLE).into()),
                tag::SHORT_LIST..tag::SHORT_DICT => self.list((tag - tag::SHORT_LIST).into()),
                tag::SHORT_DICT..tag::NONE => self.dict((tag - tag::SHORT_DICT).into()),
                tag::TUPLE => {
                    let count = self.count()?;
                    self.tuple(count)
                }
                tag::LIST => {
                    let count = self.count()?;
                    self.list(count)
                }
                tag::DICT => {
                    let count = self.count()?;
                    self.dict(count)
                }
                tag::SET | tag::FROZENSET => self.set(tag),
                tag::ELLIPSIS => Ok(PyRef::borrow(ffi::Py_Ellipsis())),
                key::NOT_IMPLEMENTED => Ok(PyRef::borrow(ffi::Py_NotImplemented())),
                key::RATIO => {
                    let (numerator, denominator) = (self.read()?, self.read()?);
                    Ok(RATIO.call(&[numerator.as_ptr(), denominator.as_ptr()])?)
                }
                key::RANGE => self.range(),
                key::GLOBAL => self.global(),
                key::ENUM_MEMBER => {
                    let (class, name) = (self.read()?, self.read()?);
                    Ok(MEMBER.call(&[class.as_ptr(), name.as_ptr()])?)
                }
                key::ENUM_VALUE => {
                    let (class, value) = (self.read()?, self.read()?);
                    let call = calls::PyObject_Vectorcall;
                    Ok(made(call(class.as_ptr(), [value.as_ptr()].as_ptr(), 1, std::ptr::null_mut()))?)
                }
                key::BYTEARRAY => {
                    let bytes = or_damaged(self.decoder.reader.sized(1))?;
                    Ok(made(ffi::PyByteArray_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t))?)
                }
                key::REDUCED | key::REDUCED_EXACTLY => self.reduced(),
                atom => Ok(self.decoder.read(atom, 1)?),
            }
        }
    }

    fn count(&mut self) -> Result<u64, Wrong> {
        Ok(or_damaged(self.decoder.reader.varint())?)
    }

    unsafe fn many(&mut self, count: u64) -> Result<Vec<PyRef>, Wrong> {
        // SAFETY: the caller's promise.
        (0..count).map(|_| unsafe { self.read() }).collect()
    }

    unsafe fn tuple(&mut self, count: u64) -> Result<PyRef, Wrong> {
        // SAFETY: the items live until the tuple has them.
        unsafe {
            let items = self.many(count)?;
            new_tuple(Python::assume_attached(), items.iter().map(|item| Ref::new(item.as_ptr())))
                .ok_or(Wrong::DecodeError(DecodeError::ErrSet))
        }
    }

    unsafe fn list(&mut self, count: u64) -> Result<PyRef, Wrong> {
        // SAFETY: each place of the new list is filled once.
        unsafe {
            let items = self.many(count)?;
            let list = made(calls::PyList_New(items.len() as ffi::Py_ssize_t))?;
            for (at, item) in items.into_iter().enumerate() {
                ffi::PyList_SET_ITEM(list.as_ptr(), at as ffi::Py_ssize_t, item.into_ptr());
            }
            Ok(list)
        }
    }

    unsafe fn dict(&mut self, count: u64) -> Result<PyRef, Wrong> {
        // SAFETY: a new dict; the keys may run user code.
        unsafe {
            let dict = made(calls::PyDict_New())?;
            for _ in 0..count {
                let (key, value) = (self.read()?, self.read()?);
                if calls::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) != 0 {
                    return Err(DecodeError::ErrSet.into());
                }
            }
            Ok(dict)
        }
    }

    unsafe fn set(&mut self, tag: u8) -> Result<PyRef, Wrong> {
        // SAFETY: both are made of a tuple, whose items may run user code.
        unsafe {
            let count = self.count()?;
            let items = self.tuple(count)?;
            let make = if tag == tag::SET { calls::PySet_New } else { calls::PyFrozenSet_New };
            Ok(made(make(items.as_ptr()))?)
        }
    }

    unsafe fn range(&mut self) -> Result<PyRef, Wrong> {
        // SAFETY: as for `read`.
        unsafe {
            let mut parts = Vec::new();
            if self.decoder.reader.peek() == Some(key::ABSENT) {
                self.decoder.reader.byte();
            } else {
                let (first, last) = (self.read()?, self.read()?);
                let one = crate::capi::layout::ints_equal(&first, &last);
                parts.extend([first, last]);
                if !one {
                    parts.push(self.read()?);
                }
            }
            Ok(ITEMS.call(&parts.iter().map(PyRef::as_ptr).collect::<Vec<_>>())?)
        }
    }

    unsafe fn global(&mut self) -> Result<PyRef, Wrong> {
        let bytes = or_damaged(self.decoder.reader.bytes(HASH))?;
        let hash = Hash::try_from(bytes).map_err(|_| DecodeError::Damaged)?;
        // SAFETY: attached.
        Ok(unsafe { PyRef::borrow(or_damaged(self.named.get(&hash))?.as_ptr()) })
    }

    /// The count of parts, the class, then the parts.
    unsafe fn reduced(&mut self) -> Result<PyRef, Wrong> {
        // SAFETY: as for `read`; the parts live until the call has ended.
        unsafe {
            let count = or_damaged(self.decoder.reader.byte())?;
            drop(self.read()?);
            let mut parts = Vec::new();
            for at in 0..count {
                parts.push(match at {
                    3 => self.items()?,
                    4 => self.pairs()?,
                    _ => self.read()?,
                });
            }
            Ok(REBUILT.call(&parts.iter().map(PyRef::as_ptr).collect::<Vec<_>>())?)
        }
    }

    /// Items up to the mark of their end.
    unsafe fn items(&mut self) -> Result<PyRef, Wrong> {
        let mut items = Vec::new();
        // SAFETY: as for `read`.
        unsafe {
            while self.decoder.reader.peek() != Some(key::ABSENT) {
                items.push(self.read()?);
            }
            self.decoder.reader.byte();
            new_tuple(Python::assume_attached(), items.iter().map(|item| Ref::new(item.as_ptr())))
                .ok_or(Wrong::DecodeError(DecodeError::ErrSet))
        }
    }

    /// Keys and values, or the mark that there are none.
    unsafe fn pairs(&mut self) -> Result<PyRef, Wrong> {
        // SAFETY: as for `read`.
        unsafe {
            if self.decoder.reader.peek() == Some(key::ABSENT) {
                self.decoder.reader.byte();
                return Ok(PyRef::borrow(ffi::Py_None()));
            }
            let count = match or_damaged(self.decoder.reader.byte())? {
                tag::DICT => self.count()?,
                short => u64::from(short.wrapping_sub(tag::SHORT_DICT)),
            };
            let mut pairs = Vec::new();
            for _ in 0..count {
                pairs.push(self.tuple(2)?);
            }
            new_tuple(Python::assume_attached(), pairs.iter().map(|item| Ref::new(item.as_ptr())))
                .ok_or(Wrong::DecodeError(DecodeError::ErrSet))
        }
    }
}

/// Whether an object equals what its bytes, which were just written, load to.
///
/// # Safety
/// As for [`load`]; `object` is alive, and kept so by the caller.
pub unsafe fn says_enough(object: *mut ffi::PyObject, bytes: &[u8], named: &Named) -> Result<bool, Stop> {
    static IS_SAME: Function = Function::new(c"warp_cache._naming.named", c"is_same");
    // SAFETY: the caller's promise.
    unsafe {
        let same = load(bytes, named).and_then(|loaded| IS_SAME.call(&[object, loaded.as_ptr()]));
        match same {
            Ok(same) => Ok(same.as_ptr() == ffi::Py_True()),
            Err(Stop::Unstorable) => Ok(false),
            Err(Stop::Failed) => Err(Stop::Failed),
        }
    }
}
