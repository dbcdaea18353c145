//! Claims: this process's, and those of others.

use std::fmt;

use super::near::Cover;
use crate::coherence::Pair;
use crate::envelope::{Stamp, Token};

/// The right and the duty to compute a value for all hosts. Given to [`Tier::store`](super::Tier::store) or
/// [`Tier::abandon`](super::Tier::abandon); one that is dropped instead is taken for dead by others after 3 s.
pub struct Lease {
    pub(super) token: Token,
    /// As it lies on the server.
    pub(super) sealed: Vec<u8>,
    /// From before the computation.
    pub(super) stamps: Vec<Stamp<'static>>,
    /// Stamps to be renewed with the store.
    pub(super) renew: Vec<Vec<u8>>,
    pub(super) cover: Cover,
    pub(super) beside: Option<Beside>,
    /// The count of forks of the process that took it: a child owns none of its parent's.
    pub(super) fork: u64,
}

/// A lease that lies beside a value.
pub(super) struct Beside {
    /// The old value's; `None`: there was none.
    pub(super) old: Option<Token>,
}

impl Lease {
    /// By which a flight is known to others of the process: [`Looked::Ours`](super::Looked::Ours).
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// How the result may be kept near if it is not stored far, because the server cannot hold it.
    pub fn cover(&self) -> Cover {
        self.cover
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease(…)")
    }
}

/// A lease of another process, and when it is looked at next.
pub struct Theirs {
    pub(super) token: Token,
    /// That of the value's stripe, from before the look.
    pub(super) seen: Pair,
    /// The boot clock at which it was taken, as the server's time to live says.
    pub(super) taken: u64,
    /// The boot clock of the next look.
    pub(super) next: u64,
    /// How many leases this one has waited for before.
    pub(super) changes: u32,
}

impl fmt::Debug for Theirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Theirs(…)")
    }
}
