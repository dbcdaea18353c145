//! Most recently used: the entry used last gives way.
//!
//! For cyclic scans over more than fits (Chou & DeWitt, VLDB 1985): there LRU never hits, and MRU keeps a part of the
//! cycle. The victim is chosen before the new entry is in, so a new entry never evicts itself.

use super::list::List;
use super::Policy;
use crate::entry::Token;

#[derive(Debug, Default)]
pub struct Mru {
    /// Latest use in front.
    list: List,
}

impl Policy for Mru {
    const HIT_WRITES: bool = true;

    fn insert(&mut self, token: Token, limit: usize) {
        self.list.push_front(token, limit);
    }

    #[inline(always)]
    unsafe fn hit(&mut self, token: Token) {
        // SAFETY: an inserted token is in the list until it is removed.
        unsafe { self.list.move_to_front(token) }
    }

    unsafe fn renew(&mut self, token: Token) {
        // SAFETY: an inserted token is in the list until it is removed. (A victim is in front already.)
        unsafe { self.list.move_to_front(token) }
    }

    fn remove(&mut self, token: Token) {
        self.list.remove(token);
    }

    #[inline(always)]
    fn victim(&self) -> Token {
        self.list.front()
    }

    fn victims(&self) -> Vec<Token> {
        self.list.iter().collect()
    }

    fn validate(&self) {
        self.list.validate();
    }
}
