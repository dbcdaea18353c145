//! What the tier answers.

use std::fmt;
use std::time::Duration;

use super::lease::{Lease, Theirs};
use super::near::Cover;
use crate::coherence::Stripe;
use crate::envelope::{Codec, Kind, Stamp, Token, Unreadable, Unstorable};
use crate::error::{Code, Error};

/// A value or an exception that the server has.
#[derive(Clone)]
pub struct Found {
    pub kind: Kind,
    pub codec: Codec,
    pub body: Vec<u8>,
    /// The boot clock until which it is fresh; earlier than now: it is stale.
    pub fresh_until: u64,
    /// The boot clock from which it is gone.
    pub ends: u64,
    /// How long it was to live when it was stored, and how long of that it was to be fresh; 0 of a near copy.
    pub lifetime: Duration,
    pub fresh: Duration,
    /// What its computation took.
    pub computed: Duration,
    /// How a near copy is covered; void: it is not to be kept.
    pub cover: Cover,
    /// What a near copy depends on.
    pub stripes: Vec<Stripe>,
    /// Its tags, as they stand in keys.
    pub tags: Vec<String>,
    /// Another one for each value: what a refresh or a replacement compares.
    pub token: Token,
    pub(super) stamps: Vec<Stamp<'static>>,
    /// As it lies on the server.
    pub(super) sealed: Vec<u8>,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("kind", &self.kind).field("codec", &self.codec).finish_non_exhaustive()
    }
}

/// What a look for a call's value has come to.
#[derive(Debug)]
pub enum Looked {
    /// The server has it. Whether it is fresh enough is the caller's to say; where it is not,
    /// [`Tier::refresh`](super::Tier::refresh).
    Found(Box<Found>),
    /// The caller computes for all hosts, and then calls [`Tier::store`](super::Tier::store) or
    /// [`Tier::abandon`](super::Tier::abandon).
    Mine(Box<Lease>),
    /// Another process computes: [`Tier::wait`](super::Tier::wait).
    Theirs(Box<Theirs>),
    /// A computation of this process has it, with this token: the flight is to be joined, if
    /// [`Tier::look_at_flight`](super::Tier::look_at_flight) allows it; else the caller computes and keeps by the cover.
    Ours(Token, Cover),
    /// The caller computes; nothing is stored far, and near it is kept by the cover.
    Alone(Cover, Why),
}

/// Why a caller computes without the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It did not answer, or is known not to: see [`Failure`].
    Failed(Failure),
    /// What lies there cannot be read, and is left to those who can.
    Unreadable(Unreadable),
    /// Another call's value lies there: their keys have one hash.
    Other,
    /// Whoever computed has ended without a value, and somebody else computes already.
    Ended,
    /// The key changed again and again.
    Contended,
}

/// What is to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// A value or an exception.
    pub kind: Kind,
    pub codec: Codec,
    pub body: &'a [u8],
    /// How long it lies on the server: its ttl and the windows after it.
    pub lifetime: Duration,
    /// How long of that it is fresh.
    pub fresh: Duration,
    pub computed: Duration,
}

/// What became of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    Done,
    /// The key was invalidated or written while the value was computed: it is not there, and is not to be kept.
    Fenced,
    /// It is too large; the lease was dropped. It may be kept by the lease's cover.
    Unstorable(Unstorable),
    /// The server refused it or did not answer. It is not to be kept.
    Failed(Failure),
}

/// Why the server did not do what was asked: a fixed text, without anything of an address, a login or a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It did not answer lately and was not asked.
    Open,
    /// It was not reached, or did not answer in time; what was asked may still take effect.
    Unanswered(Error),
    /// It answered with an error.
    Refused(Code),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Open => f.write_str("the server has not answered lately"),
            Failure::Unanswered(error) => error.fmt(f),
            Failure::Refused(code) => write!(f, "the server refused the command: {code}"),
        }
    }
}

impl std::error::Error for Failure {}
