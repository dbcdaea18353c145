//! Writing and reading entries, signed or with a checksum.

use blake2b_simd::{Hash, Params, State};
use xxhash_rust::xxh3::Xxh3;

use super::body::{self, Compression, Form};
use super::{
    microseconds, put_head, put_stamps, take, take_length, take_number, take_stamps, Codec, Entry, Kind, LeaseEntry,
    Opened, Stamp, Token, Unreadable, Unstorable, FENCE, MAX_KEY, MAX_VALUE, VERSION,
};
use engine::varint;
use std::time::Duration;

/// The length of a signature or checksum, in bytes.
pub const SIGNATURE: usize = 16;

const CODEC: u8 = 0b0000_0111;
const COMPRESSION: u8 = 0b0001_1000;
const COMPRESSION_AT: u32 = 3;
const SIGNED: u8 = 0b0110_0000;
/// The signature bits of keyed BLAKE2b-128; 0 is the checksum.
const BLAKE2B: u8 = 0b0010_0000;

/// An empty secret signs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSecret;

/// Writes and reads entries for one configuration.
pub struct Sealer {
    /// Keyed and personalised; the first signs, all verify.
    signers: Vec<Params>,
    compression: Compression,
    max_value: usize,
}

impl Sealer {
    /// With secrets everything must be signed, with the first of them; without any, entries have a checksum.
    ///
    /// # Errors
    /// One of the secrets is empty.
    pub fn new(secrets: &[&[u8]], compression: Compression) -> Result<Sealer, NoSecret> {
        let signer = |secret: &&[u8]| {
            // A key has at most 64 bytes, a secret any number.
            let key = Params::new().personal(b"wc1 secret").hash(secret);
            let mut params = Params::new();
            params.hash_length(SIGNATURE).key(key.as_bytes()).personal(b"wc1 envelope");
            params
        };
        if secrets.iter().any(|secret| secret.is_empty()) {
            return Err(NoSecret);
        }
        Ok(Sealer { signers: secrets.iter().map(signer).collect(), compression, max_value: MAX_VALUE })
    }

    /// With another bound of a body before compression, in bytes.
    pub fn with_max_value(self, max_value: usize) -> Sealer {
        Sealer { max_value, ..self }
    }

    /// The bytes of an entry for the server's key.
    ///
    /// # Errors
    /// Something is beyond its bound.
    pub fn seal(&self, key: &[u8], entry: &Entry<'_>) -> Result<Vec<u8>, Unstorable> {
        if entry.body.len() > self.max_value {
            return Err(Unstorable::Body(entry.body.len()));
        }
        if entry.call.len() > MAX_KEY {
            return Err(Unstorable::Key(entry.call.len()));
        }
        let (form, stored) = body::compress(&entry.body, self.compression);
        let codec = match entry.codec {
            Codec::Safe => 0,
            Codec::Pickle => 1,
        };
        let mut out = Vec::with_capacity(FENCE + 128 + entry.call.len() + stored.len());
        put_head(&mut out, entry.kind, &entry.token, codec | form.bits() << COMPRESSION_AT | self.signed());
        for duration in [entry.lifetime, entry.fresh, entry.computed] {
            varint::put(&mut out, microseconds(duration));
        }
        put_stamps(&mut out, &entry.stamps)?;
        varint::put(&mut out, entry.call.len() as u64);
        out.extend_from_slice(&entry.call);
        varint::put(&mut out, entry.body.len() as u64);
        out.extend_from_slice(&stored);
        self.sign(key, &mut out);
        Ok(out)
    }

