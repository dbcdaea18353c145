//! Keys and values as text, for somebody who looks at a cache from outside.
//!
//! Ring 3. Our own format alone is read, by objects of built-in types that are made of its atoms for their `repr`. A pickle is
//! never loaded and no name is looked up, so no code runs that is not Python's own. The bytes may be anything.

mod of_key;

use std::borrow::Cow;

use pyo3::ffi;
use pyo3::prelude::*;

use super::decode::{made, Decoder};
use super::standard;
use crate::capi::exceptions;
use crate::capi::reference::PyRef;
use engine::wire_format::{header, key, put_sized, tag, Reader, MAX_DEPTH};

/// A longer magnitude has more digits than Python writes.
const LONGEST_INT: usize = 256;

/// What a value is.
pub struct ShownValue {
    /// The name of its type; `None` of a pickle, which says itself.
    pub kind: Option<Cow<'static, str>>,
    /// `None` of a pickle.
    pub text: Option<String>,
}

/// A value as text of about so many bytes; `None` if it is damaged.
///
/// # Safety
/// The thread is attached.
pub unsafe fn show_value(bytes: &[u8], limit: usize) -> Option<ShownValue> {
    let (&first, body) = bytes.split_first()?;
    if matches!(first, header::PICKLED | header::PICKLED_IMMUTABLE) {
        return Some(ShownValue { kind: None, text: None });
    }
    if !matches!(first, header::IMMUTABLE | header::CONTAINERS) {
        return None;
    }
    let kind = match body {
        [tag::STANDARD, class, ..] => standard::name(*class)?.into(),
        [first, ..] => kind_of(*first)?.into(),
        [] => return None,
    };
    let mut shower = Shower::new(body, limit);
    // SAFETY: the caller's promise.
    unsafe { shower.body(MAX_DEPTH) }?;
    let text = shower.take();
    shower.is_done().then_some(ShownValue { kind: Some(kind), text: Some(text) })
}

/// A call's key as its arguments, `(1, 'x', name=2)`, of about so many bytes; `None` if it is none that is known.
///
/// # Safety
/// The thread is attached.
pub unsafe fn show_key(bytes: &[u8], limit: usize) -> Option<String> {
    // Where types count, each value comes after its type.
    // SAFETY: the caller's promise.
    [false, true].into_iter().find_map(|typed| unsafe { call(bytes, limit, typed) })
}

unsafe fn call(bytes: &[u8], limit: usize, typed: bool) -> Option<String> {
    let mut shower = Shower::new(bytes, limit);
    let shape = shower.reader().varint()?;
    let count = shape >> 1;
    let named = if shape & 1 == 1 { shower.reader().varint()? } else { 0 };
    let positional = count.checked_sub(named)?;
    let mut values = Vec::new();
    // SAFETY: the caller's promise.
    unsafe {
        for _ in 0..count {
            if typed && shower.reader().peek()? == key::BUILTIN_TYPE {
                shower.reader().bytes(2)?;
            } else if typed {
                shower.muted(|shower| shower.body(MAX_DEPTH))?;
            }
            shower.body(MAX_DEPTH)?;
            values.push(shower.take());
        }
        for at in positional..count {
            shower.body(MAX_DEPTH)?;
            let name = shower.take();
            let value = &mut values[usize::try_from(at).ok()?];
            *value = format!("{}={value}", name.trim_matches('\''));
        }
    }
    shower.is_done().then(|| {
        // (What is beyond the limit is empty.)
        values.truncate(limit);
        format!("({})", values.join(", "))
    })
}

/// The type of what a body with this tag is.
fn kind_of(first: u8) -> Option<&'static str> {
    Some(match first {
        0..tag::SHORT_STR | tag::INT | tag::BIG_POSITIVE | tag::BIG_NEGATIVE => "int",
        tag::SHORT_STR..tag::SHORT_TUPLE | tag::STR_ASCII..=tag::STR_4 => "str",
        tag::SHORT_TUPLE..tag::SHORT_LIST | tag::TUPLE => "tuple",
        tag::SHORT_LIST..tag::SHORT_DICT | tag::LIST => "list",
        tag::SHORT_DICT..tag::NONE | tag::DICT => "dict",
        tag::NONE => "NoneType",
        tag::FALSE | tag::TRUE => "bool",
        tag::ELLIPSIS => "ellipsis",
        tag::FLOAT => "float",
        tag::COMPLEX => "complex",
        tag::BYTES => "bytes",
        tag::SET => "set",
        tag::FROZENSET => "frozenset",
        _ => return None,
    })
}

struct Shower<'a> {
    bytes: &'a [u8],
    decoder: Decoder<'a>,
    out: String,
    /// Bytes of text that are still to be written.
    left: usize,
    is_cut: bool,
}

impl<'a> Shower<'a> {
    fn new(bytes: &'a [u8], limit: usize) -> Self {
        Shower { bytes, decoder: Decoder::new(bytes), out: String::new(), left: limit, is_cut: false }
    }

