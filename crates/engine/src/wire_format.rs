//! The wire format: how values and keys are spelled in bytes, and the reader that believes none of them.
//!
//! Ring 1. A value is one header byte (see [`header`]) and a body; a body is a tag byte and what belongs to it, nested for
//! containers. Small numbers and lengths are part of the tag. A key is a sequence of bodies with tags of its own (see
//! [`key`]). Numbers are little-endian; characters of more than one byte are as the machine has them.
//!
//! No body is the beginning of another, so a sequence of bodies can be read in one way only.

use crate::varint;
pub use crate::varint::{put as put_varint, unzigzag, zigzag};

/// To be changed whenever bytes that exist would be read differently.
pub const VERSION: u32 = 3;

/// Containers nested deeper than this have no spelling.
pub const MAX_DEPTH: u32 = 100;

/// The first byte of a value.
pub mod header {
    /// A body follows; nothing in it can be changed.
    pub const IMMUTABLE: u8 = 0;
    /// A body follows; there are lists, dicts or sets in it.
    pub const CONTAINERS: u8 = 1;
    /// A pickle follows.
    pub const PICKLED: u8 = 2;
    /// A pickle follows, of an object that can't be changed.
    pub const PICKLED_IMMUTABLE: u8 = 3;
}

/// The first byte of a body.
pub mod tag {
    /// 0 to 63: an int.
    pub const SMALL_INT: u8 = 0x00;
    pub const SMALL_INTS: u64 = 64;
    /// 64 to 127: an ASCII str of up to 63 characters.
    pub const SHORT_STR: u8 = 0x40;
    pub const SHORT_STRS: usize = 64;
    /// 16 lengths each.
    pub const SHORT_TUPLE: u8 = 0x80;
    pub const SHORT_LIST: u8 = 0x90;
    pub const SHORT_DICT: u8 = 0xA0;
    pub const SHORTS: usize = 16;

    pub const NONE: u8 = 0xB0;
    pub const FALSE: u8 = 0xB1;
    pub const TRUE: u8 = 0xB2;
    pub const ELLIPSIS: u8 = 0xB3;
    /// A zigzag varint.
    pub const INT: u8 = 0xB4;
    /// Length, then the magnitude in little-endian bytes, the last of which is not zero.
    pub const BIG_POSITIVE: u8 = 0xB5;
    pub const BIG_NEGATIVE: u8 = 0xB6;
    /// The bits of a double.
    pub const FLOAT: u8 = 0xB7;
    /// Two doubles.
    pub const COMPLEX: u8 = 0xB8;
    /// Length, then characters of one byte below 128.
    pub const STR_ASCII: u8 = 0xB9;
    /// Length, then characters of one, two or four bytes. The widest character needs that width.
    pub const STR_1: u8 = 0xBA;
    pub const STR_2: u8 = 0xBB;
    pub const STR_4: u8 = 0xBC;
    /// Length, then bytes.
    pub const BYTES: u8 = 0xBD;
    /// Number of items, then items.
    pub const TUPLE: u8 = 0xBE;
    pub const LIST: u8 = 0xBF;
    pub const DICT: u8 = 0xC0;
    pub const SET: u8 = 0xC1;
    pub const FROZENSET: u8 = 0xC2;
    /// An object of the standard library that cannot be changed: the number of its class, and a tuple of what makes it.
    pub const STANDARD: u8 = 0xC3;
}

/// First bytes that occur in keys only.
pub mod key {
    pub const NOT_IMPLEMENTED: u8 = 0xD0;
    /// Two ints: a ratio that no float equals.
    pub const RATIO: u8 = 0xD1;
    pub const RANGE: u8 = 0xD2;
    /// The hash of what has a name: where it is found, and its code.
    pub const GLOBAL: u8 = 0xD3;
    /// Class and name.
    pub const ENUM_MEMBER: u8 = 0xD5;
    /// Class and value: a member without a name, as flags have them.
    pub const ENUM_VALUE: u8 = 0xD6;
    /// What `__reduce_ex__` gave: the number of its parts, the object's class, then the parts.
    pub const REDUCED: u8 = 0xD7;
    pub const ABSENT: u8 = 0xD8;
    /// Where the type of an argument counts: one of the built-in ones, by number.
    pub const BUILTIN_TYPE: u8 = 0xD9;
    /// The default of a parameter, by number.
    pub const DEFAULT: u8 = 0xDA;
    /// A tuple that stands for all that equals an object of another form.
    pub const CANONICAL: u8 = 0xDB;
    /// As `REDUCED`, with all parts in their own types.
    pub const REDUCED_EXACTLY: u8 = 0xDC;
    /// Length, then bytes: only where types count.
    pub const BYTEARRAY: u8 = 0xDD;
}

