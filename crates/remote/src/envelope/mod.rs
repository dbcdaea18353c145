//! What a value, a stored exception or a lease looks like on the server.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | kind: `L` lease, `V` value, `X` exception |
//! | 24 | token: random, another one for each lease and value. These 25 bytes are what a fence compares |
//! | 1 | version of the format |
//! | 1 | flags: codec (bits 0–2), compression (3–4), signature (5–6); bit 7 is 0 |
//! | varints | lifetime, fresh for, computed in: microseconds |
//! | 1, then … | stamps: their number; each the varint length of its tag's name, the name (empty: the function's generation), 16 bytes |
//! | varint, … | the call's key bytes, where the server's key has only their hash |
//! | varint | the body's length before compression |
//! | … | body |
//! | 16 | signature, or without a secret a checksum, over the server's key and all bytes before |
//!
//! A lease has neither lifetimes nor what comes after the stamps, but the last 16 bytes. Numbers are in the order of
//! [`engine::varint`]. The signature is compared before anything but the flags is looked at. What cannot be read is an
//! [`Unreadable`], which is a miss.

mod body;
mod seal;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use engine::varint;

pub use self::body::Compression;
pub use self::seal::{NoSecret, Sealer, SIGNATURE};

/// The bytes at the beginning that a fence compares: kind and token.
pub const FENCE: usize = 25;
/// The most stamps of an entry: a generation and 16 tags.
pub const MAX_STAMPS: usize = 17;
/// The bound of a body before compression unless another is asked for, in bytes.
pub const MAX_VALUE: usize = 64 << 20;
/// The longest key bytes of a call.
pub const MAX_KEY: usize = 16 << 20;
/// The longest name of a tag, encoded ([`crate::keys::component`]).
const MAX_TAG: usize = crate::keys::MAX_COMPONENT;

const VERSION: u8 = 1;

pub type Token = [u8; 24];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Lease,
    Value,
    Exception,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Kind::Lease => b'L',
            Kind::Value => b'V',
            Kind::Exception => b'X',
        }
    }

    /// What the first byte of an entry says, as `GETRANGE k 0 0` gives it.
    pub fn of(byte: u8) -> Option<Kind> {
        [Kind::Lease, Kind::Value, Kind::Exception].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// How a body is written; what the numbers mean is the owner's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Our own format, of built-in types only.
    Safe,
    /// A pickle.
    Pickle,
}

/// What a tag's or generation's key on the server held when a value was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp<'a> {
    /// The tag, encoded; empty for the function's generation.
    pub tag: Cow<'a, str>,
    pub stamp: [u8; 16],
}

/// A value or an exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub kind: Kind,
    pub token: Token,
    pub codec: Codec,
    /// How long it lies on the server; its age is this less its `PTTL`.
    pub lifetime: Duration,
    /// How long of that it is fresh.
    pub fresh: Duration,
    /// What its computation took.
    pub computed: Duration,
    pub stamps: Vec<Stamp<'a>>,
    /// The call's key bytes where the server's key has their hash, else empty.
    pub call: Cow<'a, [u8]>,
    pub body: Cow<'a, [u8]>,
}

/// A computation's claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseEntry<'a> {
    pub token: Token,
    pub stamps: Vec<Stamp<'a>>,
}

/// What lies under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    Lease(LeaseEntry<'a>),
    Entry(Entry<'a>),
}

/// Why something cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstorable {
    /// The body is beyond the bound, in bytes.
    Body(usize),
    Key(usize),
    Stamps(usize),
    /// The server takes nothing that is so long, in bytes as it lies there.
    Length(usize),
}

impl fmt::Display for Unstorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unstorable::Body(bytes) => {
                write!(f, "a value of {bytes} bytes is too large for the server (64 MiB at most)")
            }
            Unstorable::Key(bytes) => write!(f, "a key of {bytes} bytes is too large for the server (16 MiB at most)"),
            Unstorable::Length(bytes) => {
                write!(f, "a value of {bytes} bytes is too large for the server (see its proto-max-bulk-len)")
            }
            Unstorable::Stamps(tags) => write!(f, "{tags} stamps, or one with too long a name"),
        }
    }
}

impl std::error::Error for Unstorable {}

/// Why something on the server cannot be used: a miss, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// Cut short, or no entry at all.
    Malformed,
    /// Of another version of the format, or with flags that are not known.
    Version,
    /// Not signed, where a secret is set.
    Unsigned,
    /// Signed, with none of the secrets that are set or where none is.
    Signature,
    /// Damaged, or moved from another key.
    Checksum,
    /// A length beyond its bound.
    TooLarge,
    /// Compressed in a way that this build does not know, or wrongly.
    Compression,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unreadable::Malformed => "malformed",
            Unreadable::Version => "of another version",
            Unreadable::Unsigned => "not signed",
            Unreadable::Signature => "signed with another secret",
            Unreadable::Checksum => "damaged",
            Unreadable::TooLarge => "too large",
            Unreadable::Compression => "compressed in an unknown way",
        })
    }
}

impl std::error::Error for Unreadable {}

/// The bytes at the beginning that a fence compares; `None` = no entry of ours.
pub fn fence(bytes: &[u8]) -> Option<&[u8; FENCE]> {
    bytes.first_chunk().filter(|fence| Kind::of(fence[0]).is_some())
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn put_head(out: &mut Vec<u8>, kind: Kind, token: &Token, flags: u8) {
    out.push(kind.byte());
    out.extend_from_slice(token);
    out.extend_from_slice(&[VERSION, flags]);
}

fn put_stamps(out: &mut Vec<u8>, stamps: &[Stamp<'_>]) -> Result<(), Unstorable> {
    if stamps.len() > MAX_STAMPS || stamps.iter().any(|stamp| stamp.tag.len() > MAX_TAG) {
        return Err(Unstorable::Stamps(stamps.len()));
    }
    out.push(stamps.len() as u8);
    for stamp in stamps {
        varint::put(out, stamp.tag.len() as u64);
        out.extend_from_slice(stamp.tag.as_bytes());
        out.extend_from_slice(&stamp.stamp);
    }
    Ok(())
}

/// Takes a number that is no length.
fn take_number(rest: &mut &[u8]) -> Result<u64, Unreadable> {
    varint::take(rest).ok_or(Unreadable::Malformed)
}

/// Takes a length within a bound.
fn take_length(rest: &mut &[u8], most: usize) -> Result<usize, Unreadable> {
    match usize::try_from(take_number(rest)?) {
        Ok(length) if length <= most => Ok(length),
        _ => Err(Unreadable::TooLarge),
    }
}

/// Takes so many bytes.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Unreadable> {
    let (taken, after) = rest.split_at_checked(length).ok_or(Unreadable::Malformed)?;
    *rest = after;
    Ok(taken)
}

fn take_stamps<'a>(rest: &mut &'a [u8]) -> Result<Vec<Stamp<'a>>, Unreadable> {
    let count = usize::from(take(rest, 1)?[0]);
    if count > MAX_STAMPS {
        return Err(Unreadable::TooLarge);
    }
    let mut stamps = Vec::with_capacity(count);
    for _ in 0..count {
        let length = take_length(rest, MAX_TAG)?;
        let tag = std::str::from_utf8(take(rest, length)?).map_err(|_| Unreadable::Malformed)?;
        let stamp = take(rest, 16)?.try_into().map_err(|_| Unreadable::Malformed)?;
        stamps.push(Stamp { tag: tag.into(), stamp });
    }
    Ok(stamps)
}