    fn reader(&mut self) -> &mut Reader<'a> {
        &mut self.decoder.reader
    }

    fn is_done(&self) -> bool {
        self.decoder.reader.is_done()
    }

    fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    fn push(&mut self, text: &str) {
        if self.left == 0 {
            if !self.is_cut {
                self.out.push_str("...");
                self.is_cut = true;
            }
            return;
        }
        self.left = self.left.saturating_sub(text.len());
        self.out.push_str(text);
    }

    /// Reads something and writes nothing.
    fn muted<R>(&mut self, read: impl FnOnce(&mut Self) -> Option<R>) -> Option<R> {
        let (left, is_cut) = (std::mem::replace(&mut self.left, 0), std::mem::replace(&mut self.is_cut, true));
        let read = read(self);
        (self.left, self.is_cut) = (left, is_cut);
        read
    }

    /// # Safety
    /// The thread is attached; so for all methods.
    unsafe fn body(&mut self, depth: u32) -> Option<()> {
        let first = self.reader().byte()?;
        // SAFETY: the caller's promise.
        unsafe {
            match first {
                tag::SHORT_TUPLE..tag::SHORT_LIST => self.tuple((first - tag::SHORT_TUPLE).into(), depth),
                tag::SHORT_LIST..tag::SHORT_DICT => self.items("[", (first - tag::SHORT_LIST).into(), "]", depth),
                tag::SHORT_DICT..tag::NONE => self.dict((first - tag::SHORT_DICT).into(), depth),
                tag::TUPLE..=tag::FROZENSET => {
                    let count = self.reader().varint()?;
                    match first {
                        tag::TUPLE => self.tuple(count, depth),
                        tag::LIST => self.items("[", count, "]", depth),
                        tag::DICT => self.dict(count, depth),
                        tag::SET if count == 0 => self.say("set()"),
                        tag::SET => self.items("{", count, "}", depth),
                        _ if count == 0 => self.say("frozenset()"),
                        _ => self.items("frozenset({", count, "})", depth),
                    }
                }
                tag::ELLIPSIS => self.say("Ellipsis"),
                tag::STR_ASCII | tag::STR_1 | tag::BYTES => self.long(first, 1),
                tag::STR_2 => self.long(first, 2),
                tag::STR_4 => self.long(first, 4),
                tag::BIG_POSITIVE | tag::BIG_NEGATIVE => self.big_int(first),
                key::NOT_IMPLEMENTED..=key::BYTEARRAY => self.of_key(first, depth),
                tag::STANDARD => {
                    let Ok(read) = self.decoder.read(first, depth) else {
                        // Its constructor may have refused the parts.
                        drop(exceptions::take(Python::assume_attached()));
                        return None;
                    };
                    self.say_of(&read)
                }
                atom => {
                    let read = self.decoder.read(atom, 1).ok()?;
                    self.say_of(&read)
                }
            }
        }
    }

    fn say(&mut self, text: &str) -> Option<()> {
        self.push(text);
        Some(())
    }

    /// The `repr` of an object of a built-in type without parts.
    unsafe fn say_of(&mut self, object: &PyRef) -> Option<()> {
        if self.left == 0 {
            return self.say("");
        }
        // SAFETY: attached; an exact built-in object, whose `repr` runs no code of anybody else.
        let text = unsafe { made(ffi::PyObject_Repr(object.as_ptr())) };
        let Ok(text) = text else {
            // SAFETY: an exception is set: an int beyond the digits that Python writes, or no memory.
            drop(unsafe { exceptions::take(Python::assume_attached()) });
            return self.say("<int>");
        };
        let mut length = 0;
        // SAFETY: a `str`; its UTF-8 lives as long as it. A `repr` has no lone surrogates.
        let bytes = unsafe {
            let data = ffi::PyUnicode_AsUTF8AndSize(text.as_ptr(), &mut length);
            if data.is_null() {
                drop(exceptions::take(Python::assume_attached()));
                return None;
            }
            std::slice::from_raw_parts(data.cast::<u8>(), length as usize)
        };
        self.say(std::str::from_utf8(bytes).ok()?)
    }

    /// A long str or bytes, of which no more is made than is shown.
    unsafe fn long(&mut self, tag: u8, width: usize) -> Option<()> {
        let all = self.reader().sized(width)?;
        let count = all.len() / width;
        let shown = count.min(self.left);
        let mut spelled = Vec::new();
        put_sized(&mut spelled, tag, shown);
        spelled.extend_from_slice(&all[..shown * width]);
        let mut decoder = Decoder::new(&spelled);
        let first = decoder.reader.byte()?;
        // SAFETY: attached.
        unsafe {
            let read = decoder.read(first, 1).ok()?;
            self.say_of(&read)?;
        }
        if shown < count {
            self.left = 0;
            self.push("");
        }
        Some(())
    }

    unsafe fn big_int(&mut self, tag: u8) -> Option<()> {
        let magnitude = self.reader().sized(1)?;
        if magnitude.len() > LONGEST_INT {
            return self.say(&format!("<int of {} bits>", magnitude.len() * 8));
        }
        let mut spelled = Vec::new();
        put_sized(&mut spelled, tag, magnitude.len());
        spelled.extend_from_slice(magnitude);
        let mut decoder = Decoder::new(&spelled);
        let first = decoder.reader.byte()?;
        // SAFETY: attached.
        unsafe {
            let read = decoder.read(first, 1).ok()?;
            self.say_of(&read)
        }
    }

    unsafe fn tuple(&mut self, count: u64, depth: u32) -> Option<()> {
        // SAFETY: as for `body`.
        unsafe { self.items("(", count, if count == 1 { ",)" } else { ")" }, depth) }
    }

    unsafe fn items(&mut self, open: &str, count: u64, close: &str, depth: u32) -> Option<()> {
        let inner = depth.checked_sub(1)?;
        self.push(open);
        for at in 0..count {
            if at > 0 {
                self.push(", ");
            }
            // SAFETY: as for `body`.
            unsafe { self.body(inner) }?;
        }
        self.say(close)
    }

    unsafe fn dict(&mut self, count: u64, depth: u32) -> Option<()> {
        let inner = depth.checked_sub(1)?;
        self.push("{");
        for at in 0..count {
            if at > 0 {
                self.push(", ");
            }
            // SAFETY: as for `body`.
            unsafe {
                self.body(inner)?;
                self.push(": ");
                self.body(inner)?;
            }
        }
        self.say("}")
    }
}