/// An int's body.
#[inline]
pub fn put_int(out: &mut Vec<u8>, value: i64) {
    if (value as u64) < tag::SMALL_INTS {
        out.push(tag::SMALL_INT + value as u8);
    } else {
        out.push(tag::INT);
        put_varint(out, zigzag(value));
    }
}

/// A tag with the number of items, in one byte where it is small.
#[inline]
pub fn put_count(out: &mut Vec<u8>, short: u8, long: u8, count: usize) {
    if count < tag::SHORTS {
        out.push(short + count as u8);
    } else {
        put_sized(out, long, count);
    }
}

/// A tag with a number behind it.
#[inline]
pub fn put_sized(out: &mut Vec<u8>, tag: u8, count: usize) {
    out.push(tag);
    put_varint(out, count as u64);
}

/// Reads bytes that may be anything: every step answers `None` where they end too early or cannot be right.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Items that containers have announced and that were not begun yet. Each needs a byte at least, so that no container is
    /// made larger than the bytes left over by those around it could fill: all of them together take memory in proportion.
    owed: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, owed: 0 }
    }

    /// Whether everything was read.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.rest.is_empty() && self.owed == 0
    }

    /// Bytes that are left.
    pub fn rest(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The next byte, which stays.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The tag that an item of a container begins with.
    #[inline]
    pub fn item(&mut self) -> Option<u8> {
        self.owed = self.owed.checked_sub(1)?;
        self.byte()
    }

    #[inline]
    pub fn varint(&mut self) -> Option<u64> {
        varint::take(&mut self.rest)
    }

    /// The next `count` bytes.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        if count > self.rest.len() {
            return None;
        }
        let (bytes, rest) = self.rest.split_at(count);
        self.rest = rest;
        Some(bytes)
    }

    /// A length, then as many units of `width` bytes.
    #[inline]
    pub fn sized(&mut self, width: usize) -> Option<&'a [u8]> {
        let count = usize::try_from(self.varint()?).ok()?;
        self.bytes(count.checked_mul(width)?)
    }

    #[inline]
    pub fn double(&mut self) -> Option<f64> {
        let bytes = self.bytes(8)?.try_into().ok()?;
        Some(f64::from_bits(u64::from_le_bytes(bytes)))
    }

    /// The number of entries of a container, with `each` items in each of them; from now on the items are owed.
    #[inline]
    pub fn announce(&mut self, count: u64, each: usize) -> Option<usize> {
        let count = usize::try_from(count).ok()?;
        let owed = self.owed.checked_add(count.checked_mul(each)?)?;
        if owed > self.rest.len() {
            return None;
        }
        self.owed = owed;
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>, width in 1usize..5) {
            let mut reader = Reader::new(&bytes);
            while reader.varint().is_some() {}
            let mut reader = Reader::new(&bytes);
            while let Some(part) = reader.sized(width) {
                prop_assert!(part.len() <= bytes.len());
            }
        }

        #[test]
        fn ints_are_a_tag_or_a_varint(value: i64) {
            let mut out = Vec::new();
            put_int(&mut out, value);
            let mut reader = Reader::new(&out);
            let read = match reader.byte() {
                Some(tag::INT) => unzigzag(reader.varint().unwrap_or_default()),
                small => i64::from(small.unwrap_or_default()),
            };
            prop_assert_eq!(read, value);
            prop_assert!(reader.is_done());
        }
    }

    #[test]
    fn nested_containers_share_the_bytes_that_are_left() {
        let mut reader = Reader::new(&[0; 10]);
        assert_eq!(reader.announce(11, 1), None);
        assert_eq!(reader.announce(u64::MAX, 2), None);
        assert_eq!(reader.announce(6, 1), Some(6));
        assert_eq!(reader.item(), Some(0));
        // Nine bytes are left, five of them for the items around.
        assert_eq!(reader.announce(5, 1), None);
        assert_eq!(reader.announce(3, 2), None);
        assert_eq!(reader.announce(2, 2), Some(2));
        for _ in 0..9 {
            assert_eq!(reader.item(), Some(0));
        }
        assert!(reader.is_done());
        assert_eq!(reader.item(), None);
    }
}
