//! Ints of a word, in the bytes of a value: so that a counter is changed without making objects.
//!
//! Ring 3.

use engine::wire_format::{self, header, tag, Reader};

/// The int that a value's bytes are, if they are one, and one that fits a word.
pub fn small_int(bytes: &[u8]) -> Option<i64> {
    let mut reader = Reader::new(bytes.strip_prefix(&[header::IMMUTABLE])?);
    let value = match reader.byte()? {
        tag::INT => wire_format::unzigzag(reader.varint()?),
        small if u64::from(small) < tag::SMALL_INTS => i64::from(small),
        _ => return None,
    };
    reader.is_done().then_some(value)
}

/// Bytes of the longest: header, tag, and a varint of 64 bits.
const LONGEST: usize = 12;

/// The bytes of an int as a value.
pub fn int_bytes(value: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LONGEST);
    bytes.push(header::IMMUTABLE);
    wire_format::put_int(&mut bytes, value);
    bytes
}
