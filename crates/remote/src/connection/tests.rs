//! Where replies end: split at every byte, hostile, beyond their bounds.

use super::frames::Frames;
use crate::error::Error;
use proptest::prelude::*;
use redis::{parse_redis_value, Value};

/// All values in the bytes, which come in pieces of so many.
fn read(bytes: &[u8], piece: usize, max_reply: usize) -> Result<Vec<Value>, Error> {
    let mut frames = Frames::new(max_reply);
    let mut values = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let room = frames.room();
        let length = piece.min(rest.len()).min(room.len());
        room[..length].copy_from_slice(&rest[..length]);
        rest = &rest[length..];
        frames.filled(length);
        while let Some((value, _)) = frames.next()? {
            values.push(value);
        }
    }
    Ok(values)
}

const ALL: &[&[u8]] = &[
    b"+OK\r\n",
    b"+text\r\n",
    b"-ERR wrong\r\n",
    b":-12\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"$5\r\na\r\nb\n\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2\r\n*1\r\n$1\r\nx\r\n:1\r\n",
    b"_\r\n",
    b",1.5\r\n",
    b"#t\r\n",
    b"(12345678901234567890\r\n",
    b"!7\r\nERR bad\r\n",
    b"=5\r\ntxt:a\r\n",
    b"%1\r\n+k\r\n*1\r\n:1\r\n",
    b"~1\r\n:1\r\n",
    b"|1\r\n+k\r\n:1\r\n$1\r\nv\r\n",
    b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
    b">2\r\n+invalidate\r\n_\r\n",
];

#[test]
fn every_type_comes_whole_however_it_is_split() {
    let bytes = ALL.concat();
    let expected: Vec<Value> = ALL.iter().map(|one| parse_redis_value(one).unwrap()).collect();
    for piece in 1..bytes.len() {
        assert_eq!(read(&bytes, piece, 1 << 20).unwrap(), expected, "in pieces of {piece}");
    }
}

#[test]
fn large_replies_come_whole_and_leave_a_small_buffer() {
    let body = vec![b'x'; 3 << 20];
    let mut bytes = format!("${}\r\n", body.len()).into_bytes();
    bytes.extend(&body);
    bytes.extend(b"\r\n:1\r\n");
    assert_eq!(read(&bytes, 100_000, 4 << 20).unwrap(), [Value::BulkString(body), Value::Int(1)]);
}

#[test]
fn what_is_announced_beyond_the_bounds_ends_at_once() {
    for bytes in [
        &b"$1073741824\r\n"[..],
        b"*1073741824\r\n:1\r\n",
        b"%9223372036854775807\r\n:1\r\n",
        b"|9223372036854775807\r\n:1\r\n",
        b"$1048577\r\n",
        // In all beyond the bound, each within.
        b"*2\r\n$1048570\r\n",
    ] {
        assert_eq!(read(bytes, 1, 1 << 20), Err(Error::TooLarge));
    }
    assert_eq!(read(&vec![b'+'; 1 << 20], 1000, 1 << 24), Err(Error::TooLarge));
    let nested = b"*1\r\n".repeat(100);
    assert!(matches!(read(&nested, 7, 1 << 20), Err(Error::Protocol(_))));
    let many = [&b"*1048576\r\n"[..], &b"*1\r\n:1\r\n".repeat(1 << 20)].concat();
    assert_eq!(read(&many, 1 << 14, 1 << 26), Err(Error::TooLarge));
}

#[test]
fn nonsense_is_an_error_and_no_wait() {
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\n"[..],
        b"\r\n",
        b"$-2\r\n",
        b"$\r\n",
        b"$+1\r\nx\r\n",
        b"$99999999999999999999999\r\n",
        b"$1\r\nabc\r\n",
        b"%-1\r\n",
        b"*x\r\n",
        b":x\r\n",
        b"#x\r\n",
        b"+\xFF\r\n",
    ] {
        assert!(matches!(read(bytes, 1, 1 << 20), Err(Error::Protocol(_))), "{bytes:?}");
    }
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        prop::sample::select(ALL.to_vec()).prop_map(<[u8]>::to_vec),
        prop::sample::select(b"+-:$*%~|>_,#(!=\r\n019 ".to_vec()).prop_map(|byte| vec![byte]),
        Just(b"\r\n".to_vec()),
        any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    /// Whatever comes, the pieces in which it comes change nothing, and the parser agrees on where a reply ends.
    #[test]
    fn hostile_bytes_are_read_alike_in_all_pieces(bytes in hostile(), piece in 1..50usize) {
        let whole = read(&bytes, bytes.len().max(1), 1 << 16);
        let pieces = read(&bytes, piece, 1 << 16);
        prop_assert_eq!(whole.is_ok(), pieces.is_ok());
        if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
            // (NaN is not equal to itself.)
            prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
            let mut parser = redis::Parser::new();
            let mut rest = &bytes[..];
            for value in whole {
                let parsed = parser.parse_value(&mut rest);
                prop_assert_eq!(format!("{value:?}"), format!("{:?}", parsed.unwrap()));
            }
        }
    }
}
