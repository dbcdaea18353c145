//! Varints: numbers in as few bytes as they need, seven bits a byte, the lowest first; the top bit is set in all but the
//! last.
//!
//! Ring 1. The wire format and recordings have their numbers so (it is the LEB128 of DWARF, unsigned).

/// Appends an unsigned number.
#[inline]
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front; `None` where it is cut short or has more than 64 bits. Bytes looked at are taken, then too.
#[inline]
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7F);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A signed number as one whose lowest bit is the sign: small magnitudes stay small.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// What [`zigzag`] was made of.
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(value: u64, tail: Vec<u8>) {
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert!(out.len() <= 10);
            for end in 0..out.len() {
                prop_assert_eq!(take(&mut &out[..end]), None);
            }
            out.extend_from_slice(&tail);
            let mut rest = &out[..];
            prop_assert_eq!(take(&mut rest), Some(value));
            prop_assert_eq!(rest, &tail[..]);
        }

        #[test]
        fn zigzag_comes_back_and_is_short(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
            prop_assert_eq!(zigzag(value) < 64, (-32..32).contains(&value));
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        assert_eq!(take(&mut &[0xFF; 9][..]), None);
        let mut bytes = [0xFF; 10];
        for (last, read) in [(1, Some(u64::MAX)), (2, None), (0x81, None)] {
            bytes[9] = last;
            assert_eq!(take(&mut &bytes[..]), read);
        }
    }
}
