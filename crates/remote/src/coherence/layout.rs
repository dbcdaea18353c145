//! What is in a coherence file, and where.
//!
//! Words of 64 bits, a cache line for each group that is written together; then words of 32 bits: *bells*, on which
//! waiters sleep, and the two tables of stripes. Who reads and writes each word, in which order and under what guard, is the
//! table in `docs/architecture/remote.md`.

#[cfg(not(loom))]
use crate::keys::{stripe_hash, Keys, Told};

/// "warpcohe", in the machine's order, so that a file of another kind of machine is none.
#[cfg(not(loom))]
pub(super) const MAGIC: u64 = u64::from_be_bytes(*b"warpcohe");
/// Changed whenever a word, the hash of keys or an order changes its meaning.
#[cfg(not(loom))]
pub(super) const VERSION: u64 = 2;

/// Places of the words of 64 bits.
pub(super) mod at {
    /// The head: what [`HEAD`](shared::file::fixed) words say about the file. Written before the file has its name, never after.
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 1;
    pub const BOOT: usize = 2;
    pub const CREATED: usize = 4;
    pub const CLOCK: usize = 5;
    pub const CHECKSUM: usize = 7;

    pub const CONFIRMED: usize = 8;
    pub const EPOCH: usize = 9;

    pub const SEEN: usize = 16;

    pub const AWAITED: usize = 24;

    pub const LISTENER: usize = 32;
    pub const SESSION: usize = 33;
    pub const CLIENT: usize = 35;
    pub const BEAT: usize = 36;

    pub const STALENESS: usize = 40;
    pub const TRACKING: usize = 41;

    pub const COUNTERS: usize = 48;

    pub const END: usize = 64;
}

/// Values' stripes.
pub(super) const VALUE_STRIPES: usize = if cfg!(loom) { 2 } else { 1 << 18 };
/// Those of tags and generations.
pub(super) const STAMP_STRIPES: usize = if cfg!(loom) { 2 } else { 1 << 16 };
pub(super) const BELLS: usize = if cfg!(loom) { 2 } else { 1 << 10 };
pub(super) const HALVES: usize = BELLS + VALUE_STRIPES + STAMP_STRIPES;

/// A stripe: what one key of the server, and others that share its hash, are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stripe(u32);

impl Stripe {
    /// Of a value by the hash of its key.
    pub const fn value(hash: u64) -> Stripe {
        Stripe((BELLS + hash as usize % VALUE_STRIPES) as u32)
    }

    /// Of a tag or a generation by the hash of its key.
    pub const fn stamp(hash: u64) -> Stripe {
        Stripe((BELLS + VALUE_STRIPES + hash as usize % STAMP_STRIPES) as u32)
    }

    /// Of a value's key on the server.
    #[cfg(not(loom))]
    pub fn of_value(key: &[u8]) -> Stripe {
        Stripe::value(stripe_hash(key))
    }

    /// Of the key of a tag or a generation on the server.
    #[cfg(not(loom))]
    pub fn of_stamp(key: &[u8]) -> Stripe {
        Stripe::stamp(stripe_hash(key))
    }

    /// Of a key that the server told of; `None` if it is not one of this namespace's.
    #[cfg(not(loom))]
    pub fn told(keys: &Keys, key: &[u8]) -> Option<Stripe> {
        match keys.told(key) {
            Told::Value => Some(Stripe::of_value(key)),
            Told::Stamp => Some(Stripe::of_stamp(key)),
            Told::Other => None,
        }
    }

    /// A number that stands for it, in this version of the layout: for an entry that keeps its stripes.
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// What [`Stripe::bits`] gave; of any other number some stripe.
    #[inline(always)]
    pub const fn from_bits(bits: u32) -> Stripe {
        if bits >= BELLS as u32 && bits < HALVES as u32 {
            Stripe(bits)
        } else {
            Stripe(BELLS as u32)
        }
    }

    #[inline(always)]
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    /// The bell of those who wait for it.
    pub(super) fn bell(self) -> usize {
        self.index() % BELLS
    }
}

/// What is counted, by whoever listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Pushes that told of something.
    Pushes,
    /// Keys that they named, heartbeats aside.
    Keys,
    /// Pushes without keys: all is void.
    Flushes,
    /// How often the epoch was raised.
    Epochs,
    /// Connections that were tracked.
    Sessions,
    /// How often somebody stood in for a listener that was stopped.
    StandIns,
    /// Heartbeats that confirmed something.
    Confirmations,
    /// Heartbeats that the server refused.
    Refusals,
}

impl Counter {
    pub(super) fn at(self) -> usize {
        at::COUNTERS + self as usize
    }
}

const _: () = assert!(at::COUNTERS + (Counter::Refusals as usize) < at::END);