    /// The bytes of a lease for the server's key.
    ///
    /// # Errors
    /// Too many stamps.
    pub fn seal_lease(&self, key: &[u8], token: &Token, stamps: &[Stamp<'_>]) -> Result<Vec<u8>, Unstorable> {
        let mut out = Vec::with_capacity(FENCE + 64);
        put_head(&mut out, Kind::Lease, token, self.signed());
        put_stamps(&mut out, stamps)?;
        self.sign(key, &mut out);
        Ok(out)
    }

    /// Reads what lies under the server's key.
    ///
    /// # Errors
    /// It is nothing that may be used.
    pub fn open<'a>(&self, key: &[u8], bytes: &'a [u8]) -> Result<Opened<'a>, Unreadable> {
        let (&fence, _) = bytes.split_first_chunk::<FENCE>().ok_or(Unreadable::Malformed)?;
        let kind = Kind::of(fence[0]).ok_or(Unreadable::Malformed)?;
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE>().ok_or(Unreadable::Malformed)?;
        let &[version, flags, ref rest @ ..] = signed.get(FENCE..).ok_or(Unreadable::Malformed)? else {
            return Err(Unreadable::Malformed);
        };
        if version != VERSION {
            return Err(Unreadable::Version);
        }
        self.verify(key, flags, signed, signature)?;
        let form = Form::of((flags & COMPRESSION) >> COMPRESSION_AT).ok_or(Unreadable::Version)?;
        let codec = match flags & CODEC {
            0 => Codec::Safe,
            1 => Codec::Pickle,
            _ => return Err(Unreadable::Version),
        };
        let mut rest = rest;
        let mut token = [0; 24];
        token.copy_from_slice(&fence[1..]);
        if kind == Kind::Lease {
            let stamps = take_stamps(&mut rest)?;
            return if rest.is_empty() {
                Ok(Opened::Lease(LeaseEntry { token, stamps }))
            } else {
                Err(Unreadable::Malformed)
            };
        }
        let mut duration = || Ok(Duration::from_micros(take_number(&mut rest)?));
        let (lifetime, fresh, computed) = (duration()?, duration()?, duration()?);
        let stamps = take_stamps(&mut rest)?;
        let call_length = take_length(&mut rest, MAX_KEY)?;
        let call = take(&mut rest, call_length)?.into();
        let length = take_length(&mut rest, self.max_value)?;
        let body = body::decompress(form, rest, length, self.max_value)?;
        Ok(Opened::Entry(Entry { kind, token, codec, lifetime, fresh, computed, stamps, call, body }))
    }

    fn signed(&self) -> u8 {
        if self.signers.is_empty() {
            0
        } else {
            BLAKE2B
        }
    }

    pub(super) fn sign(&self, key: &[u8], out: &mut Vec<u8>) {
        match self.signers.first() {
            Some(signer) => {
                let signature = mac(signer, key, out);
                out.extend_from_slice(signature.as_bytes());
            }
            None => {
                let checksum = checksum(key, out);
                out.extend_from_slice(&checksum);
            }
        }
    }

    fn verify(&self, key: &[u8], flags: u8, signed: &[u8], signature: &[u8; SIGNATURE]) -> Result<(), Unreadable> {
        match (flags & SIGNED, self.signers.is_empty()) {
            (BLAKE2B, false) => {
                // (A hash compares itself in constant time.)
                let matches = |signer: &Params| mac(signer, key, signed) == signature[..];
                if self.signers.iter().any(matches) {
                    Ok(())
                } else {
                    Err(Unreadable::Signature)
                }
            }
            (BLAKE2B, true) => Err(Unreadable::Signature),
            (0, false) => Err(Unreadable::Unsigned),
            (0, true) if checksum(key, signed) == *signature => Ok(()),
            (0, true) => Err(Unreadable::Checksum),
            _ => Err(Unreadable::Version),
        }
        .and(if flags & 0x80 == 0 { Ok(()) } else { Err(Unreadable::Version) })
    }
}

/// The key's length comes first, so that no byte can go over from the key to the entry.
fn mac(signer: &Params, key: &[u8], entry: &[u8]) -> Hash {
    let mut state: State = signer.to_state();
    state.update(&(key.len() as u64).to_le_bytes()).update(key).update(entry);
    state.finalize()
}

fn checksum(key: &[u8], entry: &[u8]) -> [u8; SIGNATURE] {
    let mut hasher = Xxh3::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(entry);
    hasher.digest128().to_le_bytes()
}
