//! What is asked for: a call of a function or a key of a cache object, and the keys of the server that it depends on.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use concurrency::fork;

use crate::coherence::Stripe;
use crate::envelope::{Token, MAX_STAMPS};
use crate::keys::{component, CallKeys, Keys, Name};

/// The least life of a tag's or a generation's stamp on the server.
const LEAST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A key of the server that holds a random stamp: a tag's, or a generation's.
#[derive(Clone, PartialEq, Eq)]
pub struct StampKey {
    /// The tag as it stands in keys and envelopes; empty: the generation.
    pub(super) tag: String,
    pub(super) key: Vec<u8>,
    pub(super) stripe: Stripe,
}

impl StampKey {
    pub(super) fn of_tag(keys: &Keys, encoded: &str) -> StampKey {
        let key = keys.tag(encoded).into_bytes();
        StampKey { tag: encoded.to_owned(), stripe: Stripe::of_stamp(&key), key }
    }

    pub fn stripe(&self) -> Stripe {
        self.stripe
    }
}

impl fmt::Debug for StampKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StampKey(…)")
    }
}

/// What is cleared together: all calls of one function, or all keys of one cache object.
pub struct Scope {
    pub(super) keys: Keys,
    pub(super) name: Name,
    pub(super) generation: StampKey,
    /// How long a stamp lies on the server.
    pub(super) life: Duration,
}

impl Scope {
    /// `name`: a function's or an object's, with its version; `longest`: the longest lifetime that its values get, windows
    /// included.
    pub(super) fn new(keys: &Keys, name: Name, longest: Duration) -> Scope {
        let key = keys.generation(&name).into_bytes();
        let generation = StampKey { tag: String::new(), stripe: Stripe::of_stamp(&key), key };
        Scope { keys: keys.clone(), name, generation, life: longest.saturating_mul(2).clamp(LEAST_LIFE, MOST_LIFE) }
    }

    /// The stripe of its generation: the same for all its calls.
    pub fn stripe(&self) -> Stripe {
        self.generation.stripe
    }

    /// A call by its key's bytes, with its tags (UTF-8, `surrogatepass`).
    ///
    /// # Errors
    /// More than 16 tags.
    pub fn call(self: &Arc<Self>, key: &[u8], tags: &[&[u8]]) -> Result<Call, TooManyTags> {
        if tags.len() >= MAX_STAMPS {
            return Err(TooManyTags);
        }
        let keys = self.keys.call(&self.name, key);
        let mut stamps = vec![self.generation.clone()];
        for tag in tags {
            let tag = component(tag);
            if stamps.iter().all(|stamp| stamp.tag != tag) {
                stamps.push(StampKey::of_tag(&self.keys, &tag));
            }
        }
        let stripes = [Stripe::of_value(&keys.value)].into_iter().chain(stamps.iter().map(|s| s.stripe)).collect();
        Ok(Call { scope: self.clone(), key: key.to_vec(), keys, stamps, stripes, claimed: Mutex::default() })
    }
}

/// Twice the longest life of a value: ten years.
pub(super) const MOST_LIFE: Duration = Duration::from_secs(20 * 366 * 24 * 3600);

/// More than 16 tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyTags;

/// One call, as the server knows it. It can be kept, and asked for again and again.
pub struct Call {
    pub(super) scope: Arc<Scope>,
    pub(super) key: Vec<u8>,
    pub(super) keys: CallKeys,
    /// The generation, then the tags.
    pub(super) stamps: Vec<StampKey>,
    /// The value's, then those of `stamps`.
    pub(super) stripes: Vec<Stripe>,
    /// See [`Call::claimed`]. Locked within `fork::exclusive` only, so nobody waits and no child finds it locked.
    claimed: Mutex<Option<Token>>,
}

impl Call {
    /// The stripes of all that its value depends on: the value's own, the generation's, the tags'. What a near copy of
    /// a value from the server depends on, [`super::Found::stripes`] says.
    pub fn stripes(&self) -> &[Stripe] {
        &self.stripes
    }

    pub fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// The token with which the key was last claimed by this object, known before the server is asked for the lease. (The
    /// lease is told to this host as well, perhaps before the answer has come.)
    pub fn claimed(&self) -> Option<Token> {
        fork::exclusive(|| *self.claimed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn note_claim(&self, token: &Token) {
        fork::exclusive(|| *self.claimed.lock().unwrap_or_else(PoisonError::into_inner) = Some(*token));
    }

    /// What the envelope has of its key.
    pub(super) fn inscribed(&self) -> &[u8] {
        if self.keys.is_hashed {
            &self.key
        } else {
            &[]
        }
    }

    pub(super) fn stripe(&self) -> Stripe {
        self.stripes[0]
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call(…)")
    }
}
