//! Near copies as bytes, for a file that the processes of a host share between them and the server.
//!
//! A copy has its cover with it. So whoever finds it judges it as he would judge one of his own: the words of the coherence
//! file are the same for all. Bytes that another version wrote, or that are damaged, are no copy.

use concurrency::boottime;

use super::near::Cover;
use super::{Draft, Found, Tier, LONGEST};
use crate::coherence::{Pair, Stripe};
use crate::envelope::{Codec, Kind, Token};

/// The first byte of a copy; another one for each layout.
const LAYOUT: u8 = 1;
/// Of what the server does not have.
const NO_TOKEN: Token = [0; 24];
/// The second byte: what it is, how its body is written, and whether it is fresh for as long as can be.
const EXCEPTION: u8 = 1;
const PICKLE: u8 = 2;
const ENDLESS: u8 = 4;

impl Tier {
    /// What a copy has to agree in, beside its call, to be one for this tier: server, namespace, secrets, staleness.
    pub fn identity(&self) -> &[u8; 16] {
        &self.identity
    }
}

/// The first part of what is hashed is not to be taken for the second.
pub(super) fn identity(parts: &[&[u8]]) -> [u8; 16] {
    let mut state = blake2b_simd::Params::new().hash_length(16).to_state();
    for part in parts {
        state.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let mut identity = [0; 16];
    identity.copy_from_slice(state.finalize().as_bytes());
    identity
}

impl Found {
    /// What was computed on this host, and the server does not have.
    pub fn computed_here(draft: &Draft<'_>, cover: Cover, stripes: &[Stripe]) -> Found {
        let now = boottime::now();
        let after = |time: std::time::Duration| now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        Found {
            kind: draft.kind,
            codec: draft.codec,
            body: draft.body.to_vec(),
            fresh_until: after(draft.fresh),
            ends: after(draft.lifetime),
            lifetime: draft.lifetime,
            fresh: draft.fresh,
            computed: draft.computed,
            cover,
            stripes: stripes.to_vec(),
            tags: Vec::new(),
            token: NO_TOKEN,
            stamps: Vec::new(),
            sealed: Vec::new(),
        }
    }

    /// Whether the server had it: a refresh needs to know what it replaces.
    pub fn is_of_server(&self) -> bool {
        self.token != NO_TOKEN
    }

    /// Writes the copy. Its tags are left out: they are among the stripes.
    pub fn write_copy(&self, into: &mut Vec<u8>) {
        let exception = if self.kind == Kind::Exception { EXCEPTION } else { 0 };
        let pickle = if self.codec == Codec::Pickle { PICKLE } else { 0 };
        let endless = if self.fresh >= LONGEST { ENDLESS } else { 0 };
        into.extend([LAYOUT, exception | pickle | endless]);
        into.extend(u16::try_from(self.stripes.len()).unwrap_or(u16::MAX).to_le_bytes());
        into.extend(self.token);
        let computed = u64::try_from(self.computed.as_nanos()).unwrap_or(u64::MAX);
        let Cover { pair, until } = self.cover;
        for word in [self.fresh_until, self.ends, computed, pair.epoch, pair.stamp, until] {
            into.extend(word.to_le_bytes());
        }
        self.stripes.iter().for_each(|stripe| into.extend(stripe.bits().to_le_bytes()));
        into.extend(&self.body);
    }

    /// Reads what [`write_copy`](Self::write_copy) has written. Whether it counts, [`Tier::near`] says.
    pub fn read_copy(bytes: &[u8]) -> Option<Found> {
        let mut rest = bytes;
        let [layout, flags, low, high] = take(&mut rest)?;
        if layout != LAYOUT || flags & !(EXCEPTION | PICKLE | ENDLESS) != 0 {
            return None;
        }
        let token = take(&mut rest)?;
        let mut words = [0; 6];
        for word in &mut words {
            *word = u64::from_le_bytes(take(&mut rest)?);
        }
        let [fresh_until, ends, computed, epoch, stamp, until] = words;
        let stripes = (0..u16::from_le_bytes([low, high]))
            .map(|_| take(&mut rest).map(|bits| Stripe::from_bits(u32::from_le_bytes(bits))))
            .collect::<Option<Vec<_>>>()?;
        Some(Found {
            kind: if flags & EXCEPTION != 0 { Kind::Exception } else { Kind::Value },
            codec: if flags & PICKLE != 0 { Codec::Pickle } else { Codec::Safe },
            body: rest.to_vec(),
            fresh_until,
            ends,
            // A copy does not say.
            lifetime: std::time::Duration::ZERO,
            fresh: if flags & ENDLESS != 0 { LONGEST } else { std::time::Duration::ZERO },
            computed: std::time::Duration::from_nanos(computed),
            cover: Cover { pair: Pair { epoch, stamp }, until },
            stripes,
            tags: Vec::new(),
            token,
            stamps: Vec::new(),
            sealed: Vec::new(),
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn copy() -> Found {
        let draft = Draft {
            kind: Kind::Exception,
            codec: Codec::Pickle,
            body: b"body",
            lifetime: Duration::from_secs(9),
            fresh: Duration::from_secs(5),
            computed: Duration::from_millis(3),
        };
        let cover = Cover { pair: Pair { epoch: 7, stamp: 11 }, until: 13 };
        let stripes = [Stripe::of_value(b"one"), Stripe::of_stamp(b"two")];
        Found { token: [5; 24], ..Found::computed_here(&draft, cover, &stripes) }
    }

    #[test]
    fn a_copy_comes_back_as_it_was_written() {
        let (found, mut bytes) = (copy(), Vec::new());
        found.write_copy(&mut bytes);
        let read = Found::read_copy(&bytes).unwrap();
        assert_eq!((read.kind, read.codec, &read.body), (found.kind, found.codec, &found.body));
        assert_eq!((read.fresh_until, read.ends, read.computed), (found.fresh_until, found.ends, found.computed));
        assert_eq!((read.cover, read.token, &read.stripes), (found.cover, found.token, &found.stripes));
        assert!(read.is_of_server());
    }

    #[test]
    fn a_copy_says_whether_it_is_fresh_for_as_long_as_can_be() {
        for (fresh, is_endless) in [(LONGEST, true), (LONGEST - Duration::from_nanos(1), false)] {
            let mut bytes = Vec::new();
            Found { fresh, ..copy() }.write_copy(&mut bytes);
            assert_eq!(Found::read_copy(&bytes).unwrap().fresh >= LONGEST, is_endless);
        }
    }

    #[test]
    fn what_is_cut_short_or_of_another_layout_is_no_copy() {
        let mut bytes = Vec::new();
        copy().write_copy(&mut bytes);
        let head = bytes.len() - b"body".len();
        assert!((0..head).all(|length| Found::read_copy(&bytes[..length]).is_none()));
        assert!(Found::read_copy(&bytes[..head]).is_some_and(|found| found.body.is_empty()));
        for (at, byte) in [(0, LAYOUT + 1), (1, 8)] {
            let mut other = bytes.clone();
            other[at] = byte;
            assert!(Found::read_copy(&other).is_none());
        }
    }

    #[test]
    fn parts_of_an_identity_are_told_apart() {
        assert_ne!(identity(&[b"ab", b"c"]), identity(&[b"a", b"bc"]));
        assert_eq!(identity(&[b"ab", b"c"]), identity(&[b"ab", b"c"]));
    }
}
