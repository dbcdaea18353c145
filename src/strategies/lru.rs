//! Least recently used: the entry whose last use is longest ago gives way.
//!
//! The default, and right wherever what was used lately will be used again. A hit moves its entry to the front.

use super::list::List;
use super::Policy;
use crate::entry::Token;

#[derive(Debug, Default)]
pub struct Lru {
    /// Latest use in front.
    list: List,
}

impl Policy for Lru {
    const HIT_WRITES: bool = true;

    fn insert(&mut self, token: Token, limit: usize) {
        self.list.push_front(token, limit);
    }

    #[inline(always)]
    unsafe fn hit(&mut self, token: Token) {
        // SAFETY: an inserted token is in the list until it is removed.
        unsafe { self.list.move_to_front(token) }
    }

    #[inline(always)]
    unsafe fn renew(&mut self, token: Token) {
        // SAFETY: an inserted token is in the list until it is removed.
        unsafe { self.list.move_to_front(token) }
    }

    fn remove(&mut self, token: Token) {
        self.list.remove(token);
    }

    #[inline(always)]
    fn victim(&self) -> Token {
        self.list.back()
    }

    fn victims(&self) -> Vec<Token> {
        let mut tokens: Vec<Token> = self.list.iter().collect();
        tokens.reverse();
        tokens
    }

    fn validate(&self) {
        self.list.validate();
    }
}
