//! A note of when an entry is to be looked at.

use super::Instant;
use crate::slab::Token;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub at: Instant,
    /// The mark that the entry has while this node is its own; rising, so it orders nodes of the same moment.
    pub mark: u32,
    pub token: Token,
}

impl Node {
    #[inline(always)]
    pub fn key(&self) -> (Instant, u32) {
        (self.at, self.mark)
    }
}
